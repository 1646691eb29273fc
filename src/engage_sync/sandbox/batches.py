"""HubSpot's batch calls of up to 100 records: read, update, create, upsert, archive (crm-apis §A7). A mistake in any
row refuses the whole batch before anything changes; ids that are not there come back together in one error."""

from __future__ import annotations

from collections.abc import Sequence

from engage_sync.sandbox.checks import Prepared, Row, claim, complete, prepare, prepare_rows
from engage_sync.sandbox.objects import Desk, by_property
from engage_sync.sandbox.refusal import Refused, unreadable
from engage_sync.sandbox.shapes import view, written
from engage_sync.sandbox.shelf import Record, Shelf
from engage_sync.sandbox.tying import wished
from engage_sync.sandbox.values import instant
from engage_sync.sandbox.wire import Answer, Call, Json, inputs, item, needed, text, texts, values

ERRORS_IN_200 = "2026-09"
"""From this version on a batch with errors answers 200 with `errors` inside, not 207."""


def read(desk: Desk, call: Call, object_: str) -> Answer:
    """POST batch/read, by id or by a unique property."""
    body = call.json()
    history = texts(body, "propertiesWithHistory")
    rows = inputs(body, 50 if history else 100)
    archived = call.flag("archived")
    name = text(body, "idProperty")
    with desk.store.lock:
        shelf = desk.store.shelf(object_)
        shown = view(shelf.type, desk.portal, texts(body, "properties"), history)
        found: dict[int, Record] = {}
        missing = []
        for key in (needed(row, "id") for row in rows):
            record = by_property(shelf, name, key) if name else _live(desk, object_, key, archived=archived)
            if record is None:
                missing.append(key)
            else:
                found[record.id] = record
        results = [shown.show(record) for record in found.values()]
    return _answer(desk, results, _missing(shelf, missing))


def update(desk: Desk, call: Call, object_: str) -> Answer:
    """POST batch/update by record id. A merged-away id reaches the survivor and comes back under its id."""
    rows = inputs(call.json())
    with desk.store.lock:
        shelf = desk.store.shelf(object_)
        keys = [needed(row, "id") for row in rows]
        _distinct(keys)
        if any(text(row, "idProperty") == "email" for row in rows):
            raise Refused(f"Unable to perform update/upsert by non-unique {shelf.type.type_id} property email")
        found = [_target(desk, shelf, row, key) for row, key in zip(rows, keys, strict=True)]
        there = [(row, record) for row, record in zip(rows, found, strict=True) if record is not None]
        planned: list[Row] = [(record, values(row)) for row, record in there]
        unknown = [(None, values(row)) for row, record in zip(rows, found, strict=True) if record is None]
        prepared = prepare_rows(shelf, [*planned, *unknown])[: len(planned)]
        _claim_all(shelf, [record for _, record in there], prepared)
        for (_, record), ready in zip(there, prepared, strict=True):
            desk.store.apply(object_, record, ready, desk.source)
        results = [
            _traced(row, written(shelf.type, desk.portal, wanted).show(record))
            for (row, record), (_, wanted) in zip(there, planned, strict=True)
        ]
    missing = [key for key, record in zip(keys, found, strict=True) if record is None]
    return _answer(desk, results, _missing(shelf, missing))


def create(desk: Desk, call: Call, object_: str) -> Answer:
    """POST batch/create. Rows that all carry an `objectWriteTraceId` fail one by one, else the whole batch does."""
    rows = inputs(call.json())
    traced = bool(rows) and all(text(row, "objectWriteTraceId") for row in rows)
    wanted = [values(row) for row in rows]
    results, errors = [], []
    with desk.store.lock:
        shelf = desk.store.shelf(object_)
        if not traced:
            _all_new(desk, shelf, rows, wanted)
        for row, given in zip(rows, wanted, strict=True):
            try:
                ends = wished(desk.store, object_, row)
                record = desk.store.insert(object_, prepare(shelf, None, given), desk.source)
                for other, number in ends:
                    desk.store.associate(str(record.id), other, number)
            except Refused as refused:
                errors.append(item(refused, {"objectWriteTraceId": [text(row, "objectWriteTraceId") or ""]}))
            else:
                results.append(_traced(row, written(shelf.type, desk.portal, given).show(record)))
    return _answer(desk, results, errors, done=201)


def upsert(desk: Desk, call: Call, object_: str) -> Answer:
    """POST batch/upsert by a unique property: creates what is not there. Rows say `new`."""
    rows = inputs(call.json())
    with desk.store.lock:
        shelf = desk.store.shelf(object_)
        found = [_target(desk, shelf, row, needed(row, "id"), create=True) for row in rows]
        reached = [str(r.id) if r is not None else needed(row, "id") for row, r in zip(rows, found, strict=True)]
        _distinct(reached)
        wanted = [_keyed(row, record) for row, record in zip(rows, found, strict=True)]
        prepared = prepare_rows(shelf, list(zip(found, wanted, strict=True)))
        _claim_all(shelf, found, prepared)
        results = []
        for row, record, ready, given in zip(rows, found, prepared, wanted, strict=True):
            reach = record if record is not None else desk.store.insert(object_, ready, desk.source)
            if record is not None:
                desk.store.apply(object_, record, ready, desk.source)
            shown = written(shelf.type, desk.portal, given).show(reach)
            results.append(_traced(row, shown | {"new": record is None}))
    return _answer(desk, results, [])


def archive(desk: Desk, call: Call, object_: str) -> Answer:
    """POST batch/archive; ids that are not there are no error."""
    for row in inputs(call.json()):
        desk.store.archive(object_, needed(row, "id"))
    return Answer(204)


def _live(desk: Desk, object_: str, key: str, *, archived: bool = False) -> Record | None:
    try:
        return desk.store.need(object_, key, archived=archived)
    except Refused:
        return None


def _target(desk: Desk, shelf: Shelf, row: Json, key: str, *, create: bool = False) -> Record | None:
    """Find the record a row means. Raises Refused for a property that is not unique, or an upsert by an unknown id."""
    name = text(row, "idProperty")
    if name is not None:
        return by_property(shelf, name, key)
    record = _live(desk, shelf.type.name, key)
    if record is None and create:
        raise Refused(f"Unable to upsert: no record has id {key} and no idProperty is given.", context={"ids": [key]})
    return record


def _keyed(row: Json, record: Record | None) -> dict[str, str]:
    name = text(row, "idProperty")
    given = values(row)
    return given if record is not None or name is None else {name: needed(row, "id"), **given}


def _distinct(keys: Sequence[str]) -> None:
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        message = f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique"
        raise Refused(message, context={"ids": twice})


def _all_new(desk: Desk, shelf: Shelf, rows: Sequence[Json], wanted: Sequence[dict[str, str]]) -> None:
    """Check a whole batch of new records, so that a refusal leaves nothing created."""
    prepared = prepare_rows(shelf, [(None, given) for given in wanted])
    for row, ready in zip(rows, prepared, strict=True):
        complete(shelf, ready, desk.store.former_owners)
        wished(desk.store, shelf.type.name, row)
    seen = set()
    for ready in prepared:
        for name in shelf.unique_names():
            value = ready.get(name)
            if value is None:
                continue
            owner = shelf.owner(name, value)
            if owner is not None or (name, value) in seen:
                who = owner if owner is not None else "in this batch"
                message = f"{shelf.type.singular.capitalize()} already exists. Existing ID: {who}"
                raise Refused(message, status=409, category="CONFLICT")
            seen.add((name, value))


def _claim_all(shelf: Shelf, records: Sequence[Record | None], prepared: Sequence[Prepared]) -> None:
    """Check the unique values of all rows before the first change, so that all rows are written or none."""
    unique = set(shelf.unique_names())
    taken: set[tuple[str, str]] = set()
    for record, ready in zip(records, prepared, strict=True):
        for name in unique & ready.keys():
            value = ready[name]
            if value is None:
                continue
            if (name, value) in taken:
                raise unreadable(f"two rows set the unique property {name} to {value}")
            taken.add((name, value))
        claim(shelf, record, ready)


def _traced(row: Json, shown: Json) -> Json:
    trace = text(row, "objectWriteTraceId")
    return shown | {"objectWriteTraceId": trace} if trace else shown


def _missing(shelf: Shelf, keys: Sequence[str]) -> list[Json]:
    if not keys:
        return []
    message = (
        f"Could not get some {shelf.type.singular} objects, they may be deleted or not exist. Check that ids are valid."
    )
    return [item(Refused(message, category="OBJECT_NOT_FOUND"), {"ids": list(keys)})]


def _answer(desk: Desk, results: list[Json], errors: list[Json], *, done: int = 200) -> Answer:
    now = instant(desk.store.now())
    body: Json = {"status": "COMPLETE", "results": desk.mixed(results), "startedAt": now, "completedAt": now}
    if not errors:
        return Answer(done, body)
    dated = desk.dated != "v3" and desk.dated >= ERRORS_IN_200
    return Answer(done if dated else 207, body | {"numErrors": len(errors), "errors": errors})
