"""Calls to an address of the project's own: a session without anybody else's login, posts that end in time however
slowly the other side speaks, and why nobody answered, in words without a path, a query or a login: those may be
secrets. It repeats nothing, and gives no status a meaning.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import SplitResult, urlsplit

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from engage_sync.connectors.addresses import is_loopback
from engage_sync.errors import EngageError, Mistake
from engage_sync.sync.bounded import Bounded, Talk, at_most

CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""The variables that may name the file of the certificates to trust."""
READ_AT_MOST = 8_192
"""Bytes of an answer's body, read so that its connection can be used again."""


class Silent(EngageError):
    """A post got no answer. The text is a sentence that names host and port only; `hopeless`: nothing can be sent to
    this address."""

    def __init__(self, what: str, *, hopeless: bool = False) -> None:
        self.hopeless = hopeless
        super().__init__(what)


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: its status, and what it has as `Retry-After`."""

    code: int
    retry_after: str | None


class Line:
    """One address to post to, with the connections that are kept open to it; several threads may use it at once.
    Raises Mistake for a text that is no http or https address, without it."""

    def __init__(self, url: str, seconds: tuple[float, float], whole: float) -> None:
        """Take the seconds to connect and to wait for each part of an answer, and those for all of a post."""
        self._url, self._parts, self._seconds, self._whole = url, address(url), seconds, whole
        self.name = host_and_port(self._parts)
        self._idle: list[tuple[Talk, requests.Session]] = []
        self._lock = threading.Lock()

    def post(self, body: bytes, headers: Mapping[str, str]) -> Said:
        """Post once, following no redirect. Raises Silent where no answer came, or not all of its head in time."""
        with self._lock:
            talk, session = self._idle.pop() if self._idle else self._new()
        try:
            with at_most(self._whole, talk):
                said = self._posted(talk, session, body, headers)
        finally:
            if talk.over:
                session.close()
            else:
                with self._lock:
                    self._idle.append((talk, session))
        return said

    def reach(self) -> bool:
        """Connect, and say nothing. False where a proxy stands between: what that says of the address is known once
        something is sent. Raises Silent."""
        parts, seconds = self._parts, self._seconds[0]
        with session_for(parts) as session:
            if session.proxies.get(parts.scheme) or session.proxies.get("all"):
                return False
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), timeout=seconds).close()
        except TimeoutError:
            raise Silent(f"{self.name}: no connection within {seconds:g} seconds") from None
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else "no such host"
            raise Silent(f"{self.name}: no connection ({why})") from None
        return True

    def close(self) -> None:
        """Release the connections that nothing goes over."""
        with self._lock:
            while self._idle:
                self._idle.pop()[1].close()

    def _new(self) -> tuple[Talk, requests.Session]:
        talk = Talk()
        return talk, session_for(self._parts, talk)

    def _posted(self, talk: Talk, session: requests.Session, body: bytes, headers: Mapping[str, str]) -> Said:
        try:
            with session.post(
                self._url, data=body, headers=headers, timeout=self._seconds, allow_redirects=False, stream=True
            ) as response:
                said = Said(response.status_code, response.headers.get("Retry-After"))
                talk.check()
                # What the receiver says beside its status is of no interest, and neither is how that ends.
                with suppress(HTTPError, OSError):
                    response.raw.read(READ_AT_MOST)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidProxyURL, UnicodeError):
            raise Silent(f"{self.name}: nothing can be sent to this address", hopeless=True) from None
        except (OSError, HTTPError) as error:
            why = f"no whole answer within {self._whole:g} seconds" if talk.over else why_silent(error, self._seconds)
            raise Silent(f"{self.name}: {why}") from None
        return said


def address(url: str) -> SplitResult:
    """Take an address apart. Raises Mistake, whose sentence does not hold it."""
    wrong = "the address of the webhook must be one like https://host/path"
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        raise Mistake(wrong) from None
    if not known or any(character.isspace() for character in url):
        raise Mistake(wrong)
    return parts


def host_and_port(parts: SplitResult) -> str:
    """Name an address by what is no secret."""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port is None else f"{host}:{parts.port}"


def session_for(parts: SplitResult, talk: Talk | None = None) -> requests.Session:
    """Give a session that takes proxies and certificates from the environment: a .netrc would add somebody's login. All
    that it sends and hears is within the limit of the talk, if there is one."""
    session = requests.Session()
    if talk is not None:
        session.mount("http://", Bounded(talk))
        session.mount("https://", Bounded(talk))
    session.trust_env = False
    session.verify = next((os.environ[name] for name in CERTIFICATES if os.environ.get(name)), True)
    session.headers["User-Agent"] = f"engage-sync/{version('engage-sync')}"
    if not is_loopback(parts.hostname or ""):
        session.proxies = dict(get_environ_proxies(f"{parts.scheme}://{host_and_port(parts)}/"))
    return session


def why_silent(error: Exception, seconds: tuple[float, float]) -> str:
    """Say why nobody answered. The library's own text repeats the address with its query."""
    if not isinstance(error, requests.RequestException | HTTPError):  # requests looks for the file of certificates
        return f"no connection: the certificates that {' or '.join(CERTIFICATES)} names cannot be read"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {seconds[0]:g} seconds"
    if isinstance(error, requests.Timeout):
        return f"no answer within {seconds[1]:g} seconds"
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.strerror:
            return f"no connection ({below.strerror})"
        below = below.__cause__ or below.__context__
    return "the connection ended before an answer came"
