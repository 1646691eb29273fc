"""Finding Salesforce records by id, also those that were deleted, merged or converted, and writing what is asked for
within the limits of a query (crm-apis §B3, §B4). It never writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from engage_sync.connectors.replies import senseless, text
from engage_sync.connectors.salesforce_fields import Shape, full_id
from engage_sync.connectors.salesforce_http import LONGEST_URI, Transport

AT_ONCE = 180
"""Ids named in one query, whose condition may have 4,000 characters (crm-apis §B3)."""
ID_BYTES = 27
"""Of an id in an address, with its quotes and a comma."""
MODIFIED = "SystemModstamp"
MASTER = "MasterRecordId"
CONVERTED, CONTACT = "IsConverted", "ConvertedContactId"


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up by id found: rows of live records, ids that are gone, lost id → id of the record it leads to."""

    rows: list[dict[str, object]] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)


def look_up(http: Transport, shape: Shape, ids: Sequence[str], fields: Sequence[str] = ()) -> Found:
    """Find records by id, deleted ones too, following merges to the last survivor and converted leads to the contact.

    A converted lead's contact is named in `merged` and is no row: it is of another object.
    """
    asked = [full_id(one) for one in ids]
    rows: dict[str, dict[str, object]] = {}
    leads: dict[str, str] = {}
    looked: set[str] = set()
    following = set(asked)
    while following:
        looked |= following
        told = {str(row.get("Id")): row for row in _by_id(http, shape, sorted(following), fields)}
        onward = {one: end for one, row in told.items() if (end := onward_of(row)) is not None}
        rows |= told
        leads |= onward
        following = {end for one, end in onward.items() if _same_object(one, end)} - looked
    found = Found()
    live: dict[str, dict[str, object]] = {}
    for first in asked:
        end = _end(first, leads)
        if end in rows and end not in leads and rows[end].get("IsDeleted") is not True:
            live[end] = rows[end]
            found.merged.update({first: end} if first != end else {})
        elif first != end and not _same_object(first, end):
            found.merged[first] = end
        else:
            found.gone.append(first)
    found.rows.extend(live.values())
    return found


def _same_object(one: str, other: str) -> bool:
    """Tell whether two ids are of one object: their first three characters name it."""
    return one[:3] == other[:3]


def _end(here: str, leads: Mapping[str, str]) -> str:
    seen = set()
    while here in leads and here not in seen:
        seen.add(here)
        here = leads[here]
    return here


def onward_of(row: Mapping[str, object] | None) -> str | None:
    """Give the record that a lost one leads to: the survivor of a merge, the contact of a converted lead."""
    if row is None:
        return None
    onward = text(row.get(MASTER)) if row.get("IsDeleted") is True else None
    onward = onward or (text(row.get(CONTACT)) if row.get(CONVERTED) is True else None)
    return None if onward is None else full_id(onward)


def _by_id(http: Transport, shape: Shape, ids: Sequence[str], fields: Sequence[str]) -> Iterator[dict[str, object]]:
    """Query records by id, deleted ones too, with all fields even where one address cannot name them all."""
    first, *further = chunks([*always(shape), "IsDeleted", *lost(shape), *fields])
    for start in range(0, len(ids), AT_ONCE):
        named = ids[start : start + AT_ONCE]
        rows = all_of(http, shape.object, first, named)
        for chunk in further:
            more = all_of(http, shape.object, ["Id", *chunk], named)
            rows = {one: {**row, **more[one]} for one, row in rows.items() if one in more}
        yield from rows.values()


def all_of(
    http: Transport, object_: str, fields: Sequence[str], ids: Sequence[str], *, deleted: bool = True
) -> dict[str, dict[str, object]]:
    """Query up to `AT_ONCE` records by id, with `deleted` also those in the recycle bin. Gives rows by id."""
    named = ",".join(quoted(one) for one in ids)
    answer = http.query(f"SELECT {','.join(fields)} FROM {object_} WHERE Id IN ({named})", deleted=deleted)
    return {str(row.get("Id")): row for row in answer.records}


def every(
    http: Transport, asked: str, where: str, *, deleted: bool = False, tooling: bool = False
) -> Iterator[dict[str, object]]:
    """Give all rows of a query, page after page by id. `asked` is `SELECT Id, … FROM …`, `where` its condition."""
    after = ""
    while True:
        page = http.query(f"{asked} WHERE {where}{after} ORDER BY Id", deleted=deleted, tooling=tooling)
        yield from page.records
        if page.done:
            return
        last = text(page.records[-1].get("Id")) if page.records else None
        if last is None:
            raise senseless("Salesforce tells of further records but gives none", None)
        after = f" AND Id > {quoted(last)}"


def quoted(value: str) -> str:
    """Write a text as SOQL has it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def always(shape: Shape) -> list[str]:
    """Give the fields that every query asks for."""
    return ["Id", *shape.readable((MODIFIED,))]


def lost(shape: Shape) -> list[str]:
    """Give the fields that tell where a lost record leads, those that these credentials may see."""
    return shape.readable((MASTER, CONVERTED, CONTACT))


def chunks(fields: Sequence[str]) -> list[list[str]]:
    """Split field names so that each query's address stays short enough, with `AT_ONCE` ids in it, or a place."""
    chunks: list[list[str]] = [[]]
    length = 0
    for name in dict.fromkeys(fields):
        size = len(quote_plus(name)) + 3
        if chunks[-1] and length + size > LONGEST_URI - AT_ONCE * ID_BYTES - 1_000:
            chunks.append([])
            length = 0
        chunks[-1].append(name)
        length += size
    return chunks
