"""Who may call: service keys with their scopes, and an OAuth app whose access tokens end (crm-apis §A2). Keeps tokens
in memory and writes none of them anywhere."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs

from engage_sync.sandbox.refusal import Detail, Refused
from engage_sync.sandbox.values import instant, milliseconds
from engage_sync.sandbox.wire import Answer

SCOPES = frozenset(
    f"crm.{part}.{object_}.{right}"
    for part in ("objects", "schemas")
    for object_ in ("contacts", "companies")
    for right in ("read", "write")
)
"""All scopes a sync of contacts and companies needs."""


@dataclass(frozen=True, slots=True)
class OAuthApp:
    """An OAuth app and its grant. With `rotate` every refresh answers a new refresh token and ends the old one.

    `expires_in` is the life of an access token in seconds.
    """

    client_id: str = "sandbox-app"
    client_secret: str = "sandbox-secret"  # noqa: S105  (a stand-in has nothing to protect)
    refresh_token: str = "sandbox-refresh"  # noqa: S105  (the same)
    scopes: frozenset[str] = SCOPES
    rotate: bool = False
    expires_in: int = 1800


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows. `app` is what rate limits count by; `ends` is in epoch milliseconds."""

    app: str
    scopes: frozenset[str]
    oauth: bool = False
    ends: int | None = None


class Access:
    """The tokens in force. `clock` gives aware instants."""

    def __init__(self, tokens: Mapping[str, Iterable[str]], oauth: OAuthApp, clock: Callable[[], datetime]) -> None:
        self.oauth = oauth
        self._clock = clock
        self._lock = threading.Lock()
        self._grants = {token: Grant(f"key-{n}", frozenset(scopes)) for n, (token, scopes) in enumerate(tokens.items())}
        self._refresh = oauth.refresh_token

    def allow(self, token: str, scopes: Iterable[str] = SCOPES) -> None:
        """Add a service key, or change what one may do."""
        with self._lock:
            self._grants[token] = Grant(f"key-{token}", frozenset(scopes))

    def revoke(self, token: str) -> None:
        """End a token: calls with it answer 401."""
        with self._lock:
            self._grants.pop(token, None)

    def revoke_refresh(self) -> None:
        """End the OAuth grant: refreshing answers `invalid_grant`."""
        with self._lock:
            self._refresh = secrets.token_hex(16)

    def check(self, header: str | None) -> Grant:
        """Find the grant of an Authorization header. Raises Refused (401)."""
        kind, _, token = (header or "").partition(" ")
        grant = self._grants.get(token.strip()) if kind.lower() == "bearer" else None
        if grant is None:
            raise Refused(
                "Authentication credentials not found. This API supports OAuth 2.0 authentication.",
                status=401,
                category="INVALID_AUTHENTICATION",
            )
        now = milliseconds(self._clock())
        if grant.ends is not None and now >= grant.ends:
            raise Refused(
                f"The OAuth token used to make this call expired {(now - grant.ends) // 1000} second(s) ago.",
                status=401,
                category="EXPIRED_AUTHENTICATION",
                context={"expire time": [instant(grant.ends)]},
            )
        return grant

    def refresh(self, form: bytes) -> Answer:
        """Answer a token request. A wrong client or refresh token is the 400 that ends a connection."""
        given = {name: texts[-1] for name, texts in parse_qs(form.decode(errors="replace")).items()}
        if given.get("grant_type") != "refresh_token":
            return _denied("unsupported_grant_type", "BAD_GRANT_TYPE", "grant_type must be refresh_token")
        with self._lock:
            if (given.get("client_id"), given.get("client_secret")) != (self.oauth.client_id, self.oauth.client_secret):
                return _denied("invalid_client", "BAD_CLIENT_ID", "missing or invalid client id or secret")
            if given.get("refresh_token") != self._refresh:
                return _denied("invalid_grant", "BAD_REFRESH_TOKEN", "missing or invalid refresh token")
            token = f"sandbox-access-{secrets.token_hex(12)}"
            ends = milliseconds(self._clock()) + self.oauth.expires_in * 1000
            self._grants[token] = Grant(self.oauth.client_id, self.oauth.scopes, oauth=True, ends=ends)
            if self.oauth.rotate:
                self._refresh = secrets.token_hex(16)
            body: dict[str, object] = {
                "token_type": "bearer",
                "refresh_token": self._refresh,
                "access_token": token,
                "expires_in": self.oauth.expires_in,
            }
        return Answer(200, body)


def require(grant: Grant, scopes: Iterable[str]) -> None:
    """Check that a grant has one of `scopes`. Raises Refused (403) naming them."""
    wanted = sorted(scopes)
    if wanted and not grant.scopes.intersection(wanted):
        raise Refused(
            "This app hasn't been granted all required scopes to make this call.",
            status=403,
            category="MISSING_SCOPES",
            details=[
                Detail("One or more of the following scopes are required.", context={"requiredGranularScopes": wanted})
            ],
        )


def _denied(error: str, status: str, message: str) -> Answer:
    return Answer(400, {"error": error, "error_description": message, "status": status, "message": message})
