"""Reading HubSpot records: full lists, increments by keyset search, the recycle bin, merges (crm-apis §A4-§A6, §A10).

A pull is three phases, each a row of pages that can be stopped and resumed between any two: `list` (the first load) or
`search` (an increment), then `archived`. It never writes, and never pages past HubSpot's 10,000 results of one search.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlencode

from engage_sync.connectors import cursors
from engage_sync.connectors.base import CallKind, Cursor, Kind, Page, Record
from engage_sync.connectors.hubspot_errors import CallRefused
from engage_sync.connectors.hubspot_http import API, Answer, Transport
from engage_sync.connectors.hubspot_read import MERGED, encoded, look_up, merged_ids, too_long
from engage_sync.connectors.replies import SHORT, senseless, text
from engage_sync.errors import Misbehaved

LIST_PAGE = 100
SEARCH_PAGE = 200
MODIFIED = {"contacts": "lastmodifieddate", "companies": "hs_lastmodifieddate"}
FURTHER_EMAILS = {"contacts": "hs_additional_emails"}

BEGINNING = 1_000
"""The earliest watermark: HubSpot answers 500 to a search from epoch 0."""
OVERLAP_MS = 10 * 60_000
"""How far an increment reaches back before the pull it follows: records become visible out of order, and late."""
PROBE = 1_000
"""An increment larger than this leaves out the quiet time before the last pull, from its second page on."""
BODY_LIMIT = 2_900
"""Characters of a search's body, which HubSpot refuses beyond 3,000."""
VERSION = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pull stands; the cursor's content. Instants are epoch milliseconds by the CRM's clocks.

    `after` is HubSpot's paging token (list, archived) or the last record id seen (search). `since` is the watermark of
    a search, `quiet` a later one that also holds when nothing had changed for long before the last pull. `start` is
    when the pull began, `newest` the newest change seen in any pull.
    """

    phase: str = "list"
    after: str | None = None
    since: int = 0
    quiet: int | None = None
    start: int | None = None
    newest: int | None = None
    restarted: bool = False


def pull(http: Transport, kind: Kind, cursor: Cursor | None) -> Page:
    """Fetch one page. A cursor that cannot be read (another version's) starts a full load, which is always right."""
    place = _read_cursor(cursor)
    if place.phase == "archived":
        return _archived(http, kind, place)
    if place.phase == "search":
        return _search(http, kind, place)
    return _list(http, kind, place)


def read(http: Transport, kind: Kind, ids: Sequence[str]) -> Page:
    """Read live records by id, giving those that answer under another id as merged, those not found as vanished."""
    found = look_up(http, kind.object, ids, _properties(kind))
    records, _ = _records(kind, found.rows)
    return Page(records, found.gone, found.merged, Cursor(""), done=True)


def _list(http: Transport, kind: Kind, place: Place) -> Page:
    """One page of the full list; a paging token that HubSpot does not take any more starts the list again, once."""
    properties = _properties(kind)
    wide = too_long(properties)
    asked = [MERGED] if wide else properties
    path, query = f"/crm/{API}/objects/{kind.object}", _list_query(place.after, asked, archived=False)
    try:
        answer = http.get(path, query)
        if not answer.rows():
            answer = http.get(path, query)  # an empty page would end the load and lose the rest: ask twice
    except CallRefused as refused:
        if refused.status != 400 or place.after is None or place.restarted:
            raise
        return _list(http, kind, Place(start=place.start, newest=place.newest, restarted=True))
    rows = answer.rows()
    if wide:
        rows = look_up(http, kind.object, _ids(rows), properties).rows
    records, merged = _records(kind, rows)
    place = _seen(place, answer, records)
    after = _next(answer)
    if after is None:
        return _page(records, merged, Place("archived", start=place.start, newest=place.newest))
    if after == place.after:
        raise Misbehaved(f"HubSpot's list of {kind.object} gives the same page again", after)
    return _page(records, merged, replace(place, after=after))


def _search(http: Transport, kind: Kind, place: Place) -> Page:
    """One page of the increment: changed since the watermark, ids above the last one, in the order of ids."""
    answer = http.send(
        "POST", f"/crm/{API}/objects/{kind.object}/search", _search_body(kind, place), kind=CallKind.SEARCH
    )
    total = answer.body.get("total")
    if not isinstance(total, int):
        raise senseless(f"HubSpot's search of {kind.object} does not tell its total", str(answer.body)[:SHORT])
    found, vanished = answer.rows(), list[str]()
    if found and len(found) < min(total, SEARCH_PAGE) and _next(answer) is None:  # the one left out would never come
        what = f"HubSpot's search of {kind.object} tells of {total} records but gives {len(found)} and no further page"
        raise senseless(what, None)
    rows = found
    if not _fits(kind):
        looked = look_up(http, kind.object, _ids(found), _properties(kind))
        rows, vanished = looked.rows, looked.gone
    records, merged = _records(kind, rows)
    place = _seen(place, answer, records)
    if total <= len(found):
        return _page(records, merged, Place("archived", start=place.start, newest=place.newest), vanished)
    last = max((int(one) for one in _ids(found) if one.isdigit()), default=-1)
    if last <= int(place.after or 0):
        raise senseless(f"HubSpot's search of {kind.object} tells of {total} records but gives none", None)
    if place.quiet is not None and total > PROBE:
        place = replace(place, since=place.quiet, quiet=None)  # holds from the next id on; up to here all were given
    return _page(records, merged, replace(place, after=str(last)), vanished, expected=total)


def _archived(http: Transport, kind: Kind, place: Place) -> Page:
    """One page of the recycle bin. It has no order by time, so every pull reads it to its end.

    What was merged into an archived record is gone with it: no search shows that record, and no other page tells.
    """
    path = f"/crm/{API}/objects/{kind.object}"
    answer = http.get(path, _list_query(place.after, [MERGED], archived=True))
    rows = answer.rows()
    vanished = [*_ids(rows), *(old for row in rows for old in merged_ids(row))]
    after = _next(answer)
    if after is None:
        return Page([], vanished, {}, _cursor(_next_increment(place, answer.date_ms)), done=True)
    if after == place.after:
        raise Misbehaved(f"HubSpot's list of archived {kind.object} gives the same page again", after)
    return Page([], vanished, {}, _cursor(replace(place, after=after)), done=False)


def _next_increment(place: Place, now: int) -> Place:
    """Set the watermarks of the next increment.

    It reaches back from the newest change seen, or from the pull's start if that is earlier: the stamps and the clock
    of the HTTP answers may differ, and what changed while the pull ran must come again. `quiet` starts right after the
    newest change; that is safe when the change was older than the overlap already when the pull began, because
    whatever happened before it has had time to become visible. With nothing ever seen it searches from the beginning.
    """
    if place.newest is None:
        return Place("search", since=BEGINNING)
    start = place.start if place.start is not None else place.newest
    took = max(0, now - start)
    quiet = place.newest + 1 if place.newest < start - OVERLAP_MS else None
    since = min(place.newest - took, start) - OVERLAP_MS
    return Place("search", since=max(since, BEGINNING), quiet=quiet, newest=place.newest)


def _search_body(kind: Kind, place: Place) -> dict[str, object]:
    changed = {"propertyName": MODIFIED[kind.object], "operator": "GTE", "value": str(place.since)}
    further = {"propertyName": "hs_object_id", "operator": "GT", "value": place.after or "0"}
    return {
        "filterGroups": [{"filters": [changed, further]}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": _properties(kind) if _fits(kind) else [MERGED],
        "limit": SEARCH_PAGE,
    }


def _fits(kind: Kind) -> bool:
    """Whether a search can name all properties within HubSpot's limit of its body."""
    return len(json.dumps(_properties(kind))) + 400 <= BODY_LIMIT


def _properties(kind: Kind) -> list[str]:
    further = FURTHER_EMAILS.get(kind.object)
    return list(dict.fromkeys([*kind.fields, *([further] if further else []), MERGED]))


def _list_query(after: str | None, properties: Sequence[str], *, archived: bool) -> str:
    page = [
        ("limit", str(LIST_PAGE)),
        ("archived", "true" if archived else "false"),
        *([("after", after)] if after else []),
    ]
    return f"{urlencode(page)}&{encoded(tuple(properties))}"


def _next(answer: Answer) -> str | None:
    """Give the token of the next page, None on the last."""
    paging = answer.body.get("paging")
    following = paging.get("next") if isinstance(paging, dict) else None
    return text(following.get("after")) if isinstance(following, dict) else None


def _ids(rows: Iterable[Mapping[str, object]]) -> list[str]:
    return [one for row in rows if (one := text(row.get("id"))) is not None]


def _records(kind: Kind, rows: Sequence[Mapping[str, object]]) -> tuple[list[Record], dict[str, str]]:
    """Turn rows into records, and the ids that were merged into them into a map to their ids."""
    records: list[Record] = []
    merged: dict[str, str] = {}
    names = [name for name in _properties(kind) if name != MERGED or name in kind.fields]
    for row in rows:
        record, properties = row.get("id"), row.get("properties")
        if not isinstance(record, str) or not isinstance(properties, dict):
            raise Misbehaved(f"HubSpot gave a record of {kind.object} without id or properties", str(row)[:500])
        values = {name: properties[name] for name in names if name in properties}
        records.append(Record(record, values, str(row.get("updatedAt") or "")))
        if properties.get(MERGED):
            merged.update((old, record) for old in merged_ids(row))
    return records, merged


def _seen(place: Place, answer: Answer, records: Sequence[Record]) -> Place:
    """Keep when the pull began and the newest change seen so far."""
    newest = _epoch_ms(max((record.updated_at for record in records), default=""))
    known = [one for one in (place.newest, newest) if one is not None]
    start = place.start if place.start is not None else answer.date_ms
    return replace(place, start=start, newest=max(known, default=None))


def _epoch_ms(stamp: str) -> int | None:
    try:
        return int(datetime.fromisoformat(stamp).timestamp() * 1000)
    except ValueError:
        return None


def _page(
    records: Sequence[Record],
    merged: Mapping[str, str],
    place: Place,
    vanished: Sequence[str] = (),
    *,
    expected: int | None = None,
) -> Page:
    return Page(records, vanished, merged, _cursor(place), done=False, expected=expected)


def _cursor(place: Place) -> Cursor:
    fields = ("phase", "after", "since", "quiet", "start", "newest", "restarted")
    kept = {name: value for name in fields if (value := getattr(place, name))}
    return cursors.written(kept, VERSION)


def _read_cursor(cursor: Cursor | None) -> Place:
    kept = cursors.read(cursor, VERSION)
    if kept is None:
        return Place()
    whole = all(isinstance(kept.get(name), int | None) for name in ("since", "quiet", "start", "newest"))
    sound = whole and isinstance(kept.get("after"), str | None) and kept.get("phase") in {"list", "search", "archived"}
    return Place(**kept) if sound and set(kept) <= set(Place.__dataclass_fields__) else Place()
