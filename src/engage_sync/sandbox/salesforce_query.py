"""Carries SOQL out over one shelf of records: the columns a user may see, the quickest way to the rows, their order
(crm-apis §B3). Gives records in order; pages and wire forms are made elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import filterfalse, islice
from operator import attrgetter

from engage_sync.sandbox.salesforce_conditions import (
    LOWEST,
    Column,
    compiled,
    exact_ids,
    id_bounds,
    stamp_bounds,
)
from engage_sync.sandbox.salesforce_fields import NUMBERS
from engage_sync.sandbox.salesforce_refusal import Denied
from engage_sync.sandbox.salesforce_shelf import Record, Shelf
from engage_sync.sandbox.salesforce_soql import All, Among, Compare, Condition, Not, Order, Query, Some
from engage_sync.sandbox.salesforce_store import SalesforceStore

_APPEND = (
    "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please "
    "reference your WSDL or the describe call for the appropriate names."
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a query found: the columns asked for and the records in order. A count has no columns."""

    object: str
    columns: Sequence[Column]
    records: Sequence[Record]
    count: int


class Runner:
    """Runs queries of one user over a store; hold the store's lock. `extra` are shelves that only this API has."""

    def __init__(self, store: SalesforceStore, extra: dict[str, Shelf] | None = None) -> None:
        self._store = store
        self._extra = extra or {}

    def run(self, query: Query, *, deleted: bool = False) -> Found:
        """Run one query; `deleted` also finds what is in the recycle bin. Raises Denied."""
        shelf = self._shelf(query.object)
        find = Columns(self._store, shelf)
        columns = [find(name) for name in query.fields]
        names = [".".join(column.path) for column in columns]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise Denied(400, "INVALID_FIELD", f"duplicate field selected: {twice}")
        where = _named(query.where, find)
        order = [replace(term, field=".".join(find(term.field).path)) for term in query.order]
        for term in order:
            _sortable(find(term.field))
        plain = replace(query, object=shelf.type.name, where=where, order=tuple(order))
        records = self._rows(shelf, plain, find, deleted)
        return Found(shelf.type.name, columns, records, len(records))

    def _shelf(self, name: str) -> Shelf:
        shelves = {**self._store.shelves, **self._extra}
        known = next((one for one in shelves if one.lower() == name.lower()), None)
        if known is None or not self._store.access.may(known)[0]:
            raise Denied(
                400,
                "INVALID_TYPE",
                f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to "
                "append the '__c' after the entity name.",
            )
        return shelves[known]

    def _rows(self, shelf: Shelf, query: Query, find: Columns, deleted: bool) -> list[Record]:
        test = compiled(query.where, find)
        source, sorted_ = self._source(shelf, query, find)
        rows: Iterable[Record] = source if deleted else filterfalse(attrgetter("deleted"), source)
        if test is not None:
            rows = filter(test, rows)
        end = None if query.limit is None else query.offset + query.limit
        if sorted_:
            return list(islice(rows, query.offset, end))
        return _in_order(list(rows), query.order, find)[query.offset : end]

    def _source(self, shelf: Shelf, query: Query, find: Columns) -> tuple[Iterable[Record], bool]:
        """Choose where to read from, and say whether the records come in the order asked for."""
        fields = [(term.field, term.descending) for term in query.order]
        ids = exact_ids(query.where, find)
        by_id = fields in ([], [("Id", False)])
        if ids is not None:
            return [shelf.records[number] for number in sorted(ids) if number in shelf.records], by_id
        low, high = stamp_bounds(query.where)
        if fields in ([("SystemModstamp", False)], [("SystemModstamp", False), ("Id", False)]):
            return shelf.by_stamp(low, high), True
        if not by_id and low != LOWEST:
            return shelf.by_stamp(low, high), False
        return shelf.by_id(*id_bounds(query.where)), by_id


class Columns:
    """The fields of one object that a user may name in a query, also through one relationship (`Account.Name`)."""

    def __init__(self, store: SalesforceStore, shelf: Shelf) -> None:
        self._store = store
        self._shelf = shelf
        self._known: dict[str, Column] = {}

    def __call__(self, name: str) -> Column:
        """Find a field by the name a query uses. Raises Denied."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._find(name)
        return known

    def _find(self, name: str) -> Column:
        entity = self._shelf.type.name + "."
        bare = name[len(entity) :] if name.lower().startswith(entity.lower()) else name
        one = self._own(self._shelf, bare)
        if one is not None:
            return one
        relation, _, rest = bare.partition(".")
        link = self._shelf.type.relation(relation) if rest else None
        target = None if link is None or not link.refers_to else self._store.shelf(link.refers_to[0])
        far = None if target is None or "." in rest else self._own(target, rest)
        if link is None or target is None or far is None or self._own(self._shelf, link.name) is None:
            raise Denied(
                400, "INVALID_FIELD", f"No such column '{bare}' on entity '{self._shelf.type.name}'. {_APPEND}"
            )
        records, key, get = target.records, link.name, far.get

        reference = self._store.getters(self._shelf.type.name)[key]

        def linked(record: Record) -> object:
            number = reference(record)
            return number if number in records else None

        def follow(record: Record) -> object:
            other = records.get(str(reference(record)))
            return None if other is None else get(other)

        return Column(far.field, follow, (str(link.relation), far.field.name), linked)

    def _own(self, shelf: Shelf, name: str) -> Column | None:
        field = shelf.type.find(name)
        if field is None:
            return None
        if shelf.type.name in self._store.shelves:
            if field.name not in self._store.access.rights(shelf.type.name):
                return None
            return Column(field, self._store.getters(shelf.type.name)[field.name], (field.name,))
        key = field.name
        return Column(field, lambda record: record.id if key == "Id" else record.values.get(key), tuple(key.split(".")))


def _named(condition: Condition | None, find: Columns) -> Condition | None:
    """Give the condition with the fields' own names, whatever case the query used. Raises Denied."""
    match condition:
        case All(parts):
            return All(tuple(part for part in (_named(part, find) for part in parts) if part))
        case Some(parts):
            return Some(tuple(part for part in (_named(part, find) for part in parts) if part))
        case Not(inside):
            named = _named(inside, find)
            return None if named is None else Not(named)
        case Compare(name, sign, one):
            return Compare(".".join(find(name).path), sign, one)
        case Among(name, sign, several):
            return Among(".".join(find(name).path), sign, several)
    return None


def _sortable(column: Column) -> None:
    if column.field.long or column.field.type in ("multipicklist", "address", "json"):
        raise Denied(400, "INVALID_FIELD", f"field '{column.field.name}' can not be sorted in a query call")


def _in_order(records: list[Record], order: Sequence[Order], find: Columns) -> list[Record]:
    records.sort(key=lambda record: record.id)
    for term in reversed(order):
        column = find(term.field)
        get, folded = column.get, column.field.type not in ("id", "reference", "date", "datetime", "int", *NUMBERS)
        empty = [record for record in records if get(record) is None]
        full = [record for record in records if get(record) is not None]
        full.sort(key=_fold(get) if folded else get, reverse=term.descending)  # type: ignore[arg-type]  # one type each
        records = empty + full if term.nulls_first else full + empty
    return records


def _fold(get: object) -> object:
    def folded(record: Record) -> object:
        value = get(record)  # type: ignore[operator]  # a getter
        return value.lower() if isinstance(value, str) else value

    return folded
