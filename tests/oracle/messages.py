"""Read message lines by semantics §1 and §2, slowly and plainly, with nothing of the product: a line becomes one dict
or one refusal. The product's importer is compared with this; this never looks at the product.

A message: `arrival, message_id, kind, event, user, account, previous, timestamp, received, properties, traits`.
`properties` is flat text; `traits` is `{top-level key: {dotted path: text} or None}`, None where the key is cleared.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

KINDS = ("track", "page", "screen", "identify", "group", "alias")
NAMED = ("track", "page", "screen")
LONGEST_LINE = 16 * 1024 * 1024
EXACT = 2**53
NUMERIC = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
UNWANTED = re.compile("[\x00\ud800-\udfff]")

Message = dict[str, Any]


class Refused(Exception):
    """A line that is no message; the text is the reason."""


@dataclass
class Reading:
    """What became of the lines: every line that is not blank is in exactly one of messages, refused, duplicates."""

    messages: list[Message] = field(default_factory=list)
    refused: list[tuple[str, int, str]] = field(default_factory=list)
    duplicates: int = 0
    empty_properties: int = 0


# --- instants and numbers ------------------------------------------------------------------------------------------


def instant(text: object) -> datetime | None:
    """Read ISO 8601 as §1 says, as an aware UTC datetime; None where it is no ISO text or leaves the years 1..9999."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def iso(moment: datetime | None) -> str | None:
    """Write an instant as the product shows it: UTC with `Z`; no fraction, or three digits where they do, or six."""
    if moment is None:
        return None
    moment = moment.astimezone(UTC)
    text = moment.replace(microsecond=0, tzinfo=None).isoformat()
    if moment.microsecond == 0:
        return text + "Z"
    digits = f"{moment.microsecond:06d}"
    return f"{text}.{digits[:3] if digits.endswith('000') else digits}Z"


def number(text: str | None) -> float | None:
    """Read numeric text (sign, digits, point, exponent); what no finite double can hold is not numeric."""
    if text is None or not NUMERIC.fullmatch(text):
        return None
    value = float(text)
    return None if value in (float("inf"), float("-inf")) else value


def number_text(value: float) -> str:
    """Write whole numbers up to 2^53 as digits, others as the shortest text of the same double."""
    try:
        double = float(value)
    except OverflowError:
        return "inf" if value > 0 else "-inf"
    if double in (float("inf"), float("-inf")):
        return repr(double)
    if abs(value) <= EXACT and value == int(value):
        return str(int(value))
    return repr(double).removesuffix(".0")


# --- one line ------------------------------------------------------------------------------------------------------


def flatten(value: object, path: str, into: dict[str, str | None]) -> None:
    """Put the text values under `path` into `into`; a path met again counts anew, None where the last one is null."""
    if isinstance(value, dict):
        for key, inner in value.items():
            flatten(inner, f"{path}.{key}" if path else key, into)
        return
    into.pop(path, None)
    into[path] = text_of(value)


def text_of(value: object) -> str | None:
    """Give the text of one JSON value that is no object."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def flat_properties(value: dict[str, object]) -> dict[str, str]:
    flat: dict[str, str | None] = {}
    for key, inner in value.items():
        flatten(inner, key, flat)
    return {path: text for path, text in flat.items() if text is not None}


def flat_traits(value: dict[str, object]) -> dict[str, dict[str, str] | None]:
    traits: dict[str, dict[str, str] | None] = {}
    for key, inner in value.items():
        flat: dict[str, str | None] = {}
        flatten(inner, key, flat)
        traits[key] = None if inner is None else {path: text for path, text in flat.items() if text is not None}
    return traits


def an_id(value: object, name: str) -> str | None:
    """Give the id as text; None for missing, null and the empty string."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{name} is neither text nor a whole number")
    if isinstance(value, float) and not value.is_integer():
        raise Refused(f"{name} is a fraction")
    return str(int(value))


def last_of_repeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        found.pop(key, None)  # so that the order is that of the last ones
        found[key] = value
    return found


def no_constant(name: str) -> None:
    raise ValueError(name)


def whole(text: str) -> int | float:
    return int(text) if len(text) < 400 else float(text)


DECODER = json.JSONDecoder(object_pairs_hook=last_of_repeated, parse_constant=no_constant, parse_int=whole)


def unwanted(value: object) -> bool:
    """Tell whether U+0000 or a lone surrogate is anywhere in a decoded JSON value, keys included."""
    if isinstance(value, str):
        return UNWANTED.search(value) is not None
    if isinstance(value, dict):
        return any(unwanted(key) or unwanted(inner) for key, inner in value.items())
    if isinstance(value, list):
        return any(unwanted(inner) for inner in value)
    return False


def decoded(raw: bytes) -> dict[str, Any]:
    if len(raw.rstrip(b"\r\n")) > LONGEST_LINE:
        raise Refused("the line is longer than 16 MiB")
    try:
        value = DECODER.decode(raw.decode("utf-8"))
        bad = b"\\u" in raw and unwanted(value)  # neither can be written in UTF-8 JSON without an escape
    except UnicodeDecodeError as error:
        raise Refused("not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise Refused("not JSON") from error
    if bad:
        raise Refused("U+0000 or a lone surrogate")
    if not isinstance(value, dict):
        raise Refused("no object")
    return value


def name_of(body: dict[str, Any], kind: str) -> str | None:
    if kind == "track":
        name = body.get("event")
        if not isinstance(name, str) or name == "":
            raise Refused("a track without an event name")
        return name
    if kind in ("page", "screen"):
        name = body.get("name")
        return name if isinstance(name, str) and name != "" else kind
    return None


def account_of(body: dict[str, Any]) -> str | None:
    account = an_id(body.get("groupId"), "groupId")
    context = body.get("context")
    if account is None and isinstance(context, dict):
        account = an_id(context.get("groupId"), "context.groupId")
    return account


def parse(raw: bytes, *, now: datetime | None = None) -> Message:
    """Read one line. `empty` tells whether properties or traits were there and no object. Raises Refused."""
    body = decoded(raw)
    kind = body.get("type")
    if kind not in KINDS:
        raise Refused("unknown kind")
    event = name_of(body, kind)
    user, account = an_id(body.get("userId"), "userId"), account_of(body)
    previous = an_id(body.get("previousId"), "previousId") if kind == "alias" else None
    if kind == "alias" and (user is None or previous is None):
        raise Refused("an alias without both ids")
    if user is None and account is None:
        raise Refused("names neither user nor account")
    given = body.get("timestamp")
    timestamp = instant(body.get("receivedAt") if given is None else given)
    if timestamp is None:
        raise Refused("no instant")
    if now is not None and timestamp > now + timedelta(hours=24):
        raise Refused("more than 24 h ahead of the clock")
    key = "properties" if kind in NAMED else "traits" if kind in ("identify", "group") else None
    content = body.get(key) if key else None
    message: Message = {
        "message_id": an_id(body.get("messageId"), "messageId"),
        "kind": kind,
        "event": event,
        "user": user,
        "account": account,
        "previous": previous,
        "timestamp": timestamp,
        "received": instant(body.get("receivedAt")),
        "properties": flat_properties(content) if key == "properties" and isinstance(content, dict) else {},
        "traits": flat_traits(content) if key == "traits" and isinstance(content, dict) else {},
        "empty": content is not None and not isinstance(content, dict),
    }
    if message["message_id"] is None:
        message["message_id"] = derived_id(message)
    return message


def derived_id(message: Message) -> str:
    parts = [message[name] for name in ("kind", "user", "account", "previous", "event")]
    parts += [message["timestamp"].isoformat(), message["properties"], message["traits"]]
    return "derived:" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


# --- many lines ----------------------------------------------------------------------------------------------------


def read_lines(lines: Iterable[tuple[str, int, bytes]], *, now: datetime | None = None) -> Reading:
    """Read (file, line number, bytes); blank lines are nothing; the first arrival of a message id stands."""
    reading, seen = Reading(), set()
    for file, line, raw in lines:
        if not raw.strip():
            continue
        try:
            message = parse(raw, now=now)
        except Refused as refusal:
            reading.refused.append((file, line, str(refusal)))
            continue
        if message["message_id"] in seen:
            reading.duplicates += 1
            continue
        seen.add(message["message_id"])
        reading.empty_properties += message.pop("empty")
        message["arrival"] = len(reading.messages)
        reading.messages.append(message)
    return reading


def lines_of(paths: Sequence[Path]) -> Iterator[tuple[str, int, bytes]]:
    for path in paths:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for line, raw in enumerate(stream, start=1):
                yield str(path), line, raw


def read(paths: Sequence[Path], *, now: datetime | None = None) -> Reading:
    """Read JSONL files, `.gz` too, in the order given."""
    return read_lines(lines_of(paths), now=now)


def of(*bodies: dict[str, Any]) -> list[Message]:
    """Give the messages of JSON bodies, for tests; a refused one raises."""
    reading = read_lines(("-", at, json.dumps(body).encode()) for at, body in enumerate(bodies, start=1))
    if reading.refused:
        raise Refused(str(reading.refused))
    return reading.messages
