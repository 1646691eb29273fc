"""Salesforce: contacts, accounts and leads, read by SOQL and written by sObject Collections or Bulk API 2.0, and tasks.

Ties the steps of the seam to the modules that know them: `salesforce_pull`, `salesforce_push`, `salesforce_bulk`,
`salesforce_schema`, `salesforce_provision`, `salesforce_tasks`, over one `salesforce_http.Transport`. It retries
nothing and logs nothing: the wrappers do. It waits only for jobs that Salesforce works on by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

from pydantic import BaseModel

from engage_sync.connectors import (
    salesforce_authors,
    salesforce_bulk,
    salesforce_provision,
    salesforce_pull,
    salesforce_push,
    salesforce_schema,
    salesforce_tasks,
)
from engage_sync.connectors.base import (
    Author,
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
    Role,
    Schema,
    Turnstile,
)
from engage_sync.connectors.salesforce_auth import quota_key
from engage_sync.connectors.salesforce_fields import Shape
from engage_sync.connectors.salesforce_http import TIMEOUT, Transport
from engage_sync.connectors.salesforce_rows import TASK
from engage_sync.connectors.salesforce_settings import SalesforceSettings
from engage_sync.errors import Mistake


class Salesforce(Connector):
    """One Salesforce org."""

    name: ClassVar[str] = "salesforce"
    Settings: ClassVar[type[BaseModel]] = SalesforceSettings
    limits: ClassVar[Limits] = Limits(
        push_batch=200,
        in_flight=1,  # collections one after the other: calls at once would lock each other's parents
        whole_above=2_000,
        whole_calls=3,
        whole_lasts=60_000.0,  # ten batches of 10,000 rows, each tried 20 times for 5 minutes (crm-apis §B8)
        whole_looks=9,  # six looks with growing pauses, three lists of results
        day_rolls=True,
        call_seconds=2.0,  # 200 rows, with the org's own triggers
        objects={"Contact": Role.CONTACT, "Account": Role.ACCOUNT, "Lead": Role.CONTACT},
        locked_with={"Contact": "AccountId"},
        record_urls={name: f"{{site}}/lightning/r/{name}/{{record}}/view" for name in ("Contact", "Account", "Lead")},
        datetime_digits=0,
        tasks=TASK,
    )
    guide: ClassVar[Guide] = salesforce_schema.GUIDE

    def __init__(
        self,
        settings: SalesforceSettings,
        memory: Memory,
        *,
        timeout: tuple[float, float] = TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.quota_key = quota_key(settings)
        self._memory = memory
        self._http = Transport(settings, timeout=timeout, clock=clock)
        self._shapes: dict[str, Shape] = {}
        self._tasks = salesforce_tasks.Tasks(self._http, self._shape)

    @property
    def turnstile(self) -> Turnstile:
        """Where every call passes."""
        return self._http.turnstile

    @turnstile.setter
    def turnstile(self, turnstile: Turnstile) -> None:
        self._http.turnstile = turnstile

    def check(self) -> Schema:
        """Log in, describe the objects that are there, and name what is missing."""
        self._shapes.clear()
        return salesforce_schema.describe(self._http, self.limits.objects, self._memory, self._seen)

    def account(self) -> str:
        """Give the org's id; the login has told it, where we log in."""
        return self._http.identity().org

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        """Fetch one page: of the full load, of an increment, or of the deleted records that end both."""
        shape = self._shape(kind.object)
        salesforce_bulk.settle(self._http, self._memory, kind.object, sleep=self.turnstile.pause)
        return salesforce_pull.pull(self._http, kind, shape, cursor, sleep=self.turnstile.pause)

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        """Update records: up to 2,000 by collections, more by Bulk jobs. Of tasks: create them, each once."""
        if kind.object == self.limits.tasks:
            yield from self._tasks.push(changes)
        elif changes:
            shape = self._shape(kind.object)
            sizes = salesforce_push.Sizes(whole_above=self.limits.whole_above or len(changes))
            yield from salesforce_push.push(
                self._http, kind, changes, shape, self._memory, sleep=self.turnstile.pause, sizes=sizes
            )

    def read(self, kind: Kind, ids: Sequence[str]) -> Page:
        """Read live records by id."""
        return salesforce_pull.read(self._http, kind, self._shape(kind.object), ids)

    def provision(self, fields: Sequence[FieldSpec]) -> list[Provisioned]:
        """Create the missing fields and picklist values, and give ourselves access to them."""
        for spec in fields:
            self._known(spec.object)
        self._shapes.clear()
        return salesforce_provision.provision(self._http, fields)

    def probe(self, objects: Sequence[str]) -> Sequence[Lack]:
        """Describe tasks, when asked about them: nothing else is lacking that `check` does not see."""
        return salesforce_schema.task_lacks(self._http) if self.limits.tasks in objects else ()

    def authors(self, kind: Kind, fields: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Author]:
        """Tell who set some fields, by field history where the org keeps it, else who changed the record last."""
        self._known(kind.object)
        return salesforce_authors.authors(self._http, kind.object, fields)

    def close(self) -> None:
        """Release the connections."""
        self._http.close()

    def _seen(self, object_name: str) -> Shape | None:
        """Describe an object anew, and keep that for the steps that follow."""
        shape = salesforce_schema.shape_of(self._http, object_name)
        if shape is not None:
            self._shapes[object_name] = shape
        return shape

    def _shape(self, object_name: str) -> Shape:
        """Give an object's description, asked for once until `check` or `provision` makes it old."""
        self._known(object_name)
        if object_name not in self._shapes and self._seen(object_name) is None:
            raise salesforce_schema.why_unseen(self._http, object_name)
        return self._shapes[object_name]

    def _known(self, object_name: str) -> None:
        if object_name not in self.limits.objects:
            known = ", ".join(self.limits.objects)
            raise Mistake(f"Salesforce's {object_name!r} cannot be synced; the objects are {known}")
