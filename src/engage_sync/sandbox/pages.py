"""A page that shows the records as a customer-success manager sees them in the CRM: the person or company, the card
with our fields, their tasks, and who changed what. Read-only, works without JavaScript, escapes every value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from engage_sync.sandbox.browser_pages import BrowserPages, Hit, Line, Shown, Todo
from engage_sync.sandbox.properties import ObjectType, Property
from engage_sync.sandbox.refusal import Refused
from engage_sync.sandbox.shelf import Edit, Record
from engage_sync.sandbox.store import Snapshot, Store
from engage_sync.sandbox.values import instant
from engage_sync.sandbox.wire import Answer, Call

GROUP = "engage"
ROWS = 50
EDITS = 60
_OBJECTS = {"contacts": "People", "companies": "Companies"}
_ABOUT = {
    "contacts": ("email", "jobtitle", "hs_buying_role", "company", "phone", "city", "country", "lifecyclestage"),
    "companies": ("domain", "industry", "numberofemployees", "phone", "city", "country", "lifecyclestage"),
}


class Pages(BrowserPages):
    """The pages over one store."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    def inner(self, request: Call, parts: Sequence[str]) -> Answer:
        """Answer `/contacts/{id}` and `/companies/{id}`."""
        if len(parts) == 2 and parts[0] in _OBJECTS:
            return self._record(parts[0], parts[1])
        return self.missing(f"There is no page at {request.path}")

    def home(self, query: str) -> Answer:
        """Show people and companies."""
        lists = []
        with self._store.lock:
            for object_, title in _OBJECTS.items():
                type_ = self._store.type(object_)
                records = self._store.shelf(object_).live()
                found = [r for r in records if _mentions(r, query.lower())] if query else records
                hits = [_hit(type_, record) for record in found[:ROWS]]
                lists.append({"title": title, "hits": hits, "found": len(found), "all": len(records)})
        return self.page("home.html", 200, lists=lists, query=query)

    def _record(self, object_: str, number: str) -> Answer:
        with self._store.lock:
            type_ = self._store.type(object_)
            try:
                found = self._store.need(object_, number, archived=None)
            except Refused:
                return self.missing(f"There is no record {number} in {_OBJECTS[object_]}")
            record = found.copy()
            firm = self._store.employer(str(record.id)) if object_ == "contacts" else None
            company = self._store.get("companies", firm) if firm else None
            people = self._people(str(record.id)) if object_ == "companies" else ()
            todos = [_todo(task) for task in self._store.tasks(object_, str(record.id))]
            managed = [p for p in type_.properties.values() if p.group == GROUP and not p.archived]
        return self.page(
            "record.html",
            200,
            object=_OBJECTS[object_],
            title=_title(record.values),
            initials=_initials(_title(record.values)),
            note=_note(record.values),
            number=str(record.id),
            mail=record.values.get("email") if "firstname" in record.values else None,
            archived=record.archived is not None,
            merged=record.values.get("hs_merged_object_ids", "").split(";")
            if record.values.get("hs_merged_object_ids")
            else (),
            managed=[_shown(prop, record.values.get(prop.name)) for prop in managed],
            about=[
                _shown(type_.properties[name], record.values.get(name))
                for name in _ABOUT[object_]
                if name in type_.properties
            ],
            further=record.values.get("hs_additional_emails", "").replace(";", ", "),
            company=None if company is None else (f"/companies/{company.id}", _title(company.values)),
            people=people,
            todos=todos,
            lines=_lines(type_, record),
        )

    def _people(self, company: str) -> Sequence[Hit]:
        type_ = self._store.type("contacts")
        people = self._store.employees(company)[:ROWS]
        return [_hit(type_, self._store.need("contacts", person)) for person in people]


def _todo(task: Snapshot) -> Todo:
    values = task.values
    return Todo(
        subject=values.get("hs_task_subject") or f"Task {task.id}",
        body=values.get("hs_task_body", ""),
        due=_when(values["hs_timestamp"]),
        owner=values.get("hubspot_owner_id", ""),
        state=values.get("hs_task_status", "").replace("_", " ").capitalize(),
    )


def _mentions(record: Record, query: str) -> bool:
    held = " ".join(
        record.values.get(name, "")
        for name in ("email", "hs_additional_emails", "firstname", "lastname", "company", "name", "domain")
    )
    return all(word in held.lower() for word in query.split())


def _hit(type_: ObjectType, record: Record) -> Hit:
    chips: list[str] = []
    for prop in type_.properties.values():
        if prop.group == GROUP and prop.type == "enumeration" and not prop.archived:
            chips += [part for part in _shown(prop, record.values.get(prop.name)).parts if part not in chips]
    return Hit(f"/{type_.name}/{record.id}", _title(record.values), _note(record.values), tuple(chips[:4]))


def _title(values: Mapping[str, str]) -> str:
    person = " ".join(values[name] for name in ("firstname", "lastname") if name in values)
    return (
        values.get("name")
        or person
        or values.get("email")
        or values.get("domain")
        or f"Record {values['hs_object_id']}"
    )


def _note(values: Mapping[str, str]) -> str:
    shown = [values[name] for name in ("jobtitle", "company") if name in values]
    return " at ".join(shown) if shown else values.get("domain") or values.get("email") or ""


def _initials(title: str) -> str:
    return "".join([word[0] for word in title.split() if word[0].isalnum()][:2]).upper()


def _shown(prop: Property, text: str | None) -> Shown:
    if text is None:
        return Shown(prop.label, "empty")
    if prop.type == "enumeration":
        labels = {option.value: option.label for option in prop.options}
        return Shown(prop.label, "chips", tuple(labels.get(part, part) for part in text.split(";")))
    if prop.type == "datetime":
        return Shown(prop.label, "text", (_when(text),))
    if prop.type == "bool":
        return Shown(prop.label, "text", ("Yes" if text == "true" else "No",))
    return Shown(prop.label, "link" if text.startswith(("https://", "http://")) else "text", (text,))


def _lines(type_: ObjectType, record: Record) -> list[Line]:
    """Give the newest changes first, the creation last."""
    told = [_line(type_, edit) for edit in reversed((record.edits or [])[-EDITS:])]
    return [*told, Line(_when(instant(record.created)), _who(record.source), "Record created", None, None)]


def _line(type_: ObjectType, edit: Edit) -> Line:
    prop = type_.properties.get(edit.property)
    label = edit.property if prop is None else prop.label
    return Line(_when(instant(edit.at)), _who(edit.source), label, _plain(prop, edit.before), _plain(prop, edit.after))


def _plain(prop: Property | None, text: str | None) -> str | None:
    if prop is None or text is None:
        return text
    return ", ".join(_shown(prop, text).parts)


def _who(source: str) -> str:
    kind, _, name = source.partition(":")
    known = {
        "CRM_UI": "a person in the CRM",
        "INTEGRATION": "an integration",
        "IMPORT": "import",
        "MERGE_OBJECTS": "merge",
    }
    return name or known.get(kind, kind)


def _when(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%-d %b %Y, %H:%M")
