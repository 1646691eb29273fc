"""Reading Salesforce records: full loads by id, increments by last change, what was deleted, merged or converted
(crm-apis §B3, §B4, §B12).

A pull is two phases, each a row of pages that can be stopped and resumed between any two: `all` (the first load, which
goes on as `bulk` where there is much to load) or `since` (an increment), then `deleted`. Pages follow the last record
seen, never the CRM's own paging token, which expires. It never writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from engage_sync.connectors import cursors, salesforce_bulk_query
from engage_sync.connectors.base import Cursor, Kind, Page, Record
from engage_sync.connectors.replies import senseless, text
from engage_sync.connectors.salesforce_errors import AccessRefused, CallRefused
from engage_sync.connectors.salesforce_fields import Shape, full_id, reading, stamp
from engage_sync.connectors.salesforce_find import (
    AT_ONCE,
    CONTACT,
    CONVERTED,
    MODIFIED,
    all_of,
    always,
    chunks,
    look_up,
    lost,
    onward_of,
    quoted,
)
from engage_sync.connectors.salesforce_http import Rows, Transport
from engage_sync.errors import Transient

PAGE = 2_000
"""Records of one page, the most that Salesforce gives."""
OVERLAP = 600
"""Seconds that an increment reaches back before the pull it follows: reads lag, and stamps are not in order of commit
(lessons: late rows)."""
BEHIND = 60
"""Seconds beyond `OVERLAP` for which the CRM's stamps and the clock of its answers may differ."""
BULK_ABOVE = 100_000
"""Records of a first load above which the rest of it comes by a Bulk query: 50 calls by pages of `PAGE`."""
LOG_KEPT = 14 * 86_400
"""Seconds for which Salesforce surely tells of deletions."""
VERSION = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pull stands; the cursor's content. Instants are ISO 8601 in UTC with whole seconds.

    The last record seen is `after` (its id), and in the phases that go by time `at` (its stamp). `since` is the
    watermark of an increment. `start` is when the pull began by the CRM's clock, `newest` the newest change ever seen.
    `quiet` is a watermark at which all was seen long ago: more than a page of it need not come again.
    `job` is a Bulk query for what comes after `after`, `locator` names the next page of its results.
    """

    phase: str = "all"
    after: str | None = None
    at: str | None = None
    since: str | None = None
    start: str | None = None
    newest: str | None = None
    quiet: str | None = None
    job: str | None = None
    locator: str | None = None


def pull(
    http: Transport,
    kind: Kind,
    shape: Shape,
    cursor: Cursor | None,
    *,
    sleep: Callable[[float], None] = time.sleep,
    bulk_above: int = BULK_ABOVE,
) -> Page:
    """Fetch one page. A cursor that cannot be read (another version's) starts a full load, which is always right."""
    place = _read_cursor(cursor)
    if place.phase == "deleted":
        return _deleted(http, shape, place)
    if place.phase == "bulk" and (page := _bulk(http, kind, shape, place, sleep)) is not None:
        return page
    if place.phase == "bulk":  # the job came to nothing: the records after the last page follow in pages
        place = replace(place, phase="all", job=None, locator=None)
    return _changed(http, kind, shape, place, bulk_above)


def read(http: Transport, kind: Kind, shape: Shape, ids: Sequence[str]) -> Page:
    """Read live records by id, giving those merged or converted into another as merged, those not found as vanished."""
    found = look_up(http, shape, ids, shape.readable(kind.fields))
    records, _, _ = _records(kind, shape, found.rows)
    return Page(records, found.gone, found.merged, Cursor(""), done=True)


def _changed(http: Transport, kind: Kind, shape: Shape, place: Place, bulk_above: int) -> Page:
    """One page of the full load, in the order of ids, or of an increment, in the order of changes."""
    first, *further = chunks([*always(shape), *_converted(shape), *shape.readable(kind.fields)])
    where = _after_id(place) if place.phase == "all" else _after_change(place)
    order = "Id" if place.phase == "all" else f"{MODIFIED},Id"
    # The first page of a full load names no limit, so that its answer tells how many there are in all.
    opening = place.phase == "all" and place.after is None
    limit = "" if opening else f" LIMIT {PAGE}"
    asked = f"SELECT {','.join(first)} FROM {shape.object}{where} ORDER BY {order}"
    try:
        rows = http.query(asked + limit)
    except Transient as slow:
        if not opening or "QUERY_TIMEOUT" not in str(slow):
            raise
        opening = False  # counting all of them takes too long: without their number, a page is quick
        rows = http.query(f"{asked} LIMIT {PAGE}")
    found = _widened(http, shape.object, rows.records, further)
    records, merged, vanished = _records(kind, shape, found)
    place = _seen(place, rows)
    following = _following(shape, place, rows, whole=opening)
    if opening and rows.total > bulk_above:
        following = _by_bulk(http, kind, shape, following)
    total = rows.total if opening else None
    return Page(records, vanished, merged, _cursor(following), done=False, expected=total)


def _by_bulk(http: Transport, kind: Kind, shape: Shape, place: Place) -> Place:
    """Have the rest of a first load worked on as a job, where that is possible."""
    fields = [*always(shape), *_converted(shape), *shape.readable(kind.fields)]
    if place.phase != "all" or not salesforce_bulk_query.possible(shape, fields):
        return place
    asked = ",".join(dict.fromkeys(fields))
    job = salesforce_bulk_query.begin(http, f"SELECT {asked} FROM {shape.object}{_after_id(place)}")
    return place if job is None else replace(place, phase="bulk", job=job)


def _bulk(http: Transport, kind: Kind, shape: Shape, place: Place, sleep: Callable[[float], None]) -> Page | None:
    """One page of a Bulk query's results; None when the job, or its results, are no more."""
    found = salesforce_bulk_query.results(http, place.job or "", place.locator, sleep=sleep)
    if found is None:
        return None
    records, merged, vanished = _records(kind, shape, found.rows)
    place = _seen(place, Rows(found.rows, len(found.rows), found.locator is None, found.now_ms))
    if found.locator is None:
        place = replace(place, phase="deleted", after=None, job=None, locator=None)
    else:
        place = replace(place, locator=found.locator)
    return Page(records, vanished, merged, _cursor(place), done=False)


def _following(shape: Shape, place: Place, rows: Rows, *, whole: bool) -> Place:
    """Give the place of the next page: after the last record, or in the phase of deleted records."""
    if rows.done and (whole or len(rows.records) < PAGE):
        return replace(place, phase="deleted", after=None, at=None)
    if not rows.records:
        raise senseless(f"Salesforce tells of further {shape.object} records but gives none", None)
    last = rows.records[-1]
    at = _second(last) if place.phase == "since" else None
    if at is not None and at == place.quiet:
        return replace(place, after=None, at=at, quiet=None)
    return replace(place, after=text(last.get("Id")), at=at)


def _deleted(http: Transport, shape: Shape, place: Place) -> Page:
    """One page of the records deleted or merged since the watermark, all of the recycle bin after a full load."""
    fields = ["Id", MODIFIED, *lost(shape)]
    where = _after_change(place, "IsDeleted = true")
    asked = f"SELECT {','.join(dict.fromkeys(fields))} FROM {shape.object}{where} ORDER BY {MODIFIED},Id LIMIT {PAGE}"
    rows = http.query(asked, deleted=True)
    ids = {str(row.get("Id")): onward_of({**row, "IsDeleted": True}) for row in rows.records}
    merged = {old: new for old, new in ids.items() if new is not None}
    vanished = [one for one, new in ids.items() if new is None]
    place = _seen(place, rows)
    if rows.done and len(rows.records) < PAGE:
        vanished += _purged(http, shape, place)
        return Page([], vanished, merged, _cursor(_next_increment(place)), done=True)
    if not rows.records:
        raise senseless(f"Salesforce tells of further deleted {shape.object} records but gives none", None)
    last = rows.records[-1]
    place = replace(place, after=text(last.get("Id")), at=_second(last))
    return Page([], vanished, merged, _cursor(place), done=False)


def _purged(http: Transport, shape: Shape, place: Place) -> list[str]:
    """Give the ids of records that were deleted since the watermark and are in no recycle bin any more.

    Salesforce keeps its list of deletions for 15 days (crm-apis §B4); what it does not tell is not made up.
    """
    if place.since is None or place.start is None:
        return []
    span = {"start": max(place.since, _moved(place.start, -LOG_KEPT)), "end": place.start}
    try:
        answer = http.get(f"sobjects/{shape.object}/deleted/", span)
    except (CallRefused, AccessRefused):
        return []
    told = answer.get("deletedRecords") if isinstance(answer, dict) else None
    ids = [full_id(one) for row in told or () if isinstance(row, dict) and (one := text(row.get("id"))) is not None]
    there: set[str] = set()
    for start in range(0, len(ids), AT_ONCE):
        there |= all_of(http, shape.object, ["Id"], ids[start : start + AT_ONCE]).keys()
    return [one for one in ids if one not in there]


def _next_increment(place: Place) -> Place:
    """Set the watermark of the next increment.

    It reaches back before the start of this pull, for what was committed late or while the pull ran. When nothing had
    changed for longer than that, it starts at the newest change itself, that second included, but only a page of it: a
    large load is not read again for ever. With nothing ever seen it starts from the beginning.
    """
    if place.newest is None or place.start is None:
        return Place("since")
    back = _moved(place.start, -OVERLAP)
    quiet = place.newest < _moved(back, -BEHIND)
    if quiet:
        return Place("since", since=place.newest, newest=place.newest, quiet=place.newest)
    return Place("since", since=min(back, place.newest), newest=place.newest)


def _after_id(place: Place) -> str:
    return "" if place.after is None else f" WHERE Id > {quoted(place.after)}"


def _after_change(place: Place, also: str | None = None) -> str:
    """Give the condition for records after the last one seen, by change and then by id; equal stamps are not lost."""
    if place.at is not None and place.after is not None:
        where = f"({MODIFIED} > {place.at} OR ({MODIFIED} = {place.at} AND Id > {quoted(place.after)}))"
    elif place.at is not None:
        where = f"{MODIFIED} > {place.at}"
    elif place.since is not None:
        where = f"{MODIFIED} >= {place.since}"
    else:
        where = None
    parts = [part for part in (also, where) if part is not None]
    return f" WHERE {' AND '.join(parts)}" if parts else ""


def _converted(shape: Shape) -> list[str]:
    return shape.readable((CONVERTED, CONTACT))


def _widened(
    http: Transport, object_: str, rows: list[dict[str, object]], further: Sequence[Sequence[str]]
) -> list[dict[str, object]]:
    """Add the fields that the page's own query had no room for. A record deleted meanwhile is left out: it is among
    the deleted ones soon."""
    for chunk in further:
        more: dict[str, dict[str, object]] = {}
        for start in range(0, len(rows), AT_ONCE):
            ids = [str(row.get("Id")) for row in rows[start : start + AT_ONCE]]
            more |= all_of(http, object_, ["Id", *chunk], ids, deleted=False)
        rows = [{**row, **more[str(row.get("Id"))]} for row in rows if str(row.get("Id")) in more]
    return rows


def _records(
    kind: Kind, shape: Shape, rows: Iterable[Mapping[str, object]]
) -> tuple[list[Record], dict[str, str], list[str]]:
    """Turn rows into records; a converted lead leads to its contact, or has vanished."""
    readings = [(name, reading(shape.fields.get(name))) for name in shape.readable(kind.fields)]
    records: list[Record] = []
    merged: dict[str, str] = {}
    vanished: list[str] = []
    for row in rows:
        record = text(row.get("Id"))
        if record is None:
            raise senseless(f"Salesforce gave a record of {shape.object} without Id", str(row)[:500])
        if row.get(CONVERTED) in _TRUE and kind.object == "Lead":
            contact = text(row.get(CONTACT))
            merged |= {full_id(record): full_id(contact)} if contact else {}
            vanished += [] if contact else [full_id(record)]
            continue
        values = {name: turned(row[name]) for name, turned in readings if name in row}
        records.append(Record(full_id(record), values, stamp(row.get(MODIFIED)) or ""))
    return records, merged, vanished


_TRUE = frozenset({True, "true"})
"""As JSON and as CSV have it."""


def _seen(place: Place, rows: Rows) -> Place:
    """Keep when the pull began and the newest change seen so far."""
    stamps = [at for row in rows.records if (at := _second(row)) is not None]
    known = [one for one in (place.newest, max(stamps, default=None)) if one is not None]
    return replace(place, start=place.start or _moment(rows.now_ms), newest=max(known, default=None))


def _second(row: Mapping[str, object]) -> str | None:
    """Give a row's last change as a SOQL literal, which is ISO 8601; kept as told, for ties must compare equal."""
    return stamp(row.get(MODIFIED))


def _moment(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moved(moment: str, seconds: int) -> str:
    return _moment(int(datetime.fromisoformat(moment).timestamp() + seconds) * 1000)


def _cursor(place: Place) -> Cursor:
    kept = {name: value for name in _NAMES if (value := getattr(place, name)) is not None}
    return cursors.written(kept, VERSION)


_NAMES = ("phase", "after", "at", "since", "start", "newest", "quiet", "job", "locator")


def _read_cursor(cursor: Cursor | None) -> Place:
    kept = cursors.read(cursor, VERSION)
    if kept is None:
        return Place()
    sound = kept.get("phase") in {"all", "bulk", "since", "deleted"} and all(
        isinstance(one, str) for one in kept.values()
    )
    return Place(**kept) if sound and set(kept) <= set(_NAMES) else Place()
