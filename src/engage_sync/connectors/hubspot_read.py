"""Reading HubSpot records by id, and finding out what became of an id that does not answer (crm-apis §A7, §A10).

Reads only; it decides nothing about what to do with a merged or deleted record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlencode

from engage_sync.connectors.base import CallKind
from engage_sync.connectors.hubspot_errors import CallRefused
from engage_sync.connectors.hubspot_http import API, Transport
from engage_sync.connectors.replies import SHORT, senseless

BATCH = 100
MERGED = "hs_merged_object_ids"
QUERY_LIMIT = 6_000
"""Bytes of a GET's query; a longer list of properties goes in a body instead (414 otherwise)."""


@dataclass(frozen=True, slots=True)
class Found:
    """What became of some ids: live rows (each once), ids that live on under another id, ids that do not exist."""

    rows: list[dict[str, object]]
    merged: dict[str, str]
    gone: list[str]


def look_up(http: Transport, object_name: str, ids: Sequence[str], properties: Iterable[str]) -> Found:
    """Find out what each id is now: 100 a call, and one call each for those that the batch says nothing good of.

    Only a 404 of its own makes an id gone: a batch that answers too little proves nothing, and whether a batch resolves
    merged ids is not documented, while a single GET does (crm-apis §A10).
    """
    asked, names = list(dict.fromkeys(ids)), list(properties)
    rows: dict[str, dict[str, object]] = {}
    for start in range(0, len(asked), BATCH):
        for row in _batch_read(http, object_name, asked[start : start + BATCH], names):
            rows[str(row.get("id"))] = row
    into = {old: new for new, row in rows.items() for old in merged_ids(row)}
    merged = {one: into[one] for one in asked if one not in rows and one in into}
    gone = []
    for one in [one for one in asked if one not in rows and one not in merged]:
        live = _single(http, object_name, one, names)
        if live is None:
            gone.append(one)
            continue
        survivor = str(live.get("id"))
        rows[survivor] = live
        if survivor != one:
            merged[one] = survivor
    return Found(list(rows.values()), merged, gone)


def merged_ids(row: Mapping[str, object]) -> list[str]:
    """Give the ids of the records that were merged into this one."""
    properties = row.get("properties")
    told = properties.get(MERGED) if isinstance(properties, dict) else None
    return [old for old in str(told).split(";") if old and old != row.get("id")] if told else []


def _batch_read(
    http: Transport, object_name: str, ids: Sequence[str], properties: Sequence[str]
) -> list[dict[str, object]]:
    body = {"properties": list(properties), "propertiesWithHistory": [], "inputs": [{"id": one} for one in ids]}
    try:
        return http.send("POST", f"/crm/{API}/objects/{object_name}/batch/read", body, kind=CallKind.READ).rows()
    except CallRefused as refused:
        if refused.status == 404:  # none of the ids was found
            return []
        raise


def _single(http: Transport, object_name: str, record: str, properties: Sequence[str]) -> dict[str, object] | None:
    """Read one row, following a merge; None when HubSpot does not know the id or it is archived."""
    wide = too_long(properties)
    query = encoded((MERGED,) if wide else tuple(properties))
    try:
        row = dict(http.get(f"/crm/{API}/objects/{object_name}/{quote(record, safe='')}", query).body)
    except CallRefused as refused:
        if refused.status == 404:
            return None
        raise
    if not isinstance(row.get("id"), str):
        raise senseless(f"HubSpot answered the read of {record} without a record", str(row)[:SHORT])
    if wide and row["id"] != record:
        return next(iter(_batch_read(http, object_name, [str(row["id"])], properties)), None)
    return None if row.get("archived") is True else row


def too_long(properties: Sequence[str]) -> bool:
    """Tell whether a list of properties does not fit in the query of a GET."""
    return len(encoded(tuple(properties))) > QUERY_LIMIT


@lru_cache(maxsize=64)
def encoded(properties: tuple[str, ...]) -> str:
    """Give a list of properties as a query. Kept, because every page of a pull asks for the same."""
    return urlencode([("properties", name) for name in properties])
