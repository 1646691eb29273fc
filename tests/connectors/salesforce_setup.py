"""A Salesforce sandbox as an admin finds it, the way to it, and somebody between who answers some calls otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

from engage_sync.connectors.base import FieldSpec
from engage_sync.connectors.salesforce_http import Transport
from engage_sync.connectors.salesforce_settings import SalesforceSettings
from engage_sync.core.definitions import ValueType
from engage_sync.sandbox.salesforce_server import SalesforceOptions, SalesforceSandbox, start
from tests.connectors.scripted import Asked, Said, scripted

OBJECTS = ("Contact", "Account", "Lead")
OPTIONS = ("active", "power", "zombie")
SPECS = [
    FieldSpec("Contact", f"Engage_{kind.value.title()}__c", kind.value, kind, OPTIONS if "select" in kind else ())
    for kind in ValueType
]
UNIQUE = FieldSpec("Account", "Engage_External_Id__c", "Engage external id", ValueType.TEXT, unique=True)


@contextmanager
def org(**options: object) -> Iterator[SalesforceSandbox]:
    """Run a sandbox. A bug of its own fails the test."""
    with start(options=SalesforceOptions(**options)) as running:
        yield running
        assert running.bugs == []


def transport(crm: SalesforceSandbox, instance: str | None = None) -> Transport:
    """Give the way to an org, as another process of ours would have it."""
    auth = {"login_url": crm.base_url, "client_id": crm.client_id, "client_secret": crm.client_secret}
    settings = SalesforceSettings.model_validate({"auth": auth, "instance_url": instance})
    return Transport(settings)


@contextmanager
def between(crm: SalesforceSandbox, instead: Callable[[Asked], Said | None]) -> Iterator[Transport]:
    """Give a way on which `instead` answers the calls that it has an answer for, and the org all others."""
    place = urlsplit(crm.base_url)

    def answer(asked: Asked) -> Said:
        if (said := instead(asked)) is not None:
            return said
        line = HTTPConnection(place.hostname or "", place.port, timeout=60)
        line.request(asked.method, asked.path, asked.body or None, dict(asked.headers))
        found = line.getresponse()
        body = found.read()
        line.close()
        return Said(found.status, body, {"Content-Type": found.headers.get("Content-Type", "application/json")})

    with scripted(answer) as server:
        yield transport(crm, server.url)


def denied(code: str = "INSUFFICIENT_ACCESS", status: int = 403) -> Said:
    """Give the answer to what the user may not do."""
    return Said(status, [{"errorCode": code, "message": "insufficient access rights"}])
