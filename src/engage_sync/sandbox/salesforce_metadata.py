"""Custom fields between the Metadata form that the Tooling API speaks and the definitions of the store (crm-apis
§B11): what each type must give, and what it may not. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from engage_sync.sandbox.salesforce_fields import Choice, FieldDef
from engage_sync.sandbox.salesforce_refusal import RowRefused, refuse

_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*__c")
_TYPES = {
    "Text": "string",
    "TextArea": "textarea",
    "LongTextArea": "textarea",
    "Html": "textarea",
    "Number": "double",
    "Currency": "currency",
    "Percent": "percent",
    "Checkbox": "boolean",
    "Picklist": "picklist",
    "MultiselectPicklist": "multipicklist",
    "Date": "date",
    "DateTime": "datetime",
    "Url": "url",
    "Email": "email",
    "Phone": "phone",
}
_LENGTHS = {"TextArea": 255, "Picklist": 255, "MultiselectPicklist": 4099, "Url": 255, "Email": 80, "Phone": 40}
_KEYED = ("Text", "Number", "Email")
MOST_CHOICES = 1_000


def from_metadata(name: str, given: Mapping[str, object]) -> FieldDef:
    """Define a custom field from its API name (`Engage_Health__c`) and its Metadata. Raises RowRefused."""
    if not _NAME.fullmatch(name) or len(name) > 43:
        raise refuse(
            "FIELD_INTEGRITY_EXCEPTION",
            f"The field name you provided {name} is not valid: it must begin with a letter, hold only letters, digits "
            "and single underscores, have at most 40 characters and end with __c",
            "DeveloperName",
        )
    kind = given.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise refuse(
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f"Type: bad value for restricted picklist field: {kind}", "Type"
        )
    label = given.get("label")
    if not isinstance(label, str) or not label.strip():
        raise refuse("REQUIRED_FIELD_MISSING", "Required fields are missing: [MasterLabel]", "MasterLabel")
    if len(label) > 40:
        raise refuse("STRING_TOO_LONG", f"Field Label: data value too large: {label} (max length=40)", "MasterLabel")
    _check(kind, given)
    choices, restricted = _choices(given) if kind in ("Picklist", "MultiselectPicklist") else ((), False)
    precision, scale = (
        (_number(given, "precision"), _number(given, "scale")) if kind in ("Number", "Currency", "Percent") else (0, 0)
    )
    length = _number(given, "length") if kind in ("Text", "LongTextArea", "Html") else _LENGTHS.get(kind, 0)
    return FieldDef(
        name=name,
        label=label,
        type=_TYPES[kind],
        length=length,
        precision=precision,
        scale=scale,
        custom=True,
        required=given.get("required") is True,
        unique=given.get("unique") is True,
        external_id=given.get("externalId") is True,
        case_sensitive=given.get("caseSensitive") is True,
        choices=choices,
        restricted=restricted,
        help=str(given.get("inlineHelpText") or ""),
        metadata=dict(given),
    )


def to_metadata(field: FieldDef) -> dict[str, object]:
    """Write a custom field's Metadata as a query answers it."""
    kinds = {native: kind for kind, native in reversed(_TYPES.items())}
    kind = (
        "TextArea"
        if field.type == "textarea" and not field.long
        else "LongTextArea"
        if field.long
        else kinds.get(field.type, "Text")
    )
    told: dict[str, object] = {
        "type": kind,
        "label": field.label,
        "length": field.length or None,
        "precision": field.precision or None,
        "scale": field.scale if field.precision else None,
        "required": field.required,
        "unique": field.unique or None,
        "externalId": field.external_id,
        "caseSensitive": field.case_sensitive or None,
        "inlineHelpText": field.help or None,
        "description": None,
        "defaultValue": "false" if field.type == "boolean" else None,
        "visibleLines": None,
        "valueSet": None,
    }
    told |= field.metadata or {}
    if field.choices:
        told["valueSet"] = {
            "controllingField": None,
            "restricted": field.restricted,
            "valueSetDefinition": {
                "sorted": False,
                "value": [
                    {
                        "valueName": one.value,
                        "label": one.label or one.value,
                        "default": one.default,
                        "isActive": one.active,
                    }
                    for one in field.choices
                ],
            },
            "valueSetName": None,
            "valueSettings": [],
        }
    return told


def _check(kind: str, given: Mapping[str, object]) -> None:
    if kind == "Text" and not 1 <= _number(given, "length") <= 255:
        raise _wrong("The length of a text field must be between 1 and 255", "Length")
    if kind in ("LongTextArea", "Html"):
        if not 256 <= _number(given, "length") <= 131_072:
            raise _wrong("The length of a long text area must be between 256 and 131072", "Length")
        _number(given, "visibleLines")
    if kind in ("Number", "Currency", "Percent"):
        precision, scale = _number(given, "precision"), _number(given, "scale")
        if not 1 <= precision <= 18 or not 0 <= scale <= precision:
            raise _wrong("Precision must be between 1 and 18, and scale not more than precision", "Precision")
    if kind == "MultiselectPicklist":
        _number(given, "visibleLines")
    for key in ("unique", "externalId"):
        if given.get(key) is True and kind not in _KEYED:
            raise _wrong(f"Cannot set {key} for a field of type {kind}", key)
    if kind == "Checkbox":
        _check_checkbox(given)


def _check_checkbox(given: Mapping[str, object]) -> None:
    if str(given.get("defaultValue")).lower() not in ("true", "false"):
        raise _wrong("Must specify 'defaultValue' for a field of type Checkbox", "DefaultValue")
    if given.get("required") not in (None, False):
        raise _wrong("Cannot set required for a field of type Checkbox", "Required")


def _choices(given: Mapping[str, object]) -> tuple[tuple[Choice, ...], bool]:
    values = given.get("valueSet")
    if not isinstance(values, dict):
        raise _wrong("Must specify 'valueSet' for a field of type Picklist", "ValueSet")
    definition = values.get("valueSetDefinition")
    listed = definition.get("value") if isinstance(definition, dict) else None
    if not isinstance(listed, list) or not listed:
        raise _wrong("You must specify at least one picklist value", "ValueSet")
    choices = []
    for one in listed:
        name = (one.get("valueName") or one.get("fullName")) if isinstance(one, dict) else None
        if not isinstance(one, dict) or not isinstance(name, str) or not name or len(name) > 255:
            raise _wrong("Each picklist value needs a fullName of at most 255 characters", "ValueSet")
        active = one.get("isActive")
        choices.append(Choice(name, str(one.get("label") or name), active is not False, one.get("default") is True))
    names = [one.value.lower() for one in choices]
    twice = next((one.value for one in choices if names.count(one.value.lower()) > 1), None)
    if twice is not None:
        raise refuse("DUPLICATE_VALUE", f"Duplicate picklist value: {twice}", "ValueSet")
    if len(choices) > MOST_CHOICES:
        raise _wrong(f"A picklist has at most {MOST_CHOICES} values", "ValueSet")
    return tuple(choices), values.get("restricted") is True


def _number(given: Mapping[str, object], name: str) -> int:
    found = given.get(name)
    if isinstance(found, bool) or not isinstance(found, int):
        raise _wrong(f"Must specify '{name}' for a field of this type", name)
    return found


def _wrong(message: str, *fields: str) -> RowRefused:
    return refuse("FIELD_INTEGRITY_EXCEPTION", message, *fields)
