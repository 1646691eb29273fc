"""Making our custom fields and picklist values in a Salesforce org, by the Tooling REST API (crm-apis §B11).

It creates and extends; it never changes or removes what exists, touches no page layout and no field that is not asked
for. Each step may be refused by itself: the others go on, and the next run does what is still missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engage_sync.connectors.base import CallKind, Field, FieldSpec, Provisioned
from engage_sync.connectors.salesforce_errors import AccessRefused, CallRefused
from engage_sync.connectors.salesforce_fields import Shape
from engage_sync.connectors.salesforce_http import Transport
from engage_sync.connectors.salesforce_permissions import grant
from engage_sync.connectors.salesforce_schema import (
    FIELDS_PLACE,
    GUIDE,
    PERMISSION_SET_LABEL,
    custom_fields,
    optional,
    shape_of,
)
from engage_sync.core.definitions import ValueType
from engage_sync.core.fitting import FITS

CUSTOM = "__c"
LONGEST_NAME = 40
"""Characters of a custom field's name before its `__c`, and of its label."""
FORMULA = "formula"

WIRE: Mapping[ValueType, Mapping[str, object]] = {
    ValueType.TEXT: {"type": "Text", "length": 255},
    ValueType.LONG_TEXT: {"type": "LongTextArea", "length": 32_768, "visibleLines": 3},
    ValueType.URL: {"type": "Url"},
    ValueType.NUMBER: {"type": "Number", "precision": 18, "scale": 4},
    ValueType.BOOLEAN: {"type": "Checkbox", "defaultValue": "false"},
    ValueType.DATE: {"type": "Date"},
    ValueType.DATETIME: {"type": "DateTime"},
    ValueType.SELECT: {"type": "Picklist"},
    ValueType.MULTISELECT: {"type": "MultiselectPicklist", "visibleLines": 4},
}
"""What each of our types is made as: what must be given, and four decimals, which is what we write."""
_CHOICES = frozenset({ValueType.SELECT, ValueType.MULTISELECT})
_UNIQUE = frozenset({ValueType.TEXT, ValueType.NUMBER})
"""The types whose fields Salesforce lets hold unique values."""
VALUE_NAME, FULL_NAME = "valueName", "fullName"
"""What the Tooling API and the Metadata API call the name of a picklist's value: the first is tried, then the other."""
_TWICE = frozenset({"DUPLICATE_DEVELOPER_NAME", "DUPLICATE_VALUE"})
_NOT_ALLOWED = frozenset({"INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS_OR_READONLY", "INVALID_TYPE", "NOT_FOUND"})
"""What a user without the permission to customize is answered, beside 403."""

Known = Mapping[tuple[str, str], str]
"""Object and name of each custom field, the hidden ones too → its id in the Tooling API."""


class _NotPossibleError(Exception):
    """A step that an admin must do. Its text is the sentence that says where."""


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of one field, and whether the user must still be let in."""

    result: Provisioned
    closed: bool = False


def provision(http: Transport, specs: Sequence[FieldSpec]) -> list[Provisioned]:
    """Make the missing fields and options and let the session's user read and edit them, in the order of the specs."""
    names = list(dict.fromkeys(spec.object for spec in specs))
    shapes = {name: shape_of(http, name) for name in names}
    visible = [name for name, shape in shapes.items() if shape is not None]
    known: Known = optional(lambda: custom_fields(http, visible), {})
    done = [_one(http, spec, shapes[spec.object], known) for spec in specs]
    closed = [(one.result.spec.object, one.result.spec.name) for one in done if one.closed]
    refused = grant(http, list(dict.fromkeys(closed)))
    return [_with_access(one.result, refused.get((one.result.spec.object, one.result.spec.name))) for one in done]


def _one(http: Transport, spec: FieldSpec, shape: Shape | None, known: Known) -> _Done:
    try:
        if shape is None:
            todo = GUIDE.object.replace("{object}", spec.object)
            raise _NotPossibleError(f"the integration user sees no object {spec.object}: {todo}")
        found = shape.fields.get(spec.name)
        if found is None and (spec.object, spec.name) not in known:
            _refuse_bad_name(spec, [*shape.fields, *(name for object_, name in known if object_ == spec.object)])
            return _Done(Provisioned(spec, _create(http, spec)), closed=True)
        closed = found is None or (_is_custom(spec) and not found.writable and found.native != FORMULA)
        return _Done(_existing(http, spec, found, known), closed)
    except _NotPossibleError as error:
        return _Done(Provisioned(spec, "refused", str(error)))
    except (CallRefused, AccessRefused) as error:
        way_out = f". {_by_hand(spec)}" if isinstance(error, AccessRefused) or error.code in _NOT_ALLOWED else ""
        return _Done(Provisioned(spec, "refused", f"{error}{way_out}"))


def _existing(http: Transport, spec: FieldSpec, found: Field | None, known: Known) -> Provisioned:
    """Leave a field as it is but for the options that it lacks. What a hidden one has, only its metadata tells."""
    if spec.type in _CHOICES and (found is None or (found.type in _CHOICES and found.options is not None)):
        there = () if found is None else found.options or ()
        lacking = [option for option in spec.options if option not in there]
        if lacking and (added := _add_options(http, spec, lacking, known)):
            return Provisioned(spec, "options added", ", ".join(added))
    return Provisioned(spec, "exists", None if found is None else _unlike(spec, found))


def _create(http: Transport, spec: FieldSpec) -> str:
    metadata: dict[str, object] = {
        **WIRE[spec.type],
        "label": (spec.label or spec.name)[:LONGEST_NAME],
        "description": spec.description,
    }
    if spec.type in _CHOICES:
        if not spec.options:
            raise _NotPossibleError(
                f"{spec.object}.{spec.name} takes its values from config/model.yaml, which names none yet, and"
                " Salesforce makes no picklist without any"
            )
        metadata["valueSet"] = _value_set(spec, VALUE_NAME)
    if spec.unique:
        if spec.type not in _UNIQUE:
            raise _NotPossibleError(
                f"{spec.object}.{spec.name} must hold unique values, which a field of type"
                f" {WIRE[spec.type]['type']} cannot: map it without `type:`"
            )
        metadata |= {"externalId": True, "unique": True}
        if spec.type is ValueType.TEXT:
            metadata["caseSensitive"] = True  # ids are compared exactly
    body = {"FullName": f"{spec.object}.{spec.name}", "Metadata": metadata}
    try:
        http.send("POST", "tooling/sobjects/CustomField", body, kind=CallKind.WRITE)
    except CallRefused as refused:
        if refused.code in _TWICE:  # hidden from us, made meanwhile, or by a call whose answer was lost
            return "exists"
        if spec.type not in _CHOICES:
            raise
        try:
            body["Metadata"] = {**metadata, "valueSet": _value_set(spec, FULL_NAME)}
            http.send("POST", "tooling/sobjects/CustomField", body, kind=CallKind.WRITE)
        except CallRefused:
            raise refused from None
    return "created"


def _value_set(spec: FieldSpec, key: str) -> dict[str, object]:
    values = [_value(option, key) for option in spec.options]
    return {"restricted": True, "valueSetDefinition": {"sorted": False, "value": values}}


def _add_options(http: Transport, spec: FieldSpec, lacking: Sequence[str], known: Known) -> list[str]:
    """Send the whole list, the existing values first and as they are: what is left out would be switched off."""
    place = _option_place(spec)
    if not _is_custom(spec):
        raise _NotPossibleError(f"{spec.object}.{spec.name} is a standard picklist without {_listed(lacking)}: {place}")
    own = known.get((spec.object, spec.name))
    if own is None:
        what = f"{spec.object}.{spec.name} lacks {_listed(lacking)}, and the integration user may not add values"
        raise _NotPossibleError(f"{what}: {place}")
    path = f"tooling/sobjects/CustomField/{own}"
    answer = http.get(path)
    metadata = answer.get("Metadata") if isinstance(answer, dict) else None
    value_set = metadata.get("valueSet") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(value_set, dict):
        raise _NotPossibleError(f"{spec.object}.{spec.name} has no values of its own: {place}")
    if value_set.get("valueSetName"):
        shared = f"the global value set {value_set['valueSetName']}"
        todo = f"add them under Setup → Picklist Value Sets → {value_set['valueSetName']} → New"
        raise _NotPossibleError(
            f"{spec.object}.{spec.name} takes its values from {shared}, without {_listed(lacking)}: {todo}"
        )
    definition = value_set.get("valueSetDefinition")
    held = definition.get("value") if isinstance(definition, dict) else None
    values = [dict(value) for value in held if isinstance(value, dict)] if isinstance(held, list) else []
    complete, added = _completed(values, lacking)
    if added:
        definition = {**(definition if isinstance(definition, dict) else {"sorted": False}), "value": complete}
        metadata = {**metadata, "valueSet": {**value_set, "valueSetDefinition": definition}}
        http.send("PATCH", path, {"Metadata": metadata}, kind=CallKind.WRITE)
    return added


def _completed(
    values: Sequence[Mapping[str, object]], lacking: Sequence[str]
) -> tuple[list[dict[str, object]], list[str]]:
    """Give the values with the lacking ones: those switched off come on, the others come last. And which that are."""
    complete = [dict(value) for value in values]
    by_name = {str(_name_of(value)): value for value in complete}
    key = FULL_NAME if any(FULL_NAME in value for value in complete) else VALUE_NAME
    added = []
    for option in lacking:
        value = by_name.get(option)
        if value is None:
            complete.append(_value(option, key))
        elif value.get("isActive") is False:
            value["isActive"] = True
        else:
            continue
        added.append(option)
    return complete, added


def _value(option: str, key: str) -> dict[str, object]:
    """Give one value of a picklist; `key` is what its name is called."""
    return {key: option, "label": option.replace("_", " ").capitalize(), "default": False}


def _name_of(value: Mapping[str, object]) -> object:
    return value.get(VALUE_NAME) or value.get(FULL_NAME)


def _is_custom(spec: FieldSpec) -> bool:
    return spec.name.endswith(CUSTOM)


def _refuse_bad_name(spec: FieldSpec, there: Sequence[str]) -> None:
    """Refuse what cannot be a custom field's name, and one that differs from another in its case only."""
    same = next((name for name in there if name.lower() == spec.name.lower()), None)
    if same is not None:
        raise _NotPossibleError(f"{spec.object} has a field {same}: write it so in the connector's file")
    if not _is_custom(spec):
        todo = GUIDE.create.replace("{object}", spec.object).replace("{field}", spec.name)
        raise _NotPossibleError(
            f"only fields whose names end in {CUSTOM} can be made: name it {spec.name}{CUSTOM}, or {todo}"
        )
    name = spec.name.removesuffix(CUSTOM)
    if len(name) > LONGEST_NAME:
        raise _NotPossibleError(
            f"{spec.name} has {len(name)} characters before {CUSTOM}, and Salesforce takes {LONGEST_NAME}:"
            f" name it {name[:LONGEST_NAME].rstrip('_')}{CUSTOM}"
        )
    if re.fullmatch(GUIDE.makes, spec.name) is None:
        raise _NotPossibleError(
            f"{spec.name} cannot be the name of a custom field: letters, digits and single underscores, a letter first"
        )


def _unlike(spec: FieldSpec, found: Field) -> str | None:
    """Say how an existing field, which is left alone, differs from the wanted one."""
    if found.native == FORMULA:
        return "is a formula, which nobody can write: map another field"
    if found.type is None or found.type not in FITS[spec.type]:
        return f"is of type {found.native}, wanted {WIRE[spec.type]['type']}"
    if spec.unique and not found.unique:
        todo = GUIDE.unique.replace("{object}", spec.object).replace("{field}", spec.name)
        return f"does not require unique values: {todo}"
    return None


def _with_access(done: Provisioned, why_not: str | None) -> Provisioned:
    """Turn a field that the user was not let into a refusal that says what an admin must do."""
    if why_not is None:
        return done
    spec = done.spec
    todo = (
        f"an admin must tick Read and Edit for {spec.name} under Setup → Permission Sets → {PERMISSION_SET_LABEL} →"
        f" Object Settings → {spec.object}, and add the integration user under → Manage Assignments"
    )
    made = "was created" if done.result == "created" else "is there"
    return replace(done, result="refused", message=f"the field {made}, but access to it was refused: {why_not}; {todo}")


def _by_hand(spec: FieldSpec) -> str:
    kind = WIRE[spec.type]
    shown = f"{kind['type']}({kind['length']})" if spec.type is ValueType.TEXT else str(kind["type"])
    unique = ", External ID and Unique" if spec.unique else ""
    place = FIELDS_PLACE.replace("{object}", spec.object)
    return (
        "An admin must give the integration user the permissions Customize Application and Manage Profiles and"
        f" Permission Sets, or make the field {spec.name} ({shown}{unique}) under {place} → New"
    )


def _option_place(spec: FieldSpec) -> str:
    place = FIELDS_PLACE.replace("{object}", spec.object)
    return f"an admin must add them under {place} → {spec.name} → Values → New"


def _listed(options: Sequence[str]) -> str:
    return f"the values {', '.join(options)}"
