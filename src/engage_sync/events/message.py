"""One message, read exactly: a JSON line or an already parsed object becomes the columns of the store, or a sentence
that says why it is refused (semantics §1, §2). This is the slow path whose answer decides; it knows no files, no clock
and no other message, so derived ids, messages ahead of the clock and duplicates are not its business."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Final, NamedTuple, NoReturn

from engage_sync.events.schema import KINDS

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
TraitRow = tuple[str, str, str | None]

NAMED_KINDS: Final = frozenset({"track", "page", "screen"})
_KINDS: Final = frozenset(KINDS)
_LARGEST_WHOLE: Final = 2**53
_ESCAPES: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


class Refused(Exception):
    """The message cannot be stored. The text is the reason, a sentence without a full stop."""


class Message(NamedTuple):
    """The columns of one message. `message_id` is None where none was given; `misshapen` tells that properties or
    traits were there but no object, and so counted as empty."""

    message_id: str | None
    kind: str
    event: str | None
    user: str | None
    account: str | None
    previous: str | None
    timestamp: datetime
    received: datetime | None
    properties: dict[str, str]
    traits: list[TraitRow]
    campaign_source: str | None
    campaign_medium: str | None
    campaign_name: str | None
    misshapen: bool


def read_line(line: bytes) -> Message:
    """Read one line of JSON. Raises Refused."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"not UTF-8 text: byte {error.start + 1} of the line cannot be read") from None
    value = parse_json(text)
    if not isinstance(value, dict):
        raise Refused("not a message: the line holds JSON, but no object")
    return read_object(value)


def parse_json(text: str) -> Json:
    """Parse strict JSON: no NaN, no infinity, no control bytes, no U+0000 and no lone surrogates. Raises Refused."""
    try:
        value: Json = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Refused(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise Refused("not readable: objects or arrays are nested too deeply") from None
    except ValueError:
        value = _decode_long_numbers(text)
    if "\\u" in text:
        _refuse_bad_escapes(text)
    return value


def read_object(value: Mapping[str, Json]) -> Message:
    """Read one parsed message. Raises Refused."""
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        _refuse_kind(kind)
    message_id = _id(value.get("messageId"), "messageId")
    user = _id(value.get("userId"), "userId")
    account = _id(value.get("groupId"), "groupId")
    context = value.get("context")
    source = medium = name = None
    if isinstance(context, dict):
        if account is None:
            account = _id(context.get("groupId"), "context.groupId")
        campaign = context.get("campaign")
        if isinstance(campaign, dict):
            source, medium, name = (_scalar_text(campaign.get(key)) for key in ("source", "medium", "name"))
    previous = _previous(value, user) if kind == "alias" else None
    event = _event_name(value, kind) if kind in NAMED_KINDS else None
    if user is None and account is None:
        raise Refused("names neither a user (userId) nor an account (groupId or context.groupId)")
    timestamp, received = _instants(value)
    properties, traits, misshapen = _bags(value, kind)
    return Message(
        message_id,
        kind,
        event,
        user,
        account,
        previous,
        timestamp,
        received,
        properties,
        traits,
        source,
        medium,
        name,
        misshapen,
    )


def read_instant(text: str) -> datetime | None:
    """Read ISO 8601 as `datetime.fromisoformat` does; without a zone it is UTC. None for anything else, and for an
    instant whose UTC year leaves 1 to 9999 (semantics §1)."""
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def number_text(number: float) -> str:
    """Whole numbers up to 2^53 as their digits, others as the shortest text of the same double (semantics §2)."""
    if -_LARGEST_WHOLE <= number <= _LARGEST_WHOLE and number == int(number):
        return str(int(number))
    try:
        return repr(float(number))
    except OverflowError:
        return "inf" if number > 0 else "-inf"


def _refuse_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is no JSON value", name, 0)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def _decode_long_numbers(text: str) -> Json:
    """Parse a text with whole numbers of thousands of digits, which Python's int() declines, as doubles."""
    value: Json = json.JSONDecoder(
        parse_constant=_refuse_constant, parse_int=lambda digits: float(digits) if len(digits) > 4000 else int(digits)
    ).decode(text)
    return value


def _refuse_bad_escapes(text: str) -> None:
    """Refuse the escapes of U+0000 and of surrogates that form no pair. `text` is valid JSON, so a backslash stands in
    a string only."""
    high_ends_at = -1
    for escape in _ESCAPES.finditer(text):
        digits = escape.group(1)
        code = int(digits, 16) if digits else -1
        if code == 0:
            raise Refused("holds the character U+0000")
        completes = high_ends_at == escape.start() and 0xDC00 <= code <= 0xDFFF
        if (high_ends_at >= 0 and not completes) or (not completes and 0xDC00 <= code <= 0xDFFF):
            raise Refused("holds a lone surrogate, which is no character")
        high_ends_at = escape.end() if 0xD800 <= code <= 0xDBFF else -1
    if high_ends_at >= 0:
        raise Refused("holds a lone surrogate, which is no character")


def _refuse_kind(kind: Json) -> NoReturn:
    known = ", ".join(KINDS)
    if kind is None:
        raise Refused(f"has no type; it must be one of {known}")
    if not isinstance(kind, str):
        raise Refused(f"the type is no text; it must be one of {known}")
    near = get_close_matches(kind.lower()[:40], KINDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it must be one of {known}"
    raise Refused(f'the type "{kind[:40]}" is unknown; {hint}')


def _id(value: Json, name: str) -> str | None:
    """Give the text of an id: a text itself, a whole number its digits, null and the empty text None."""
    if isinstance(value, str):
        return value or None
    if value is None:
        return None
    if isinstance(value, bool):
        raise Refused(f"{name} is true or false; an id is text or a whole number")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if value.is_integer():
            return str(int(value))
        raise Refused(f"{name} is {value!r}; an id is text or a whole number")
    raise Refused(f"{name} is {'a list' if isinstance(value, list) else 'an object'}; an id is text or a whole number")


def _previous(value: Mapping[str, Json], user: str | None) -> str:
    previous = _id(value.get("previousId"), "previousId")
    if previous is None or user is None:
        raise Refused("an alias needs both previousId and userId")
    return previous


def _event_name(value: Mapping[str, Json], kind: str) -> str:
    if kind == "track":
        event = value.get("event")
        if isinstance(event, str) and event:
            return event
        raise Refused("a track needs an event name in `event`, as text")
    name = value.get("name")
    return name if isinstance(name, str) and name else kind


def _instants(value: Mapping[str, Json]) -> tuple[datetime, datetime | None]:
    """Give (timestamp, received). A receivedAt that is no instant counts only where the timestamp comes from it."""
    given, arrived = value.get("timestamp"), value.get("receivedAt")
    received = read_instant(arrived) if isinstance(arrived, str) else None
    if given is None:
        if arrived is None:
            raise Refused("has neither a timestamp nor a receivedAt")
        if received is None:
            raise Refused(f"receivedAt is no ISO 8601 instant: {_shown(arrived)}")
        return received, received
    timestamp = read_instant(given) if isinstance(given, str) else None
    if timestamp is None:
        raise Refused(f"timestamp is no ISO 8601 instant: {_shown(given)}")
    return timestamp, received


def _shown(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)[:60]


def _bags(value: Mapping[str, Json], kind: str) -> tuple[dict[str, str], list[TraitRow], bool]:
    """Give (properties, traits, misshapen): properties belong to named events, traits to identify and group."""
    properties: dict[str, str] = {}
    traits: list[TraitRow] = []
    if kind == "alias":
        return properties, traits, False
    bag = value.get("properties" if kind in NAMED_KINDS else "traits")
    if not isinstance(bag, dict):
        return properties, traits, bag is not None
    try:
        if kind in NAMED_KINDS:
            _flatten(bag, "", properties)
        else:
            traits = _trait_rows(bag)
    except RecursionError:
        raise Refused("not readable: objects or arrays are nested too deeply") from None
    return properties, traits, False


def _flatten(value: dict[str, Json], prefix: str, into: dict[str, str]) -> None:
    """Add the text values of an object under their dotted paths; null is absent, of equal paths the last counts."""
    for key, item in value.items():
        if isinstance(item, str):
            into[prefix + key] = item
        elif isinstance(item, dict):
            _flatten(item, f"{prefix}{key}.", into)
        elif item is not None:
            into[prefix + key] = _plain_text(item)


def _trait_rows(value: dict[str, Json]) -> list[TraitRow]:
    """Give (top-level key, dotted path, text). A cleared key and an object without values are one row with None."""
    rows: list[TraitRow] = []
    for key, item in value.items():
        if isinstance(item, dict):
            inner: dict[str, str] = {}
            _flatten(item, f"{key}.", inner)
            rows.extend((key, path, text) for path, text in inner.items())
            if not inner:
                rows.append((key, key, None))
        else:
            rows.append((key, key, None if item is None else _plain_text(item)))
    return rows


def _plain_text(value: str | bool | int | float | list[Json]) -> str:
    """Give the text of a value that is neither null nor an object."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return number_text(value)


def _scalar_text(value: Json) -> str | None:
    """Give the text of a value; None for null, lists and objects."""
    return None if value is None or isinstance(value, (list, dict)) else _plain_text(value)
