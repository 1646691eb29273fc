"""One value on its way into a record: checked by the property's type and brought into the form HubSpot reads back
(crm-apis §A9). Pure; `""` means clear and is handled by the store."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta

from engage_sync.sandbox.properties import Property

TEXT_LIMIT = 65_536
_NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)")
_MILLISECONDS = re.compile(r"-?\d+")
_EMAIL = re.compile(r"[^@\s;,]+@[^@\s;,]+\.[^@\s;,]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000


class BadValue(ValueError):
    """A value that its property does not take. `code` is HubSpot's."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def instant(milliseconds: int) -> str:
    """Write epoch milliseconds as HubSpot reads them back: ISO 8601, three digits, `Z`."""
    return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds")[:-6] + "Z"


def milliseconds(moment: datetime) -> int:
    """Give the epoch milliseconds of an aware instant, cut."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def to_milliseconds(text: str) -> int:
    """Read epoch milliseconds or ISO 8601 (date alone: midnight UTC). Raises ValueError."""
    if _MILLISECONDS.fullmatch(text):
        number = int(text)
        instant(number)
        return number
    moment = datetime.fromisoformat(text)
    return milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def normal(prop: Property, text: str, before: str | None = None) -> str:
    """Give the value as it will be stored. `before` is the value it replaces, which a leading `;` appends to.

    Raises BadValue.
    """
    return _NORMAL[prop.type](prop, text, before)


def _text(prop: Property, text: str, _before: str | None) -> str:
    if len(text) > TEXT_LIMIT:
        raise BadValue("VALUE_TOO_LONG", f"{prop.name} was too long: at most {TEXT_LIMIT} characters, not {len(text)}.")
    if prop.name == "email" and prop.built_in:
        if not _EMAIL.fullmatch(text.strip()):
            raise BadValue("INVALID_EMAIL", f"Email address {text} is invalid")
        return text.strip().lower()
    if prop.name == "domain" and prop.built_in:
        return re.sub(r"^https?://", "", text.strip().lower()).split("/")[0]
    return text


def _number(_prop: Property, text: str, _before: str | None) -> str:
    if not _NUMBER.fullmatch(text):
        raise BadValue("INVALID_INTEGER", f"{text} was not a valid number.")
    return text


def _boolean(_prop: Property, text: str, _before: str | None) -> str:
    if text not in ("true", "false"):
        raise BadValue("INVALID_OPTION", f"{text} was not one of the allowed options: [true, false]")
    return text


def _enumeration(prop: Property, text: str, before: str | None) -> str:
    if not prop.several:
        return _option(prop, text)
    given = [_option(prop, part) for part in text.split(";") if part]
    kept = before.split(";") if text.startswith(";") and before else []
    return ";".join(dict.fromkeys([*kept, *given]))


def _option(prop: Property, text: str) -> str:
    if all(option.value != text for option in prop.options):
        allowed = ", ".join(f'label: "{option.label}"\nvalue: "{option.value}"' for option in prop.options)
        raise BadValue("INVALID_OPTION", f"{text} was not one of the allowed options: [{allowed}]")
    return text


def _date(_prop: Property, text: str, _before: str | None) -> str:
    if _MILLISECONDS.fullmatch(text):
        if int(text) % _DAY:
            raise BadValue("INVALID_DATE", f"{text} is not midnight UTC: a date is midnight UTC or YYYY-MM-DD.")
        try:
            return instant(int(text))[:10]
        except OverflowError as error:
            raise BadValue("INVALID_DATE", f"{text} was not a valid date.") from error
    try:
        if len(text) != 10:
            raise BadValue("INVALID_DATE", f"{text} was not a valid date.")
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise BadValue("INVALID_DATE", f"{text} was not a valid date.") from error


def _datetime(_prop: Property, text: str, _before: str | None) -> str:
    try:
        return instant(to_milliseconds(text))
    except (ValueError, OverflowError) as error:
        raise BadValue("INVALID_DATE", f"{text} was not a valid date-time.") from error


_NORMAL: Mapping[str, Callable[[Property, str, str | None], str]] = {
    "string": _text,
    "number": _number,
    "bool": _boolean,
    "enumeration": _enumeration,
    "date": _date,
    "datetime": _datetime,
}
