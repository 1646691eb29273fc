"""Salesforce's writing routes for records: one at a time, collections of up to 200 rows in request order, and composite
requests (crm-apis §B5 to B7). Bulk jobs are elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engage_sync.sandbox.salesforce_conditions import Column
from engage_sync.sandbox.salesforce_ids import normal
from engage_sync.sandbox.salesforce_org import Org, rendered
from engage_sync.sandbox.salesforce_query import Columns, Found
from engage_sync.sandbox.salesforce_refusal import Denied, RowError, RowRefused, malformed, refuse
from engage_sync.sandbox.salesforce_undo import Undo
from engage_sync.sandbox.salesforce_wire import Ask, denial, failed, reply
from engage_sync.sandbox.salesforce_writes import LOCKED, Writer
from engage_sync.sandbox.wire import Answer, Json

MOST = 200
_GONE = ("ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY")


# -- single records


def create(org: Org, ask: Ask, entity: str) -> Answer:
    """Create one record."""
    given = ask.body()
    with org.store.lock:
        try:
            record = org.writer(entity, ask).insert(_cells(given))
        except RowRefused as refused:
            return denial(400, refused.errors)
        return reply({"id": record.id, "success": True, "errors": []}, 201)


def change(org: Org, ask: Ask, entity: str, number: str) -> Answer:
    """Change one record."""
    given = ask.body()
    with org.store.lock:
        if any(name.lower() == "id" for name in given):
            raise Denied(400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.", ["Id"])
        try:
            org.writer(entity, ask).update(number, _cells(given))
        except RowRefused as refused:
            return denial(404 if refused.errors[0].code in _GONE else 400, refused.errors)
        return Answer(204)


def delete(org: Org, ask: Ask, entity: str, number: str) -> Answer:
    """Delete one record."""
    with org.store.lock:
        try:
            org.writer(entity, ask).delete(number)
        except RowRefused as refused:
            return denial(404 if refused.errors[0].code in _GONE else 400, refused.errors)
        return Answer(204)


def upsert(org: Org, ask: Ask, entity: str, name: str, value: str) -> Answer:
    """Change or create the record that holds a value in an external-id field; several are a 300."""
    given = ask.body()
    with org.store.lock:
        writer = org.writer(entity, ask)
        field = writer.shelf.type.find(name)
        if field is None or not field.external_id:
            raise Denied(404, "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {name}")
        if any(key.lower() == name.lower() for key in given):
            raise Denied(
                400,
                "INVALID_FIELD",
                f"The {field.name} field should not be specified in the sobject data.",
                [field.name],
            )
        owners = writer.owners(field, value)
        if len(owners) > 1:
            return reply([f"{ask.root}/sobjects/{writer.entity}/{owner}" for owner in owners], 300)
        try:
            record, new = writer.upsert(field, value, _cells(given))
        except RowRefused as refused:
            return denial(400, refused.errors)
        return reply({"id": record.id, "success": True, "errors": [], "created": new}, 201 if new else 200)


# -- collections


def collection_update(org: Org, ask: Ask) -> Answer:
    """Change up to 200 records."""

    def write(writer: Writer, row: Json) -> Json:
        number = next((value for name, value in row.items() if name.lower() == "id"), None)
        return _done(writer.update(number, _cells(row, "id")).id)

    return _collection(org, ask, write)


def collection_create(org: Org, ask: Ask) -> Answer:
    """Create up to 200 records."""

    def write(writer: Writer, row: Json) -> Json:
        if any(name.lower() == "id" for name in row):
            raise refuse("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", "Id")
        return _done(writer.insert(_cells(row)).id)

    return _collection(org, ask, write)


def collection_upsert(org: Org, ask: Ask, entity: str, name: str) -> Answer:
    """Change or create up to 200 records by an external-id field, or by `Id`."""
    field = org.store.type(org.entity(entity)).find(name)
    if field is None or not (field.external_id or field.name == "Id"):
        raise Denied(
            400,
            "INVALID_FIELD",
            f"Field name provided, {name} does not match an External ID, Salesforce Id, or indexed field for {entity}",
        )

    def write(writer: Writer, row: Json) -> Json:
        value = next((value for key, value in row.items() if key.lower() == name.lower()), None)
        record, new = writer.upsert(field, value, _cells(row, name.lower()))
        return _done(record.id) | {"created": new}

    return _collection(org, ask, write)


def collection_delete(org: Org, ask: Ask) -> Answer:
    """Delete up to 200 records by `ids`."""
    ids = ask.call.several("ids")
    _count(len(ids))
    entities = {shelf.type.prefix: name for name, shelf in org.store.shelves.items()}
    rows: list[Json] = []
    for number in ids:
        known = entities.get(number[:3])
        if known is None or normal(number) is None:
            rows.append(failed([RowError("MALFORMED_ID", f"malformed id {number}")]))
            continue
        with org.store.lock:
            try:
                rows.append(_done(org.writer(known, ask).delete(number).id))
            except RowRefused as refused:
                rows.append(failed(refused.errors))
    return reply(rows)


def collection_read(org: Org, ask: Ask, entity: str) -> Answer:
    """Read up to 2,000 records by their ids (800 in a GET): null for those that are not there."""
    if ask.call.method == "GET":
        ids, names = ask.call.several("ids"), ask.call.several("fields")
        most = 800
    else:
        given = ask.body()
        ids, names = _texts(given, "ids"), _texts(given, "fields")
        most = 2000
    if not ids or not names:
        raise Denied(400, "MISSING_ARGUMENT", "The required parameters ids and fields are missing")
    if len(ids) > most:
        raise Denied(400, "EXCEEDED_MAX_IDS", f"The number of ids exceeds the maximum of {most}")
    with org.store.lock:
        shelf = org.store.shelf(org.entity(entity))
        find = Columns(org.store, shelf)
        columns: list[Column] = [find(name) for name in dict.fromkeys(["Id", *names])]
        rows: list[Json | None] = []
        for number in ids:
            known = normal(number)
            if known is None or known[:3] != shelf.type.prefix:
                raise Denied(400, "MALFORMED_ID", f"malformed id {number}")
            record = shelf.records.get(known)
            live = record is not None and not record.deleted
            rows.append(
                rendered(Found(shelf.type.name, columns, [], 0), [record], ask.root)[0] if live and record else None
            )
    return reply(rows)


def _collection(org: Org, ask: Ask, write: Callable[[Writer, Json], Json]) -> Answer:
    given = ask.body()
    rows = given.get("records")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise malformed("Cannot deserialize request body: records must be an array of objects")
    whole = given.get("allOrNone", False)
    if not isinstance(whole, bool):
        raise malformed("Cannot deserialize instance of boolean from allOrNone")
    _count(len(rows))
    kinds = [_entity_of(row) for row in rows]
    if sum(one != before for one, before in zip(kinds[1:], kinds, strict=False)) >= 10:
        raise Denied(400, "LIMIT_EXCEEDED", "Cannot process more than 10 chunks of records of one type")
    with org.holding(_parents(org, rows) if org.lock_hold else set()) as taken, org.store.lock:
        writers: dict[str, Writer] = {}
        seen: set[str] = set()
        results: list[Json] = []
        pretended = ask.fault == "pretended"
        undo = Undo(org.store, {kind.lower() for kind in kinds}) if whole or pretended else None
        for place, (kind, row) in enumerate(zip(kinds, rows, strict=True)):
            if kind not in writers:
                writers[kind] = _writer(org, ask, kind)
            locked = (ask.fault == "lock_rows" and place % 2 == 0) or _parent(org, row) in taken
            results.append(_row(writers[kind], row, write, seen, lock=locked))
        if undo is not None and (pretended or not all(result["success"] for result in results)):
            undo.back()
        if whole and not all(result["success"] for result in results):
            rolled = RowError(
                "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                "Record rolled back because not all records were valid and the request was using AllOrNone header",
            )
            results = [failed([rolled]) if result["success"] else result for result in results]
    return reply(results)


def _row(writer: Writer, row: Json, write: Callable[[Writer, Json], Json], seen: set[str], *, lock: bool) -> Json:
    number = next((value for name, value in row.items() if name.lower() == "id"), None)
    known = normal(number) if isinstance(number, str) else None
    try:
        if known is not None:
            if known in seen:
                raise refuse("DUPLICATE_VALUE", f"Duplicate id specified: {known}", "Id")
            seen.add(known)
        if lock:
            raise refuse("UNABLE_TO_LOCK_ROW", LOCKED.format(known or "unknown"))
        return write(writer, row)
    except RowRefused as refused:
        return failed(refused.errors)


def _parents(org: Org, rows: Sequence[Json]) -> set[str]:
    with org.store.lock:
        return {parent for parent in (_parent(org, row) for row in rows) if parent is not None}


def _parent(org: Org, row: Json) -> str | None:
    """Give the account whose lock a row's write takes."""
    number = next((value for name, value in row.items() if name.lower() == "id"), None)
    record = org.store.shelf("Contact").records.get(normal(number) or "") if isinstance(number, str) else None
    parent = row.get("AccountId") if record is None else record.values.get("AccountId")
    return parent if isinstance(parent, str) else None


def _writer(org: Org, ask: Ask, kind: str) -> Writer:
    try:
        return org.writer(kind, ask)
    except Denied as denied:
        raise Denied(400, "INVALID_TYPE", f"sObject type '{kind}' is not supported.") from denied


def _entity_of(row: Json) -> str:
    attributes = row.get("attributes")
    kind = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(kind, str) or not kind:
        raise Denied(400, "INVALID_INPUT", "Include an attributes object with a type in each record of the collection.")
    return kind


def _count(rows: int) -> None:
    if rows == 0:
        raise Denied(400, "REQUIRED_FIELD_MISSING", "At least 1 record is required")
    if rows > MOST:
        raise Denied(
            400, "LIMIT_EXCEEDED", f"record limit reached. cannot submit more than {MOST} records into this call"
        )


def _done(number: str) -> Json:
    return {"id": number, "success": True, "errors": []}


def _cells(row: Json, *without: str) -> list[tuple[str, object]]:
    return [(name, value) for name, value in row.items() if name != "attributes" and name.lower() not in without]


def _texts(given: Json, name: str) -> list[str]:
    found = given.get(name)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise malformed(f"{name} must be an array of strings")
    return found
