"""A CRM as a stage for the tests of `engage_sync.testing`: the hands of a person and of bad luck, and the steps of the
seam taken to their end. Tests nothing by itself but that the seam's own promises are kept on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from engage_sync.connectors.base import Change, Connector, Cursor, Kind, Outcome, Page


class Fault(StrEnum):
    """What a stage can make its CRM do to the next calls that write, or to the next ones that read."""

    THROTTLED = "throttled"
    """It is refused as one too many, with a time to wait."""
    UNAVAILABLE = "unavailable"
    """It fails at the CRM's side, without effect."""
    LOST_ANSWER = "lost_answer"
    """It takes effect, but its answer is lost."""
    GARBLED = "garbled"
    """It is answered with a success that cannot be read."""
    MISSING_ANSWER = "missing_answer"
    """Its answer leaves one record out. Only writes."""
    SESSION_ENDED = "session_ended"
    """The session ends before the next call of any kind."""


PASSING = (Fault.THROTTLED, Fault.UNAVAILABLE, Fault.LOST_ANSWER, Fault.GARBLED)
"""Faults that any call can meet and that another try mends."""


class Crm(Protocol):
    """What a person, or bad luck, does to the CRM behind the connector's back."""

    def create(self, values: Sequence[Mapping[str, str]]) -> list[str]:
        """Create records of the stage's kind and give their ids."""

    def edit(self, record: str, values: Mapping[str, str]) -> None:
        """Change a record; "" clears."""

    def edit_at_once(self, records: Sequence[str], values: Mapping[str, str]) -> None:
        """Change many records so that they carry one and the same last-modified instant."""

    def delete(self, record: str) -> None:
        """Delete a record the way a person does."""

    def merge(self, winner: str, loser: str) -> str:
        """Merge two records and give the survivor's id."""

    def values(self, record: str) -> Mapping[str, str | None]:
        """Give what a record holds; unset fields are absent or None."""

    def fail(self, fault: Fault, times: int, *, writing: bool = True) -> None:
        """Let a fault strike the next calls that write, or those that only read."""

    def logins(self) -> int:
        """Give how often the connector has logged in."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One empty CRM and a hardened connector to it.

    `connect` builds another connector to the same CRM. `kind` reads the fields of `samples`, `foreign` and `refused`.
    `samples` gives for each writable field two values in canonical text; the first field is a text field, whose values
    `Crm.values` gives as they are. `refused` is a field and a value that the CRM does not take. `foreign` is a field
    that nobody writes here, with a value. `pauses` collects the seconds the connector waited between attempts. `page`
    is the size of a page of a full load. `blank` names the fields that are never empty, with what they hold instead.
    """

    connector: Connector
    connect: Callable[[], Connector]
    crm: Crm
    kind: Kind
    samples: Mapping[str, tuple[str, str]]
    refused: tuple[str, str]
    foreign: tuple[str, str]
    pauses: Sequence[float]
    page: int
    new: Callable[[int], Mapping[str, str]]
    """Values of the n-th record to create."""
    blank: Mapping[str, str] = field(default_factory=dict)
    tasks: Callable[[str], Sequence[str]] | None = None
    """Gives the subjects of the tasks about a record of `kind`, for `TaskSuite`."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """All pages of one pull, put together."""

    records: Mapping[str, Mapping[str, str | None]]
    times: Mapping[str, int]
    vanished: frozenset[str]
    merged: Mapping[str, str]
    cursor: Cursor


def pull(connector: Connector, kind: Kind, cursor: Cursor | None) -> Pulled:
    """Pull to the end."""
    pages = [connector.pull(kind, cursor)]
    while not pages[-1].done:
        assert pages[-1].cursor != cursor, "the cursor of a page that is not the last must move on"
        cursor = pages[-1].cursor
        pages.append(connector.pull(kind, cursor))
    return together(pages)


def together(pages: Sequence[Page]) -> Pulled:
    """Put pages together as a reader must: the same id replaces."""
    records = {record.id: record.values for page in pages for record in page.records}
    times = Counter(record.id for page in pages for record in page.records)
    vanished = frozenset(one for page in pages for one in page.vanished)
    merged = {old: new for page in pages for old, new in page.merged.items()}
    return Pulled(records, times, vanished, merged, pages[-1].cursor)


def push(stage: Stage, changes: Mapping[str, Mapping[str, str | None]]) -> dict[str, Outcome]:
    """Push changes and give the outcome of each, which must be exactly one."""
    asked = [Change(record, values) for record, values in changes.items()]
    outcomes = list(stage.connector.push(stage.kind, asked))
    assert Counter(outcome.record for outcome in outcomes) == Counter(changes.keys())
    return {outcome.record: outcome for outcome in outcomes}


def create(stage: Stage, count: int) -> list[str]:
    """Create so many records and give their ids."""
    return stage.crm.create([stage.new(number) for number in range(count)])


def first_field(stage: Stage) -> tuple[str, tuple[str, str]]:
    """Give one field of the samples, with its two values."""
    return next(iter(stage.samples.items()))


def read(stage: Stage, record: str, names: Iterable[str]) -> dict[str, str | None]:
    """Read some fields of a record, empty ones as None."""
    values = stage.connector.read(stage.kind, [record]).records[0].values
    return {name: values[name] or None for name in names}


def ids_of(page: Page) -> list[str]:
    """Give the ids of a page."""
    return [record.id for record in page.records]
