"""Where a Salesforce task goes, and whether it is there already: the record it is about, merged or converted ones
followed, and the tasks that carry our keys (crm-apis §B3, §B4). It never writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote_plus

from engage_sync.connectors.replies import text
from engage_sync.connectors.salesforce_fields import Shape, full_id
from engage_sync.connectors.salesforce_find import every, look_up, quoted
from engage_sync.connectors.salesforce_http import LONGEST_URI, Transport
from engage_sync.connectors.salesforce_task_rows import LINKS, USER, Place, Target, Task, keys_in

CONDITION = 3_800
"""Characters of a condition, of which a query may have 4,000 (crm-apis §B3)."""
ADDRESS = LONGEST_URI - 1_000
"""Bytes of an address for the names in a condition."""
OWNER = "OwnerId"

Shapes = Callable[[str], Shape]


def places(http: Transport, shapes: Shapes, targets: Iterable[Target]) -> dict[Target, Place]:
    """Find where tasks about some records go; a record that does not exist any more has no place.

    A task about a merged record goes to the survivor, one about a converted lead to the contact, as the tasks that
    these had.
    """
    asked: dict[str, list[str]] = {}
    for object_, record in dict.fromkeys(targets):
        asked.setdefault(object_, []).append(record)
    found: dict[Target, Place] = {}
    converted: dict[Target, Target] = {}
    for object_, records in asked.items():
        shape = shapes(object_)
        held = look_up(http, shape, records, shape.readable((OWNER,)))
        rows = {str(row.get("Id")): row for row in held.rows}
        for record in records:
            end = held.merged.get(record, record)
            if end in rows:
                found[object_, record] = Place(LINKS[object_], end, _owner(rows[end]), moved=end != record)
            elif end[:3] != record[:3]:
                converted[object_, record] = ("Contact", end)
    if converted:
        onward = places(http, shapes, converted.values())
        for lead, contact in converted.items():
            if contact in onward:
                found[lead] = Place(onward[contact].link, onward[contact].record, onward[contact].owner, moved=True)
    return found


def existing(http: Transport, tasks: Sequence[Task]) -> dict[str, str]:
    """Find tasks by their keys: key → id. Deleted ones count, for somebody was done with them.

    Salesforce filters by no part of a description, so the tasks of the same records with the same subjects are read.
    """
    wanted = {task.key for task in tasks}
    found: dict[str, str] = {}
    for link in sorted(set(LINKS.values())):
        pairs = {(t.subject, t.place.record) for t in tasks if t.place is not None and t.place.link == link}
        for where in _conditions(link, pairs):
            for row in every(http, "SELECT Id,Description,WhoId,WhatId FROM Task", where, deleted=True):
                own = full_id(text(row.get("Id")) or "")
                found |= {key: own for key in keys_in(row.get("Description")) if key in wanted and key not in found}
    return found


def _owner(row: Mapping[str, object]) -> str | None:
    owner = text(row.get(OWNER)) or ""
    return full_id(owner) if owner.startswith(USER) else None


def _conditions(link: str, pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Give conditions that hold all pairs of subject and record, each short enough for a query and its address."""
    subjects: dict[str, None] = {}
    records: dict[str, None] = {}
    for subject, record in sorted(pairs):
        told, named = quoted(subject), quoted(record)
        if records and not _fits([*subjects, told], [*records, named]):
            yield _condition(link, subjects, records)
            subjects, records = {}, {}
        subjects[told] = records[named] = None
    if records:
        yield _condition(link, subjects, records)


def _fits(subjects: Sequence[str], records: Sequence[str]) -> bool:
    together = ",".join(dict.fromkeys((*subjects, *records)))
    return len(together) <= CONDITION and len(quote_plus(together)) <= ADDRESS


def _condition(link: str, subjects: Iterable[str], records: Iterable[str]) -> str:
    return f"{link} IN ({','.join(records)}) AND Subject IN ({','.join(subjects)})"
