"""HubSpot's calls about single records and pages of them: list, get, create, update, archive, merge, erase, search
(crm-apis §A4, §A5, §A6, §A10). Turns requests into store calls and records into JSON."""

from __future__ import annotations

import base64
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from engage_sync.sandbox.checks import prepare
from engage_sync.sandbox.refusal import Refused, not_found, unreadable
from engage_sync.sandbox.search import search
from engage_sync.sandbox.shapes import View, view, written
from engage_sync.sandbox.shelf import Record, Shelf
from engage_sync.sandbox.store import Store
from engage_sync.sandbox.tying import wished
from engage_sync.sandbox.wire import ORIGIN, Answer, Call, Json, needed, texts, values


@dataclass(frozen=True, slots=True)
class Desk:
    """What every route works on: the store, the account's number, who is writing, and the source of shuffling."""

    store: Store
    portal: int
    source: str
    shuffle: random.Random | None
    dated: str = "v3"
    """The path's version: `v3` or a date such as `2026-09`."""
    seen: list[str] = field(default_factory=list)

    def mixed(self, rows: list[Json]) -> list[Json]:
        """Give the results of a batch in an order that says nothing."""
        if self.shuffle is not None:
            self.shuffle.shuffle(rows)
        return rows


def page(desk: Desk, call: Call, object_: str) -> Answer:
    """GET a page of live (or, with `archived=true`, archived) records in order of id."""
    history = call.several("propertiesWithHistory")
    limit = call.number("limit", 10, 50 if history else 100)
    archived = call.flag("archived")
    after = _after(call.one("after"))
    with desk.store.lock:
        shelf = desk.store.shelf(object_)
        rows = shelf.in_bin() if archived else shelf.live()
        start = bisect_right(rows, after, key=_id) if after is not None else 0
        shown = view(shelf.type, desk.portal, call.several("properties"), history)
        results = [shown.show(record) for record in rows[start : start + limit]]
        more = len(rows) > start + limit
    if object_ == "contacts" and "companies" in call.several("associations"):
        _with_companies(desk, results)
    body: Json = {"results": results}
    if more:
        token = base64.urlsafe_b64encode(f"list:{results[-1]['id']}".encode()).decode()
        body["paging"] = {"next": {"after": token, "link": f"{ORIGIN}{call.path}?limit={limit}&after={token}"}}
    return Answer(200, body)


def one(desk: Desk, call: Call, object_: str, number: str) -> Answer:
    """GET one record by id (a merged-away id answers with the survivor) or by a unique property."""
    with desk.store.lock:
        type_ = desk.store.type(object_)
        shown = view(type_, desk.portal, call.several("properties"), call.several("propertiesWithHistory"))
        name = call.one("idProperty")
        found = by_property(desk.store.shelf(object_), name, number) if name else None
        if name and found is None:
            raise not_found()
        results = [shown.show(found or desk.store.need(object_, number, archived=call.flag("archived")))]
    if object_ == "contacts" and "companies" in call.several("associations"):
        _with_companies(desk, results)
    return Answer(200, results[0])


def create(desk: Desk, call: Call, object_: str) -> Answer:
    """POST one new record, a task perhaps with what it is about."""
    body = call.json()
    wanted = values(body)
    with desk.store.lock:
        shelf = desk.store.shelf(object_)
        ends = wished(desk.store, object_, body)
        record = desk.store.insert(object_, prepare(shelf, None, wanted), desk.source)
        for other, end in ends:
            desk.store.associate(str(record.id), other, end)
        return Answer(201, written(shelf.type, desk.portal, wanted).show(record))


def change(desk: Desk, call: Call, object_: str, number: str) -> Answer:
    """PATCH one record by id or unique property."""
    wanted = values(call.json())
    with desk.store.lock:
        shelf = desk.store.shelf(object_)
        name = call.one("idProperty")
        record = by_property(shelf, name, number) if name else desk.store.need(object_, number)
        if record is None:
            raise not_found()
        desk.store.apply(object_, record, prepare(shelf, record, wanted), desk.source)
        return Answer(200, written(shelf.type, desk.portal, wanted).show(record))


def archive(desk: Desk, _call: Call, object_: str, number: str) -> Answer:
    """DELETE puts a record into the recycle bin; an id that is not there is no error."""
    desk.store.archive(object_, number)
    return Answer(204)


def merge(desk: Desk, call: Call, object_: str) -> Answer:
    """POST merge: the answer is the survivor, under a new id."""
    body = call.json()
    with desk.store.lock:
        number = desk.store.merge(object_, needed(body, "primaryObjectId"), needed(body, "objectIdToMerge"))
        shelf = desk.store.shelf(object_)
        return Answer(200, View(shelf.type, desk.portal, shelf.type.defaults).show(desk.store.need(object_, number)))


def erase(desk: Desk, call: Call, object_: str) -> Answer:
    """POST gdpr-delete by id or e-mail."""
    body = call.json()
    number = needed(body, "objectId")
    name = body.get("idProperty")
    with desk.store.lock:
        if isinstance(name, str):
            found = by_property(desk.store.shelf(object_), name, number)
            number = str(found.id) if found is not None else ""
        desk.store.erase(object_, number)
    return Answer(204)


def find(desk: Desk, call: Call, object_: str) -> Answer:
    """POST search; archived records never show, and neither does what the index has not caught up with."""
    body = call.json()
    with desk.store.lock:
        shelf = desk.store.shelf(object_)
        found = search(shelf.type, shelf.indexed(desk.store.now()), body, len(call.body.decode(errors="replace")))
        shown = view(shelf.type, desk.portal, texts(body, "properties"))
        answer: Json = {"total": found.total, "results": [shown.show(record) for record in found.records]}
    if found.after is not None:
        answer["paging"] = {"next": {"after": str(found.after)}}
    return Answer(200, answer)


def by_property(shelf: Shelf, name: str, value: str) -> Record | None:
    """Find the live record that holds a unique value. Raises Refused for a property that is not unique."""
    if name not in shelf.unique_names():
        raise Refused(f"Unable to perform update/upsert by non-unique {shelf.type.type_id} property {name}")
    owner = shelf.owner(name, value)
    return None if owner is None else shelf.records[owner]


def _with_companies(desk: Desk, results: Sequence[Json]) -> None:
    for shown in results:
        firm = desk.store.employer(str(shown["id"]))
        if firm is not None:
            shown["associations"] = {"companies": {"results": [{"id": firm, "type": "contact_to_company"}]}}


def _after(token: str | None) -> int | None:
    if token is None or token == "":
        return None
    try:
        kind, _, number = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        if kind == "list":
            return int(number)
    except ValueError:
        pass
    raise unreadable(f'Cannot deserialize value of type `PagingToken` from String "{token}"')


def _id(record: Record) -> int:
    return record.id
