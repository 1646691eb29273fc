"""Salesforce's reading routes: queries with their pages, single records, what was deleted or updated in a span of time
(crm-apis §B3, B4). Changes nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from engage_sync.sandbox.salesforce_history import histories
from engage_sync.sandbox.salesforce_org import Cursor, Org, rendered
from engage_sync.sandbox.salesforce_query import Columns, Found, Runner
from engage_sync.sandbox.salesforce_refusal import Denied, RowRefused
from engage_sync.sandbox.salesforce_setup import virtual
from engage_sync.sandbox.salesforce_soql import Query, parse
from engage_sync.sandbox.salesforce_values import instant, moment, seconds
from engage_sync.sandbox.salesforce_wire import Ask, denial, reply
from engage_sync.sandbox.wire import Answer, Json

_DAYS = {"deleted": 15, "updated": 30}


def query(org: Org, ask: Ask) -> Answer:
    """Answer `/query?q=`."""
    return _query(org, ask, deleted=False)


def query_all(org: Org, ask: Ask) -> Answer:
    """Answer `/queryAll?q=`, which also sees deleted and merged records."""
    return _query(org, ask, deleted=True)


def tooling_query(org: Org, ask: Ask) -> Answer:
    """Answer `/tooling/query?q=`."""
    return _query(org, ask, deleted=False, tooling=True)


def more(org: Org, ask: Ask, locator: str) -> Answer:
    """Answer the next page of a query."""
    number, _, place = locator.rpartition("-")
    with org.store.lock:
        cursor = org.cursors.get(number)
        if cursor is None or not place.isdigit() or cursor.until <= org.store.clock().timestamp():
            org.cursors.pop(number, None)
            raise Denied(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return _page(org, ask, cursor.found, int(place), number)


def _query(org: Org, ask: Ask, *, deleted: bool, tooling: bool = False) -> Answer:
    text = ask.call.one("q")
    if not text:
        raise Denied(400, "MALFORMED_QUERY", "SOQL query is required: the parameter q is missing")
    parsed = parse(text)
    with org.store.lock:
        extra = virtual(org, tooling=tooling) | histories(org.store, parsed.object)
        found = Runner(org.store, extra).run(parsed, deleted=deleted)
        if parsed.count:
            return reply({"totalSize": found.count, "done": True, "records": []})
        _whole_definitions(parsed, found)
        return _page(org, ask, found, 0, None)


def _whole_definitions(parsed: Query, found: Found) -> None:
    wide = {name.lower() for name in parsed.fields} & {"metadata", "fullname"}
    if wide and found.object in ("CustomField", "Layout") and found.count > 1:
        raise Denied(
            400,
            "MALFORMED_QUERY",
            "When retrieving results with Metadata or FullName fields, the query qualifications must specify no more "
            f"than one row for retrieval. Result size: {found.count}",
        )


def _page(org: Org, ask: Ask, found: Found, place: int, number: str | None) -> Answer:
    asked = re.search(r"batchSize\s*=\s*(\d+)", ask.call.headers.get("sforce-query-options", ""), re.IGNORECASE)
    size = org.page if asked is None else min(max(int(asked[1]), 200), org.page)
    rows = found.records[place : place + size]
    after = place + len(rows)
    done = after >= found.count
    body: Json = {"totalSize": found.count, "done": done}
    if not done:
        if number is None:
            number = org.mint("01g")
            org.cursors[number] = Cursor(found, org.store.clock().timestamp() + org.locator_life)
        body["nextRecordsUrl"] = f"{ask.root}/query/{number}-{after}"
    body["records"] = rendered(found, rows, ask.root)
    return reply(body)


def one(org: Org, ask: Ask, entity: str, number: str) -> Answer:
    """Answer one record with all its visible fields, or those asked for."""
    with org.store.lock:
        writer = org.writer(entity, ask)
        try:
            record = writer.find(number)
        except RowRefused as refused:
            code = refused.errors[0].code
            if code == "ENTITY_IS_DELETED":
                return denial(404, refused.errors)
            raise Denied(
                404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: " + number
            ) from refused
        find = Columns(org.store, writer.shelf)
        names = ask.call.several("fields") or [*org.store.access.rights(writer.entity)]
        found = Found(writer.entity, [find(name) for name in names], [record], 1)
        return reply(rendered(found, [record], ask.root)[0])


def by_external_id(org: Org, ask: Ask, entity: str, name: str, value: str) -> Answer:
    """Answer the record that holds a value in an external-id field; several are a 300 with their paths."""
    with org.store.lock:
        writer = org.writer(entity, ask)
        field = writer.shelf.type.find(name)
        if field is None or not (field.external_id or field.name == "Id"):
            raise Denied(404, "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {name}")
        owners = writer.owners(field, value)
        if len(owners) > 1:
            return reply([f"{ask.root}/sobjects/{writer.entity}/{owner}" for owner in owners], 300)
        if not owners:
            raise Denied(404, "NOT_FOUND", "The requested resource does not exist")
    return one(org, ask, entity, owners[0])


def changed_since(org: Org, ask: Ask, entity: str, what: str) -> Answer:
    """Answer `/deleted/` or `/updated/` between `start` and `end`, whole minutes."""
    start, end = (_minute(ask, name) for name in ("start", "end"))
    earliest = org.store.clock() - timedelta(days=_DAYS[what])
    if end <= start:
        raise Denied(400, "INVALID_REPLICATION_DATE", "startDate before endDate")
    if start < earliest.replace(second=0, microsecond=0):
        raise Denied(400, "INVALID_REPLICATION_DATE", "startDate before org replication enabled date")
    low, high = seconds(start), seconds(end)
    with org.store.lock:
        shelf = org.store.shelf(org.entity(entity))
        rows = [r for r in shelf.by_stamp((low, ""), high - 1) if r.deleted == (what == "deleted")]
        purged = [(own, at) for own, at in shelf.purged.items() if low <= at < high]
    latest = instant(min(high, seconds(org.store.clock())))
    if what == "updated":
        return reply({"ids": [record.id for record in rows], "latestDateCovered": latest})
    gone = [*((record.id, record.stamp) for record in rows), *purged]
    deleted = [{"id": own, "deletedDate": instant(at)} for own, at in gone]
    first = instant(seconds(earliest))
    return reply({"deletedRecords": deleted, "earliestDateAvailable": first, "latestDateCovered": latest})


def _minute(ask: Ask, name: str) -> datetime:
    given = ask.call.one(name)
    try:
        read = datetime.fromisoformat(given or "")
    except ValueError:
        raise Denied(400, "INVALID_REPLICATION_DATE", f"{name} is not a date: {given}") from None
    if read.tzinfo is None:
        raise Denied(400, "INVALID_REPLICATION_DATE", f"{name} needs a time zone: {given}")
    return moment(seconds(read.astimezone(UTC)) // 60 * 60)
