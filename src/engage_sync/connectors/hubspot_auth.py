"""Access tokens for HubSpot: one that never changes, or OAuth tokens that are renewed and rotated (crm-apis §A2).

Decides which token a call uses and when to renew it; never sends anything but through the function it is given.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from threading import Lock

from engage_sync.connectors.base import Memory
from engage_sync.connectors.hubspot_errors import CallRefused, TokenRefused
from engage_sync.connectors.hubspot_settings import Auth
from engage_sync.connectors.replies import fingerprint, text
from engage_sync.errors import LoginFailed, Misbehaved

TOKEN_PATH = "/oauth/v1/token"  # noqa: S105  (a path, no password)
MEMORY_KEY = "hubspot.refresh_token"
RENEW_AT = 0.8
"""Part of a token's life after which it is renewed, so that no call meets its end."""

Post = Callable[[str, Mapping[str, str]], Mapping[str, object]]
"""Sends a form to a path and gives the JSON answer, with the same errors as any other call."""


class Tokens(ABC):
    """Gives the access token for the next call. Safe for threads."""

    @abstractmethod
    def current(self, post: Post) -> str:
        """Give a token that should be good, logging in if there is none yet."""

    @abstractmethod
    def renewed(self, refused: str, post: Post) -> str:
        """Give another token than `refused`, or raise LoginFailed when there is no other."""

    @abstractmethod
    def secrets(self) -> tuple[str, ...]:
        """Give every secret in use, to be struck out of messages."""


class FixedToken(Tokens):
    """A service key or private-app token: there is only the one."""

    def __init__(self, token: str) -> None:
        self._token = token

    def current(self, post: Post) -> str:  # noqa: ARG002  (needs no call)
        """Give the token to use now."""
        return self._token

    def renewed(self, refused: str, post: Post) -> str:  # noqa: ARG002  (there is no other)
        """Give a token to use instead of the refused one."""
        raise LoginFailed("HubSpot refused the access token")

    def secrets(self) -> tuple[str, ...]:
        """Give the secrets in use."""
        return (self._token,)


class OAuthTokens(Tokens):
    """Tokens of an OAuth app. A rotated refresh token is remembered before the access token beside it is used."""

    def __init__(
        self, client_id: str, client_secret: str, refresh_token: str, memory: Memory, clock: Callable[[], float]
    ) -> None:
        self._client_id, self._client_secret, self._configured = client_id, client_secret, refresh_token
        self._memory, self._clock = memory, clock
        self._lock = Lock()
        self._access: str | None = None
        self._refresh: str | None = None
        self._renew_at = 0.0

    def current(self, post: Post) -> str:
        """Give the token to use now."""
        with self._lock:
            if self._access is None or self._clock() >= self._renew_at:
                self._login(post)
            return self._access or ""

    def renewed(self, refused: str, post: Post) -> str:
        """Give a token to use instead of the refused one."""
        with self._lock:
            if self._access == refused:  # else another thread renewed it already
                self._login(post)
            return self._access or ""

    def secrets(self) -> tuple[str, ...]:
        """Give the secrets in use."""
        return tuple(s for s in (self._client_secret, self._configured, self._refresh, self._access) if s)

    def _login(self, post: Post) -> None:
        self._refresh = self._refresh or self._remembered() or self._configured
        form = {
            "grant_type": "refresh_token",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "refresh_token": self._refresh,
        }
        asked_at = self._clock()
        try:
            answer = post(TOKEN_PATH, form)
        except (CallRefused, TokenRefused) as error:
            raise LoginFailed(
                f"{error}. Install the OAuth app again and put the new refresh token in the file"
            ) from None
        access, rotated, life = answer.get("access_token"), answer.get("refresh_token"), answer.get("expires_in")
        if not isinstance(access, str) or not access:
            raise Misbehaved("HubSpot's answer to the token refresh holds no access_token", None)
        if isinstance(rotated, str) and rotated and rotated != self._refresh:
            self._remember(rotated)
            self._refresh = rotated
        seconds = float(life) if isinstance(life, int | float) else 1800.0
        self._renew_at = asked_at + RENEW_AT * seconds
        self._access = access

    def _fingerprint(self) -> str:
        return fingerprint(f"{self._client_id}\n{self._configured}")

    def _remembered(self) -> str | None:
        """Give the rotated token, unless the file names another token now than the one it grew from."""
        try:
            kept = json.loads(self._memory.get(MEMORY_KEY) or "{}")
        except ValueError:
            return None
        return text(kept.get("token")) if isinstance(kept, dict) and kept.get("from") == self._fingerprint() else None

    def _remember(self, token: str) -> None:
        self._memory.put(MEMORY_KEY, json.dumps({"from": self._fingerprint(), "token": token}))


def tokens(auth: Auth, memory: Memory, clock: Callable[[], float]) -> Tokens:
    """Choose the way to log in that the settings name."""
    if auth.access_token is not None:
        return FixedToken(auth.access_token.get_secret_value())
    if auth.client_id is None or auth.client_secret is None or auth.refresh_token is None:
        raise LoginFailed("auth needs access_token, or client_id, client_secret and refresh_token")
    secret, refresh = auth.client_secret.get_secret_value(), auth.refresh_token.get_secret_value()
    return OAuthTokens(auth.client_id, secret, refresh, memory, clock)


def quota_key(auth: Auth, base_url: str) -> str:
    """Name the quota that these credentials draw on: HubSpot counts per app and installing account."""
    secret = auth.access_token or auth.refresh_token
    return f"hubspot {base_url} {fingerprint(secret.get_secret_value() if secret else '')}"
