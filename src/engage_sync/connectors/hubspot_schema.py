"""HubSpot's properties: describing them, and creating ours with their group and options (crm-apis §A9).

It creates and extends; it never changes or removes what exists, and never touches a property that is not asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from engage_sync.connectors.base import CallKind, Field, FieldSpec, Lack, Memory, Provisioned, Schema
from engage_sync.connectors.hubspot_errors import CallRefused, ScopeMissing
from engage_sync.connectors.hubspot_http import API, Transport
from engage_sync.connectors.replies import moment, text
from engage_sync.core.definitions import ValueType
from engage_sync.errors import EngageError, LoginFailed, Mistake, Transient

GROUP, GROUP_LABEL = "engage", "Engage"
TEXT_LENGTH = 65_536
NO_RECORD = "0"
"""An id that no record has: they begin at 1."""
ACCOUNT_PATH = "/account-info/v3/details"
TOKEN_INFO_PATH = "/oauth/v2/private-apps/get/access-token-info"  # noqa: S105  (a path, no password)
SCOPES_PLACE = "HubSpot → Settings → Integrations → Private Apps or Service Keys → Scopes"

WIRE: Mapping[ValueType, tuple[str, str]] = {
    ValueType.TEXT: ("string", "text"),
    ValueType.LONG_TEXT: ("string", "textarea"),
    ValueType.URL: ("string", "text"),
    ValueType.NUMBER: ("number", "number"),
    ValueType.BOOLEAN: ("bool", "booleancheckbox"),
    ValueType.DATE: ("date", "date"),
    ValueType.DATETIME: ("datetime", "date"),
    ValueType.SELECT: ("enumeration", "select"),
    ValueType.MULTISELECT: ("enumeration", "checkbox"),
}
"""HubSpot's type and fieldType for each of ours; it has no type for addresses of the web."""

TYPES: Mapping[str, ValueType] = {
    "string": ValueType.TEXT,
    "phone_number": ValueType.TEXT,
    "number": ValueType.NUMBER,
    "bool": ValueType.BOOLEAN,
    "date": ValueType.DATE,
    "datetime": ValueType.DATETIME,
    "enumeration": ValueType.SELECT,
}
FINER: Mapping[tuple[str, str], ValueType] = {
    ("string", "textarea"): ValueType.LONG_TEXT,
    ("string", "html"): ValueType.LONG_TEXT,
    ("enumeration", "checkbox"): ValueType.MULTISELECT,
    ("enumeration", "booleancheckbox"): ValueType.BOOLEAN,
}


def describe(
    http: Transport, memory: Memory, objects: Iterable[str], credentials: str, details: tuple[str, str] = ("", "")
) -> Schema:
    """Read the properties of each object, and say which scopes are missing.

    Write scopes cannot be tried without writing. HubSpot tells those of a private-app token; where it does not, the
    first refused write names them. `credentials` is a fingerprint, to ask that only until the answer is satisfying;
    `details` are what `account` gave, '' where it was not asked.
    """
    names = list(objects)
    fields: dict[str, Mapping[str, Field]] = {}
    missing: list[Lack] = []
    at = ""
    for name in names:
        try:
            fields[name] = {field.name: field for field in _properties(http, name)}
            at = moment(http.get(f"/crm/{API}/objects/{name}", "limit=1&archived=false").date_ms)
        except ScopeMissing as error:
            fields.setdefault(name, {})
            missing += _lacks(error.scopes or (f"crm.objects.{name}.read",))
    known = missing or _asked(memory, f"hubspot.scopes.{credentials}")
    lacking = [] if known else _lacking_scopes(http, names)
    if lacking is None:
        lacking = []
    elif not known and not lacking:
        memory.put(f"hubspot.scopes.{credentials}", "asked")
    portal, timezone = details if details[0] else account(http)
    return Schema(portal, fields, list(dict.fromkeys([*missing, *_lacks(lacking)])), timezone=timezone, at=at)


def _asked(memory: Memory, mark: str) -> bool:
    """Tell whether a satisfying answer was noted. A note that cannot be read any more, as without its key file, costs
    one more question; nothing else is lost with it."""
    try:
        return memory.get(mark) is not None
    except Mistake:
        return False


def probe(http: Transport, objects: Iterable[str]) -> list[Lack]:
    """Find out whether records may be written, by updating one that cannot be there: HubSpot looks at scopes first."""
    missing: list[Lack] = []
    for name in objects:
        try:
            body = {"inputs": [{"id": NO_RECORD, "properties": {}}]}
            http.send("POST", f"/crm/{API}/objects/{name}/batch/update", body, kind=CallKind.WRITE)
        except ScopeMissing as error:
            missing += [replace(lack, object=name) for lack in _lacks(error.scopes or (f"crm.objects.{name}.write",))]
        except (CallRefused, Transient):
            continue  # it got past the scopes, or tells nothing: the first write will
    return missing


def provision(http: Transport, specs: Sequence[FieldSpec]) -> list[Provisioned]:
    """Create the missing properties and options, in the order of the specs."""
    done: dict[tuple[str, str], Provisioned] = {}
    for name, wanted in groupby(sorted(specs, key=lambda spec: spec.object), key=lambda spec: spec.object):
        group = list(wanted)
        try:
            there = {str(row.get("name")): row for row in _rows(http, name)}
            if any(spec.name not in there for spec in group):
                _create_group(http, name)
        except ScopeMissing as error:
            done.update({(name, spec.name): Provisioned(spec, "refused", str(error)) for spec in group})
            continue
        for spec in group:
            done[name, spec.name] = _provision_one(http, spec, there.get(spec.name))
    return [done[spec.object, spec.name] for spec in specs]


def _provision_one(http: Transport, spec: FieldSpec, existing: Mapping[str, object] | None) -> Provisioned:
    try:
        if existing is None:
            return _create(http, spec)
        lacking = _lacking_options(spec, existing)
        if lacking and not _read_only(existing):
            _add_options(http, spec, existing, lacking)
            return Provisioned(spec, "options added", ", ".join(lacking))
        return Provisioned(spec, "exists", _unlike(spec, existing))
    except (CallRefused, ScopeMissing) as error:
        return Provisioned(spec, "refused", str(error))


def _create(http: Transport, spec: FieldSpec) -> Provisioned:
    kind, field_type = WIRE[spec.type]
    body: dict[str, object] = {
        "name": spec.name,
        "label": spec.label or spec.name,
        "type": kind,
        "fieldType": field_type,
        "groupName": GROUP,
        "description": spec.description,
    }
    if spec.type is ValueType.BOOLEAN:  # HubSpot wants exactly these two
        body["options"] = [_option("true", 0, label="Yes"), _option("false", 1, label="No")]
    elif kind == "enumeration":
        body["options"] = [_option(value, place) for place, value in enumerate(spec.options)]
    if spec.unique:
        body["hasUniqueValue"] = True
    try:
        http.send("POST", f"/crm/{API}/properties/{spec.object}", body, kind=CallKind.WRITE)
    except CallRefused as refused:
        if refused.status == 409 and _exists(http, spec):
            return Provisioned(spec, "exists")
        raise
    return Provisioned(spec, "created")


def _exists(http: Transport, spec: FieldSpec) -> bool:
    """Tell whether a property that was not created is there: made meanwhile, or by a call whose answer was lost."""
    return any(row.get("name") == spec.name for row in _rows(http, spec.object))


def _add_options(http: Transport, spec: FieldSpec, existing: Mapping[str, object], lacking: Sequence[str]) -> None:
    """Send the whole list, the existing options first and as they are: what is left out would be removed."""
    options: list[object] = list(_options(existing))
    options += [_option(value, len(options) + place) for place, value in enumerate(lacking)]
    path = f"/crm/{API}/properties/{spec.object}/{spec.name}"
    http.send("PATCH", path, {"options": options}, kind=CallKind.WRITE)


def _create_group(http: Transport, object_name: str) -> None:
    path = f"/crm/{API}/properties/{object_name}/groups"
    if any(row.get("name") == GROUP for row in http.get(path).rows()):
        return
    try:
        http.send("POST", path, {"name": GROUP, "label": GROUP_LABEL, "displayOrder": -1}, kind=CallKind.WRITE)
    except CallRefused as refused:
        if refused.status != 409:  # made meanwhile, or by a call whose answer was lost
            raise


def _option(value: str, place: int, *, label: str | None = None) -> dict[str, object]:
    shown = label or value.replace("_", " ").capitalize()
    return {"label": shown, "value": value, "hidden": False, "displayOrder": place}


def _options(row: Mapping[str, object]) -> list[dict[str, object]]:
    options = row.get("options")
    return [option for option in options if isinstance(option, dict)] if isinstance(options, list) else []


def _lacking_options(spec: FieldSpec, row: Mapping[str, object]) -> list[str]:
    if row.get("type") != "enumeration":
        return []
    there = {option.get("value") for option in _options(row)}
    return [value for value in spec.options if value not in there]


def _unlike(spec: FieldSpec, row: Mapping[str, object]) -> str | None:
    """Say how an existing property, which is left alone, differs from the wanted one."""
    found, wanted = _type(row), spec.type
    texts = {ValueType.TEXT, ValueType.LONG_TEXT, ValueType.URL}
    if found is not wanted and not {found, wanted} <= texts:
        return f"is of type {row.get('type')}/{row.get('fieldType')}, wanted {'/'.join(WIRE[wanted])}"
    if spec.unique and row.get("hasUniqueValue") is not True:
        return "does not require unique values, which HubSpot can only set when a property is created"
    return None


def _rows(http: Transport, object_name: str) -> list[dict[str, object]]:
    return http.get(f"/crm/{API}/properties/{object_name}").rows()


def _properties(http: Transport, object_name: str) -> list[Field]:
    return [_field(row) for row in _rows(http, object_name) if row.get("archived") is not True]


def _field(row: Mapping[str, object]) -> Field:
    kind = _type(row)
    closed = row.get("type") == "enumeration" and row.get("externalOptions") is not True
    return Field(
        name=str(row.get("name")),
        label=str(row.get("label") or row.get("name")),
        type=kind,
        native=f"{row.get('type')}/{row.get('fieldType')}",
        writable=not _read_only(row),
        unique=row.get("hasUniqueValue") is True,
        options=tuple(str(option.get("value")) for option in _options(row)) if closed else None,
        length=TEXT_LENGTH if row.get("type") == "string" else None,
    )


def _type(row: Mapping[str, object]) -> ValueType | None:
    native = str(row.get("type"))
    return FINER.get((native, str(row.get("fieldType")))) or TYPES.get(native)


def _read_only(row: Mapping[str, object]) -> bool:
    about = row.get("modificationMetadata")
    return row.get("calculated") is True or (isinstance(about, dict) and about.get("readOnlyValue") is True)


def account(http: Transport) -> tuple[str, str]:
    """Name the portal and its time zone, by whose midnight its days begin; '' where the account API is not offered."""
    try:
        told = http.get(ACCOUNT_PATH).body
    except (CallRefused, LoginFailed, Transient):
        return "", ""
    return text(told.get("portalId")) or "", text(told.get("timeZone")) or ""


def _lacking_scopes(http: Transport, objects: Sequence[str]) -> list[str] | None:
    """Compare the scopes that HubSpot tells of the token with those a run needs; none where it does not tell.

    None when it could not be asked this time.
    """
    try:
        told = http.token_info(TOKEN_INFO_PATH).get("scopes")
    except Transient:
        return None
    except EngageError:
        return []
    if not isinstance(told, list) or not told:
        return []
    needed = [f"crm.objects.{name}.{what}" for name in objects for what in ("read", "write")]
    return [scope for scope in (*needed, *(f"crm.schemas.{name}.write" for name in objects)) if scope not in told]


def _lacks(scopes: Iterable[str]) -> list[Lack]:
    return [
        Lack(f"the token lacks the scope {scope}", f"add the scope under {SCOPES_PLACE}", _object_of(scope))
        for scope in scopes
    ]


def _object_of(scope: str) -> str | None:
    """Give the object that a scope is about: `contacts` for `crm.objects.contacts.read`."""
    parts = scope.split(".")
    return parts[2] if len(parts) == 4 else None
