"""A page that shows Salesforce records as a customer-success manager sees them there: the person or account, the card
with our fields, the tasks, who changed what. Read-only, works without JavaScript, escapes every value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engage_sync.sandbox.browser_pages import BrowserPages, Hit, Line, Shown, Todo
from engage_sync.sandbox.salesforce_fields import FieldDef
from engage_sync.sandbox.salesforce_ids import normal
from engage_sync.sandbox.salesforce_shelf import Record
from engage_sync.sandbox.salesforce_store import SalesforceStore
from engage_sync.sandbox.salesforce_values import canonical, moment
from engage_sync.sandbox.wire import Answer, Call

ROWS = 50
EDITS = 60
OURS = "engage_"
"""How the names of our fields begin."""
_OBJECTS = {"Contact": "Contacts", "Account": "Accounts", "Lead": "Leads"}
_ABOUT = {
    "Contact": ("Email", "Title", "Department", "Phone", "MailingCity", "MailingCountry", "LeadSource"),
    "Account": ("Website", "Industry", "Type", "Phone", "NumberOfEmployees", "BillingCity", "BillingCountry"),
    "Lead": ("Email", "Title", "Company", "Phone", "Status", "LeadSource"),
}


class SalesforcePages(BrowserPages):
    """The pages over one store."""

    def __init__(self, store: SalesforceStore) -> None:
        super().__init__()
        self._store = store

    def inner(self, request: Call, parts: Sequence[str]) -> Answer:
        """Answer `/Contact/{id}`, `/Account/{id}`, `/Lead/{id}` (or `/{id}`)."""
        if list(parts[:2]) == ["lightning", "r"] and parts[-1] == "view":
            parts = parts[2:-1]
        with self._store.lock:
            record = self._find(parts[-1]) if len(parts) in (1, 2) else None
            return self.missing(f"There is no page at {request.path}") if record is None else self._record(*record)

    def _find(self, number: str) -> tuple[str, Record] | None:
        known = normal(number)
        for name in _OBJECTS:
            record = self._store.shelf(name).records.get(known or "")
            if record is not None:
                return name, record
        return None

    def home(self, query: str) -> Answer:
        """Show contacts, accounts and leads."""
        lists = []
        with self._store.lock:
            for name, title in _OBJECTS.items():
                records = self._store.shelf(name).live()
                found = [r for r in records if _mentions(r, query.lower())] if query else records
                hits = [self._hit(name, record) for record in found[:ROWS]]
                lists.append({"title": title, "hits": hits, "found": len(found), "all": len(records)})
        return self.page("home.html", 200, lists=lists, query=query)

    def _record(self, name: str, record: Record) -> Answer:
        fields = self._store.type(name).fields
        values = record.values
        firm = self._store.shelf("Account").records.get(str(values.get("AccountId")))
        ours = [field for field in fields.values() if field.name.lower().startswith(OURS)]
        merged = [r.id for r in self._store.shelf(name).records.values() if r.master == record.id]
        return self.page(
            "record.html",
            200,
            object="Companies" if name == "Account" else _OBJECTS[name],
            title=_title(record),
            initials="".join([word[0] for word in _title(record).split() if word[0].isalnum()][:2]).upper(),
            note=_note(record),
            number=record.id,
            mail=values.get("Email"),
            archived=record.deleted,
            merged=merged,
            managed=[self._shown(name, field, record) for field in ours],
            about=[self._shown(name, fields[one], record) for one in _ABOUT[name] if one in fields],
            further="",
            company=None if firm is None else (f"/Account/{firm.id}", _title(firm)),
            people=self._people(record.id) if name == "Account" else (),
            todos=[self._todo(task) for task in self._store.tasks(name, record.id)],
            lines=self._lines(name, record),
        )

    def _people(self, account: str) -> Sequence[Hit]:
        staff = [r for r in self._store.shelf("Contact").live() if r.values.get("AccountId") == account]
        return [self._hit("Contact", record) for record in staff[:ROWS]]

    def _todo(self, task: Mapping[str, str | None]) -> Todo:
        return Todo(
            subject=task["Subject"] or "Task without a subject",
            body=task["Description"] or "",
            due=task["ActivityDate"] or "on no day",
            owner=self._who(str(task["OwnerId"])),
            state=task["Status"] or "",
        )

    def _who(self, user: str) -> str:
        found = self._store.shelf("User").records.get(user)
        return user if found is None else str(found.values["Name"])

    def _hit(self, name: str, record: Record) -> Hit:
        chips: list[str] = []
        for field in self._store.type(name).fields.values():
            if field.name.lower().startswith(OURS) and field.type in ("picklist", "multipicklist"):
                chips += [part for part in self._shown(name, field, record).parts if part not in chips]
        return Hit(f"/{name}/{record.id}", _title(record), _note(record), tuple(chips[:4]))

    def _shown(self, name: str, field: FieldDef, record: Record) -> Shown:
        text = canonical(field, self._store.getters(name)[field.name](record))
        if text is None:
            return Shown(field.label, "empty")
        if field.type in ("picklist", "multipicklist"):
            labels = {one.value: one.label or one.value for one in field.choices}
            return Shown(field.label, "chips", tuple(labels.get(part, part) for part in text.split(";")))
        return Shown(
            field.label, "link" if text.startswith(("https://", "http://")) else "text", (_plain(field, text),)
        )

    def _lines(self, name: str, record: Record) -> list[Line]:
        """Give the newest changes first, the creation last."""
        fields = self._store.type(name).fields
        told = []
        for edit in reversed(record.edits()[-EDITS:]):
            field = fields.get(edit.field)
            before, after = (None if field is None else canonical(field, one) for one in (edit.before, edit.after))
            label = edit.field if field is None else field.label
            shown = [None if field is None or one is None else _plain(field, one) for one in (before, after)]
            told.append(Line(_when(edit.at), edit.by, label, shown[0], shown[1]))
        return [*told, Line(_when(record.created), self._who(record.creator), "Record created", None, None)]


def _title(record: Record) -> str:
    values = record.values
    person = " ".join(str(values[name]) for name in ("FirstName", "LastName") if name in values)
    return str(person or values.get("Name") or record.id)


def _note(record: Record) -> str:
    shown = [str(record.values[name]) for name in ("Title", "Company") if name in record.values]
    return " at ".join(shown) if shown else str(record.values.get("Website") or record.values.get("Email") or "")


def _mentions(record: Record, query: str) -> bool:
    held = " ".join(
        str(record.values.get(name, "")) for name in ("Email", "FirstName", "LastName", "Company", "Name", "Website")
    ).lower()
    return all(word in held for word in query.split())


def _plain(field: FieldDef, text: str) -> str:
    if field.type == "datetime":
        return text.replace("T", " ").removesuffix("Z")[:16]
    if field.type == "boolean":
        return "Yes" if text == "true" else "No"
    return text.replace(";", ", ") if field.type == "multipicklist" else text


def _when(epoch: int) -> str:
    return moment(epoch).strftime("%-d %b %Y, %H:%M")
