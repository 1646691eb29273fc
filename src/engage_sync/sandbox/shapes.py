"""Records as HubSpot's JSON shows them (crm-apis §A4): every value a text or null, unknown
properties that were asked for left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engage_sync.sandbox.properties import ObjectType
from engage_sync.sandbox.shelf import Record
from engage_sync.sandbox.values import instant
from engage_sync.sandbox.wire import Json


@dataclass(frozen=True, slots=True)
class View:
    """Which properties an answer shows, resolved once for all its records."""

    type: ObjectType
    portal: int
    names: tuple[str, ...]
    history: tuple[str, ...] = ()

    def show(self, record: Record) -> Json:
        """Give one record."""
        held = record.values
        number = held["hs_object_id"]
        shown: Json = {
            "id": number,
            "properties": {name: held.get(name) for name in self.names},
            "createdAt": held["createdate"],
            "updatedAt": held[self.type.modified],
            "archived": record.archived is not None,
            "url": f"https://app.hubspot.com/contacts/{self.portal}/record/{self.type.type_id}/{number}",
        }
        if record.archived is not None:
            shown["archivedAt"] = instant(record.archived)
        if self.history:
            shown["propertiesWithHistory"] = {name: versions(record, name) for name in self.history}
        return shown


def view(type_: ObjectType, portal: int, asked: Sequence[str], history: Sequence[str] = ()) -> View:
    """Choose what an answer shows: the known properties asked for and the system's, or the defaults when none were."""
    if not asked and not history:
        return View(type_, portal, type_.defaults)
    known = tuple(type_.known([*type_.system, *asked, *history]))
    return View(type_, portal, known, tuple(type_.known(history)))


def written(type_: ObjectType, portal: int, changed: Iterable[str]) -> View:
    """Choose what the answer to a write shows: more than was sent."""
    return View(type_, portal, tuple(dict.fromkeys([*changed, *type_.defaults, *type_.system])))


def versions(record: Record, name: str) -> list[Json]:
    """Give the history of one property, newest first."""
    edits = [edit for edit in record.edits or () if edit.property == name]
    told = [_version(edit.after, edit.at, edit.source) for edit in reversed(edits)]
    first = edits[0].before if edits else record.values.get(name)
    return [*told, _version(first, record.created, record.source)] if first is not None else told


def _version(value: str | None, at: int, source: str) -> Json:
    kind, _, who = source.partition(":")
    return {"value": value or "", "timestamp": instant(at), "sourceType": kind, "sourceId": who or None}
