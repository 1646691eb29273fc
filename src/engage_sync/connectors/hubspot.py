"""HubSpot: contacts and companies, read and updated through its CRM API, and tasks about them, created.

Ties the steps of the seam to the modules that know them: `hubspot_pull`, `hubspot_read`, `hubspot_push`,
`hubspot_tasks`, `hubspot_schema`, over one `hubspot_http.Transport`. It never waits, retries or logs: the wrappers do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

from pydantic import BaseModel

from engage_sync.connectors import hubspot_authors, hubspot_pull, hubspot_push, hubspot_schema
from engage_sync.connectors.base import (
    Author,
    CallKind,
    Change,
    Connector,
    Cursor,
    FieldSpec,
    Guide,
    Kind,
    Lack,
    Limits,
    Memory,
    Outcome,
    Page,
    Provisioned,
    Rate,
    Role,
    Schema,
    Turnstile,
)
from engage_sync.connectors.hubspot_auth import quota_key
from engage_sync.connectors.hubspot_http import TIMEOUT, Transport
from engage_sync.connectors.hubspot_related import TASKS
from engage_sync.connectors.hubspot_settings import HubSpotSettings
from engage_sync.connectors.hubspot_tasks import Tasks
from engage_sync.errors import Mistake

_CALLS = Rate("calls", calls=190, interval=10.0)
"""The usual limit, until the first answer tells this account's (crm-apis §A3)."""
_SEARCHES = Rate("searches", calls=4, interval=1.0, told=False)
"""Below the 5 a second that all apps of an account share; answers to searches tell nothing."""


class HubSpot(Connector):
    """One HubSpot account."""

    name: ClassVar[str] = "hubspot"
    Settings: ClassVar[type[BaseModel]] = HubSpotSettings
    limits: ClassVar[Limits] = Limits(
        push_batch=100,
        in_flight=8,
        objects={"contacts": Role.CONTACT, "companies": Role.ACCOUNT},
        further_emails=hubspot_pull.FURTHER_EMAILS,
        record_urls={
            "contacts": "https://app.hubspot.com/contacts/{account}/record/0-1/{record}",
            "companies": "https://app.hubspot.com/contacts/{account}/record/0-2/{record}",
        },
        datetime_digits=3,
        tasks=TASKS,
        rates={CallKind.READ: _CALLS, CallKind.WRITE: _CALLS, CallKind.SEARCH: _SEARCHES},
    )

    guide: ClassVar[Guide] = Guide(
        create="create the property {field} under HubSpot → Settings → Properties → {object} → Create property",
        reveal="let the app see it under HubSpot → Settings → Properties → {object} → {field} → Manage access",
        unlock=(
            "map another property: HubSpot keeps this one itself, or calculates it (Settings → Properties → {object} →"
            " {field})"
        ),
        options="add them under HubSpot → Settings → Properties → {object} → {field} → Edit options",
        unique=(
            "HubSpot makes a property unique only when it creates it: name one that is not there yet under `match` and"
            " `write`, then run `engage-sync provision --apply`"
        ),
        object=f"add the scopes crm.objects.{{object}}.read and .write under {hubspot_schema.SCOPES_PLACE}",
    )

    def __init__(
        self,
        settings: HubSpotSettings,
        memory: Memory,
        *,
        timeout: tuple[float, float] = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.quota_key = quota_key(settings.auth, settings.base_url)
        self._memory = memory
        self._http = Transport(settings, memory, timeout=timeout, clock=clock)
        self._tasks = Tasks(self._http)
        self._details = ("", "")

    @property
    def turnstile(self) -> Turnstile:
        """Where every call passes."""
        return self._http.turnstile

    @turnstile.setter
    def turnstile(self, turnstile: Turnstile) -> None:
        self._http.turnstile = turnstile

    def check(self) -> Schema:
        """Log in, describe contacts and companies, and name missing scopes."""
        credentials = self.quota_key.rsplit(" ", 1)[-1]
        return hubspot_schema.describe(self._http, self._memory, self.limits.objects, credentials, self._details)

    def account(self) -> str:
        """Give the portal's id, by one call that `check` then spares; '' where HubSpot does not tell it."""
        self._details = hubspot_schema.account(self._http)
        return self._details[0]

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        """Fetch one page: of the full list, of an increment, or of the recycle bin that ends both."""
        self._known(kind.object)
        return hubspot_pull.pull(self._http, kind, cursor)

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        """Update up to 100 records, or create up to 100 tasks."""
        if kind.object == TASKS:
            yield from self._tasks.push(changes)
            return
        self._known(kind.object)
        yield from hubspot_push.push(self._http, kind, changes)

    def read(self, kind: Kind, ids: Sequence[str]) -> Page:
        """Read live records by id."""
        self._known(kind.object)
        return hubspot_pull.read(self._http, kind, ids)

    def provision(self, fields: Sequence[FieldSpec]) -> list[Provisioned]:
        """Create the missing properties, in the group `engage`, and the missing options."""
        for spec in fields:
            self._known(spec.object)
        return hubspot_schema.provision(self._http, fields)

    def probe(self, objects: Sequence[str]) -> Sequence[Lack]:
        """Try to update a record that cannot be there, for each object; `tasks` may be among them."""
        return hubspot_schema.probe(self._http, objects)

    def authors(self, kind: Kind, fields: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Author]:
        """Tell who set some fields, by the history that HubSpot keeps of every property."""
        self._known(kind.object)
        return hubspot_authors.authors(self._http, kind.object, fields)

    def close(self) -> None:
        """Release the connections."""
        self._http.close()

    def _known(self, object_name: str) -> None:
        if object_name not in self.limits.objects:
            known = " and ".join(self.limits.objects)
            raise Mistake(f"HubSpot's {object_name!r} cannot be synced; the objects are {known}")
