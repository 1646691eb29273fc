"""HubSpot's calls about the associations between tasks and contacts or companies, many at once (crm-apis §A8). A record
without any is told as an error of its own, as HubSpot does; other pairs of objects are refused."""

from __future__ import annotations

from engage_sync.sandbox.objects import Desk
from engage_sync.sandbox.refusal import Refused, unreadable
from engage_sync.sandbox.ties import TASKS, TYPES
from engage_sync.sandbox.tying import live, part, type_ids
from engage_sync.sandbox.values import instant
from engage_sync.sandbox.wire import Answer, Call, Json, inputs, item, needed, text

READ_LIMIT = 1_000
CREATE_LIMIT = 2_000
PAGE = 500
"""Associations of one record that one answer holds."""


def read(desk: Desk, call: Call, from_: str, to: str) -> Answer:
    """POST batch/read: the records that each of `inputs` is associated with; an input's `after` asks for more."""
    _known(from_, to)
    results: list[Json] = []
    errors: list[Json] = []
    with desk.store.lock:
        for row in inputs(call.json(), READ_LIMIT):
            record, others = needed(row, "id"), _others(desk, from_, to, needed(row, "id"))
            if others:
                results.append({"from": {"id": record}, **_page(others, TYPES[from_, to], text(row, "after"))})
            else:
                errors.append(_nothing(desk, from_, to, record))
    return _answer(desk, results, errors, 200)


def create(desk: Desk, call: Call, from_: str, to: str) -> Answer:
    """POST batch/create. Pairs whose records are not there come back as errors; the others are made."""
    number = _known(from_, to)
    results: list[Json] = []
    errors: list[Json] = []
    with desk.store.lock:
        types = desk.store.type(from_).type_id, desk.store.type(to).type_id
        for row in inputs(call.json(), CREATE_LIMIT):
            ends = needed(part(row, "from"), "id"), needed(part(row, "to"), "id")
            if set(type_ids(row)) != {number}:
                raise Refused(f"The association type from {from_} to {to} is {number}.")
            try:
                first, second = live(desk.store, from_, ends[0]), live(desk.store, to, ends[1])
            except Refused as refused:
                errors.append(item(refused, {"fromObjectId": [ends[0]], "toObjectId": [ends[1]]}))
                continue
            if from_ == TASKS:
                desk.store.associate(first, to, second)
            else:
                desk.store.associate(second, from_, first)
            results.append(
                {
                    "fromObjectTypeId": types[0],
                    "fromObjectId": first,
                    "toObjectTypeId": types[1],
                    "toObjectId": second,
                    "labels": [],
                }
            )
    return _answer(desk, results, errors, 201)


def _known(from_: str, to: str) -> int:
    if (from_, to) not in TYPES:
        raise Refused(f"There are no associations from {from_} to {to} in this account.")
    return TYPES[from_, to]


def _others(desk: Desk, from_: str, to: str, record: str) -> list[int]:
    """Give the ids at the other end, by number; none for a record that is not there."""
    try:
        if from_ == TASKS:
            return sorted(int(number) for name, number in desk.store.about(record) if name == to)
        return [int(task.id) for task in desk.store.tasks(from_, record)]
    except Refused:
        return []


def _page(others: list[int], number: int, after: str | None) -> Json:
    if after is not None and not after.isdigit():
        raise unreadable(f'Cannot deserialize value of type `PagingToken` from String "{after}"')
    rest = [other for other in others if after is None or other > int(after)]
    kind = {"category": "HUBSPOT_DEFINED", "typeId": number, "label": None}
    body: Json = {"to": [{"toObjectId": other, "associationTypes": [kind]} for other in rest[:PAGE]]}
    if len(rest) > PAGE:
        body["paging"] = {"next": {"after": str(rest[PAGE - 1])}}
    return body


def _nothing(desk: Desk, from_: str, to: str, record: str) -> Json:
    names = desk.store.type(from_).singular.lower(), desk.store.type(to).singular.lower()
    refused = Refused(
        f"No {names[1]} is associated with {names[0]} {record}.",
        category="OBJECT_NOT_FOUND",
        sub_category="crm.associations.NO_ASSOCIATIONS_FOUND",
    )
    return item(refused, {"fromObjectId": [record], "fromObjectType": [names[0]], "toObjectType": [names[1]]})


def _answer(desk: Desk, results: list[Json], errors: list[Json], done: int) -> Answer:
    now = instant(desk.store.now())
    body: Json = {"status": "COMPLETE", "results": desk.mixed(results), "startedAt": now, "completedAt": now}
    return Answer(207, body | {"numErrors": len(errors), "errors": errors}) if errors else Answer(done, body)
