"""What every call to an address of the project's own needs: the address taken apart, a session without anybody else's
login, and why nobody answered, in words without a path, a query or a login: those may be secrets."""

from __future__ import annotations

import os
from importlib.metadata import version
from urllib.parse import SplitResult, urlsplit

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from engage_sync.connectors.addresses import is_loopback
from engage_sync.errors import Mistake
from engage_sync.sync.bounded import Bounded, Talk

CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""The variables that may name the file of the certificates to trust."""


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
