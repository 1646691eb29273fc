"""Who set a field of a Salesforce record: the newest row of its field history, where the org tracks the field, else who
changed the record last, which tells less. Reads only. An org without history, or that lets us not see it, is no error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engage_sync.connectors.base import Author
from engage_sync.connectors.replies import text
from engage_sync.connectors.salesforce_errors import AccessRefused, CallRefused
from engage_sync.connectors.salesforce_fields import full_id, stamp
from engage_sync.connectors.salesforce_find import quoted
from engage_sync.connectors.salesforce_http import Transport

AT_ONCE = 100
"""Records named in one query: their ids and the fields' names must fit in its condition (crm-apis §B3)."""
LONGEST = 1_500
"""Characters that the fields' names may take of it; more are not named, and other fields' rows come too."""
ROWS = 2_000

Fields = Sequence[tuple[str, str]]


def authors(http: Transport, object_name: str, fields: Fields) -> dict[tuple[str, str], Author]:
    """Tell who set some fields (record, field): two calls for 100 records."""
    found: dict[tuple[str, str], Author] = {}
    for part in _parts(fields):
        known = _tracked(http, object_name, part)
        found |= known
        if rest := [one for one in part if one not in known]:
            found |= _last(http, object_name, rest)
    return found


def _parts(fields: Fields) -> Iterator[Fields]:
    wanted: dict[str, list[tuple[str, str]]] = {}
    for one in fields:
        wanted.setdefault(one[0], []).append(one)
    records = list(wanted)
    for start in range(0, len(records), AT_ONCE):
        yield [one for record in records[start : start + AT_ONCE] for one in wanted[record]]


def _tracked(http: Transport, object_name: str, fields: Fields) -> dict[tuple[str, str], Author]:
    """Read the field history. A value that our own user set was set by no person: nobody else uses that user."""
    parent = "ParentId" if object_name.endswith("__c") else f"{object_name}Id"
    table = f"{object_name.removesuffix('__c')}__History" if object_name.endswith("__c") else f"{object_name}History"
    names = ",".join(quoted(name) for name in dict.fromkeys(name for _, name in fields))
    also = f" AND Field IN ({names})" if len(names) <= LONGEST else ""
    rows = _asked(
        http,
        f"SELECT {parent},Field,NewValue,CreatedById,CreatedBy.Name,CreatedDate FROM {table}"
        f" WHERE {parent} IN ({_ids(fields)}){also} ORDER BY CreatedDate DESC,Id DESC LIMIT {ROWS}",
    )
    own = http.user()
    wanted = {(full_id(record), name.lower()): (record, name) for record, name in fields}
    found: dict[tuple[str, str], Author] = {}
    for row in rows:
        key = wanted.get((full_id(text(row.get(parent)) or ""), (text(row.get("Field")) or "").lower()))
        if key is not None and key not in found:
            ours = bool(own) and full_id(text(row.get("CreatedById")) or "") == full_id(own)
            at = stamp(row.get("CreatedDate"))
            found[key] = Author(_name(row.get("CreatedBy")), at, False if ours else None, ours if own else None)
    return found


def _last(http: Transport, object_name: str, fields: Fields) -> dict[tuple[str, str], Author]:
    """Read who changed the records last. That may have been about another field, and `name` says so."""
    asked = "Id,LastModifiedById,LastModifiedBy.Name,LastModifiedDate"
    rows = _asked(http, f"SELECT {asked} FROM {object_name} WHERE Id IN ({_ids(fields)})")
    own = http.user()
    told = {full_id(text(row.get("Id")) or ""): row for row in rows}
    found = {}
    for record, name in fields:
        row = told.get(full_id(record))
        who = None if row is None else _name(row.get("LastModifiedBy"))
        if row is not None and who is not None:
            ours = full_id(text(row.get("LastModifiedById")) or "") == full_id(own) if own else None
            at = stamp(row.get("LastModifiedDate"))
            found[record, name] = Author(f"record last changed by {who}", at, None, ours, of_record=True)
    return found


def _asked(http: Transport, soql: str) -> list[dict[str, object]]:
    """Run a query; none where the org has no such table or field for us."""
    try:
        return http.query(soql).records
    except (CallRefused, AccessRefused):
        return []


def _ids(fields: Fields) -> str:
    return ",".join(quoted(record) for record in dict.fromkeys(record for record, _ in fields))


def _name(user: object) -> str | None:
    return text(user.get("Name")) if isinstance(user, Mapping) else None
