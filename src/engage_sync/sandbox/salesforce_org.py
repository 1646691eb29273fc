"""One pretend Salesforce org behind its API: the store, the app's sessions, the day's calls, open query cursors and
bulk jobs, and how rows are written as JSON. What the routes share; it knows no path."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from engage_sync.sandbox.salesforce_conditions import Column
from engage_sync.sandbox.salesforce_ids import mint, normal
from engage_sync.sandbox.salesforce_login import Sessions
from engage_sync.sandbox.salesforce_query import Found
from engage_sync.sandbox.salesforce_refusal import Denied
from engage_sync.sandbox.salesforce_shelf import Record
from engage_sync.sandbox.salesforce_store import SalesforceStore
from engage_sync.sandbox.salesforce_values import instant
from engage_sync.sandbox.salesforce_wire import Ask
from engage_sync.sandbox.salesforce_writes import Writer
from engage_sync.sandbox.wire import Json

DAY_HOURS = 24


class Usage:
    """The calls of the last 24 hours against the org's limit, counted by the hour. `clock` is a wall clock."""

    def __init__(self, limit: int, clock: Callable[[], datetime]) -> None:
        self.limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._hours: dict[int, int] = {}

    @property
    def used(self) -> int:
        """Give the calls of the last 24 hours."""
        now = int(self._clock().timestamp() // 3600)
        with self._lock:
            self._hours = {hour: count for hour, count in self._hours.items() if hour > now - DAY_HOURS}
            return sum(self._hours.values())

    def spend(self, calls: int) -> None:
        """Count calls that others of the org make."""
        now = int(self._clock().timestamp() // 3600)
        with self._lock:
            self._hours[now] = self._hours.get(now, 0) + calls

    def enter(self) -> None:
        """Count one call. Raises Denied (403) when the day is used up."""
        if self.used >= self.limit:
            raise Denied(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        self.spend(1)

    def header(self) -> Mapping[str, str]:
        """Give the header that every answer carries."""
        return {"Sforce-Limit-Info": f"api-usage={self.used}/{self.limit}"}


@dataclass(slots=True)
class Cursor:
    """An open query: what was found, and until when (epoch seconds) its locator lives."""

    found: Found
    until: float


@dataclass(slots=True)
class Org:
    """What the routes share; `dice` mixes the results of bulk jobs, None keeps their order."""

    store: SalesforceStore
    sessions: Sessions
    usage: Usage
    base_url: Callable[[], str]
    versions: Sequence[str]
    page: int = 2000
    duplicate_rules: bool = False
    may_customize: bool = True
    bulk_delay_polls: int = 1
    locator_life: float = 172_800.0
    lock_hold: float = 0.0
    concurrent: int | None = None
    open_calls: int = 0
    held: Counter[str] = field(default_factory=Counter)
    """Parent accounts that calls under way hold, and how many."""
    dice: random.Random | None = None
    cursors: dict[str, Cursor] = field(default_factory=dict)
    jobs: dict[str, object] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the server ends, so that nothing goes on waiting."""
    minted: dict[str, int] = field(default_factory=dict)

    def mint(self, prefix: str) -> str:
        """Give a new id of something that is not a record."""
        with self.lock:
            self.minted[prefix] = self.minted.get(prefix, 0) + 1
            return mint(prefix, self.minted[prefix])

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Keep a call open. Raises Denied (403) when too many are."""
        with self.lock:
            if self.concurrent is not None and self.open_calls >= self.concurrent:
                raise Denied(
                    403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
                )
            self.open_calls += 1
        try:
            yield
        finally:
            with self.lock:
                self.open_calls -= 1

    @contextmanager
    def holding(self, parents: set[str]) -> Iterator[set[str]]:
        """Hold parent accounts for `lock_hold` seconds and during the work; gives those that another call holds."""
        if not self.lock_hold:
            yield set()
            return
        with self.lock:
            taken = {parent for parent in parents if self.held[parent]}
            self.held.update(parents)
        try:
            self.stopping.wait(self.lock_hold)
            yield taken
        finally:
            with self.lock:
                self.held.subtract(parents)

    def writer(self, entity: str, ask: Ask, *, cells: bool = False) -> Writer:
        """Give what writes rows of an object for this request."""
        allowed = ask.call.headers.get("sforce-duplicate-rule-header", "").replace(" ", "").lower()
        return Writer(
            self.store,
            self.entity(entity),
            from_cells=cells,
            duplicate_rules=self.duplicate_rules,
            save_duplicates="allowsave=true" in allowed and not cells,
            may_customize=self.may_customize,
        )

    def entity(self, name: str) -> str:
        """Find an object by its name, whatever the case. Raises Denied (404)."""
        known = next((one for one in self.store.shelves if one.lower() == name.lower()), None)
        if known is None or not self.store.access.may(known)[0]:
            raise Denied(404, "NOT_FOUND", "The requested resource does not exist")
        return known

    def job(self, number: str) -> str:
        """Give a job's id as it is kept. Raises Denied (404)."""
        known = normal(number)
        if known is None or known not in self.jobs:
            raise Denied(404, "NOT_FOUND", "The requested resource does not exist")
        return known


def rendered(found: Found, records: Sequence[Record], root: str) -> list[Json]:
    """Write records as a query answers them: `attributes`, then the columns; a relationship is nested."""
    writers = [(column, _writer(column)) for column in found.columns]
    flat = [(column.path[0], write) for column, write in writers if len(column.path) == 1]
    nested = [(column, write) for column, write in writers if len(column.path) == 2]
    start = f"{root}/sobjects/{found.object}/"
    rows: list[Json] = []
    for record in records:
        row: Json = {"attributes": {"type": found.object, "url": start + record.id}}
        row.update([(name, write(record)) for name, write in flat])
        for column, write in nested:
            relation, name = column.path
            if column.link is not None and column.link(record) is None:
                row[relation] = None
            else:
                inside = row.setdefault(relation, {"attributes": {"type": relation}})
                inside[name] = write(record)  # type: ignore[index]  # made in the line before
        rows.append(row)
    return rows


def _writer(column: Column) -> Callable[[Record], object]:
    get = column.get
    if column.field.type != "datetime":
        return get

    def written(record: Record) -> object:
        value = get(record)
        return instant(value) if isinstance(value, int) else value

    return written
