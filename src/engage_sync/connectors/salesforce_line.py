"""simple-salesforce and its `requests` session, imported when a call is sent: 0.15 s that other commands do not pay.

Lets the client build its calls and read their JSON, while every request passes through the function it is given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies
from simple_salesforce.api import Salesforce

from engage_sync.connectors.addresses import is_loopback
from engage_sync.errors import Transient

Send = Callable[[str, str, Mapping[str, object]], requests.Response]


class Line(requests.Session):
    """The one session of an org. `timeout` is seconds to connect, and to wait for the answer."""

    def __init__(self, timeout: tuple[float, float]) -> None:
        super().__init__()
        # Of the environment only proxies and certificates: a .netrc would put another login in place of our session.
        self.trust_env = False
        self.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self._seconds = timeout
        self.headers["User-Agent"] = "engage-sync"

    def exchange(self, method: str, address: str, asked: str, content: Mapping[str, object]) -> requests.Response:
        """Send one request, follow no redirect, and give whatever is answered. Raises Transient without an answer."""
        try:
            return super().request(
                method,
                address,
                timeout=self._seconds,
                allow_redirects=False,
                proxies=_proxies(address),
                **content,  # type: ignore[arg-type]
            )
        except requests.RequestException as error:
            where = urlsplit(address).netloc
            raise Transient(f"Salesforce ({where}) gave no answer to {asked}: {_reason(error)}") from None

    def request(  # type: ignore[override]
        self, method: str, url: str, *, send: Send, **content: object
    ) -> requests.Response:
        """Take a call of the client's; `send` is the keyword that our calls through it carry."""
        return send(method, url, content)


def client(line: Line, token: str, instance: str, version: str) -> Salesforce:
    """Build a client that never logs in, whose numbers keep their digits and whose answers are not spread out."""
    made = Salesforce(
        session_id=token,
        instance_url=instance,
        session=line,
        version=version,
        object_pairs_hook=None,
        parse_float=str,
    )
    made.headers.pop("X-PrettyPrint", None)
    return made


def _proxies(address: str) -> dict[str, str]:
    """Give the environment's proxies; none for this machine, where a call may be in clear."""
    return {} if is_loopback(urlsplit(address).hostname or "") else dict(get_environ_proxies(address))


def _reason(error: requests.RequestException) -> str:
    """Name the fault in a few words; the text of the library repeats pool and address."""
    said = str(error).rsplit(": ", 1)[-1].strip("\"'()")
    return f"{type(error).__name__}: {said}"[:300]
