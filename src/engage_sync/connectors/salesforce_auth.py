"""Sessions of a Salesforce org: opened by client credentials or JWT bearer, or given (crm-apis §B2).

Decides which session a call uses and when to open another; never sends anything but through the function it is given.
Salesforce does not tell how long a session lives: a refused call tells that it has ended.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from urllib.parse import urlsplit

from engage_sync.connectors.addresses import safe_address
from engage_sync.connectors.replies import fingerprint, text
from engage_sync.connectors.salesforce_settings import (
    LOGIN_HOST,
    MY_DOMAIN,
    SANDBOX_HOST,
    SHARED_HOSTS,
    SalesforceSettings,
)
from engage_sync.errors import LoginFailed, Misbehaved

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105  (a path, no password)
JWT_LIFE = 180
"""Seconds a signed assertion is good for (crm-apis §B2)."""

Post = Callable[[str, Mapping[str, str], Mapping[str, str]], Mapping[str, object]]
"""Sends a form with headers to an address and gives the JSON answer, with the same errors as any other call."""


@dataclass(frozen=True, slots=True)
class Session:
    """An open session: its token, where its org's API is, and whose it is as far as the login told."""

    token: str
    instance: str
    user: str | None = None
    org: str | None = None

    def __repr__(self) -> str:
        """Leave the token out."""
        return f"Session(instance={self.instance!r}, user={self.user!r}, org={self.org!r})"


class Sessions(ABC):
    """Gives the session for the next call. Safe for threads."""

    @abstractmethod
    def current(self, post: Post) -> Session:
        """Give a session that should be good, logging in if there is none yet."""

    @abstractmethod
    def renewed(self, refused: Session, post: Post) -> Session:
        """Give another session than `refused`, or raise LoginFailed when there is no other."""

    @abstractmethod
    def secrets(self) -> tuple[str, ...]:
        """Give every secret in use, to be struck out of messages."""


class GivenSession(Sessions):
    """A session that somebody else opened: there is only the one."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def current(self, post: Post) -> Session:  # noqa: ARG002  (needs no call)
        """Give the session."""
        return self._session

    def renewed(self, refused: Session, post: Post) -> Session:  # noqa: ARG002  (there is no other)
        """Refuse: nobody gave us the means to log in."""
        raise LoginFailed(
            "the session of auth.session_id has ended; put a new one into the file, or let engage-sync log in by itself"
            " (client_id with client_secret, or with username and private_key)"
        )

    def secrets(self) -> tuple[str, ...]:
        """Give the token."""
        return (self._session.token,)


class OpenedSessions(Sessions):
    """Sessions that we open, one at a time; all threads share the newest."""

    def __init__(self, settings: SalesforceSettings, clock: Callable[[], float]) -> None:
        self._auth, self._place = settings.auth, settings.instance_url
        self._clock = clock
        self._lock = Lock()
        self._session: Session | None = None

    def current(self, post: Post) -> Session:
        """Give the session to use now."""
        with self._lock:
            if self._session is None:
                self._session = self._login(post)
            return self._session

    def renewed(self, refused: Session, post: Post) -> Session:
        """Give a session to use instead of the refused one."""
        with self._lock:
            if self._session is None or self._session.token == refused.token:  # else another thread renewed it already
                self._session = self._login(post)
            return self._session

    def secrets(self) -> tuple[str, ...]:
        """Give the secrets in use."""
        held = (self._auth.client_secret, self._auth.private_key)
        tokens = (self._session.token,) if self._session is not None else ()
        return (*(secret.get_secret_value() for secret in held if secret is not None), *tokens)

    def _login(self, post: Post) -> Session:
        answer = self._signed_in(post) if self._auth.private_key is not None else self._with_secret(post)
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise Misbehaved("Salesforce's answer to the login holds no access_token", None)
        org, user = _whose(text(answer.get("id")))
        return Session(token, self._place or _instance(text(answer.get("instance_url"))), user, org)

    def _with_secret(self, post: Post) -> Mapping[str, object]:
        """Client credentials: id and secret in the header, as RFC 6749 has it."""
        secret = self._auth.client_secret
        pair = f"{self._auth.client_id}:{secret.get_secret_value() if secret else ''}"
        headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        return post(self._auth.login_url + TOKEN_PATH, {"grant_type": "client_credentials"}, headers)

    def _signed_in(self, post: Post) -> Mapping[str, object]:
        """JWT bearer. An org may want the server that all share as the audience, though it is asked itself."""
        own, shared = _audiences(self._auth.login_url)
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
        try:
            return post(self._auth.login_url + TOKEN_PATH, {**form, "assertion": self._assertion(own)}, {})
        except LoginFailed as refused:
            if own == shared or "audience" not in str(refused):
                raise
        return post(self._auth.login_url + TOKEN_PATH, {**form, "assertion": self._assertion(shared)}, {})

    def _assertion(self, audience: str) -> str:
        """Sign a statement that is good for three minutes."""
        import jwt  # noqa: PLC0415  start-up: only a login needs it

        key = self._auth.private_key
        claims: dict[str, object] = {
            "iss": self._auth.client_id,
            "sub": self._auth.username,
            "aud": audience,
            "exp": int(self._clock()) + JWT_LIFE,
        }
        try:
            return jwt.encode(claims, key.get_secret_value() if key else "", algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError):  # without its words: they may quote the key
            raise LoginFailed(
                "auth.private_key cannot be used: it must be an RSA private key in PEM form, without a passphrase"
            ) from None


def sessions(settings: SalesforceSettings, clock: Callable[[], float]) -> Sessions:
    """Choose the way to log in that the settings name."""
    given = settings.auth.session_id
    if given is not None:
        return GivenSession(Session(given.get_secret_value(), settings.instance_url or settings.auth.login_url))
    return OpenedSessions(settings, clock)


def quota_key(settings: SalesforceSettings) -> str:
    """Name the quota that these credentials draw on: Salesforce counts per org. One app with the key of its owner logs
    in to many orgs, each by a user of that org; a secret that is rotated changes nothing."""
    auth = settings.auth
    whose = "\n".join(part for part in (auth.client_id, auth.username) if part)
    whose = whose or (auth.session_id.get_secret_value() if auth.session_id else "")
    return f"salesforce {settings.instance_url or auth.login_url} {fingerprint(whose)}"


def _audiences(login_url: str) -> tuple[str, str]:
    """Give who must accept the assertion: the server that is asked, and the one that all such orgs share."""
    parts = urlsplit(login_url)
    own = f"{parts.scheme}://{parts.netloc}"
    if parts.hostname in SHARED_HOSTS:
        return own, own
    return own, SANDBOX_HOST if ".sandbox." in parts.netloc else LOGIN_HOST


def _instance(told: str | None) -> str:
    try:
        return safe_address(told or "", MY_DOMAIN)
    except ValueError as error:
        raise Misbehaved(
            f"Salesforce's login names no usable instance_url ({error}); give `instance_url` in the file"
        ) from None


def _whose(identity: str | None) -> tuple[str | None, str | None]:
    """Read org and user id from the identity address `https://…/id/ORG/USER`."""
    parts = urlsplit(identity or "").path.strip("/").split("/")
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "id" else (None, None)
