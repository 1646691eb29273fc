"""Requests and answers between the HTTP server and the dialect: reading parameters and JSON bodies, writing HubSpot's
error body (crm-apis §A13). Knows no record."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from engage_sync.sandbox.refusal import Refused, unreadable

Json = dict[str, object]
ORIGIN = "https://api.hubapi.com"


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request. `path` is without query and trailing slash; `headers` have lower-case names; `target` is the
    request line's own text."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: bytes = b""
    target: str = ""

    def segments(self) -> list[str]:
        """Give the path's parts, decoded."""
        return [unquote(part) for part in self.path.split("/") if part]

    def one(self, name: str) -> str | None:
        """Give the last value of a query parameter, or None."""
        given = self.query.get(name)
        return given[-1] if given else None

    def several(self, name: str) -> list[str]:
        """Give all values of a query parameter, repeated or joined by commas."""
        return [part for text in self.query.get(name, ()) for part in text.split(",") if part]

    def flag(self, name: str) -> bool:
        """Read a boolean parameter; `False` and `false` are both no."""
        text = (self.one(name) or "false").lower()
        if text not in ("true", "false"):
            raise unreadable(f"{name} must be true or false, not {text}")
        return text == "true"

    def number(self, name: str, default: int, largest: int) -> int:
        """Read a whole number from 1 to `largest`."""
        text = self.one(name)
        if text is None:
            return min(default, largest)
        if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= largest:
            raise unreadable(f"{name} must be a number from 1 to {largest}, not {text}")
        return int(text)

    def json(self) -> Json:
        """Read the body as a JSON object. Raises Refused: wrong content type (415), not JSON (400)."""
        kind = self.headers.get("content-type", "")
        if not kind.startswith("application/json"):
            raise Refused(f"Unsupported media type: {kind or 'none'}", status=415, category="UNSUPPORTED_MEDIA_TYPE")
        try:
            read = json.loads(self.body)
        except ValueError as error:
            raise unreadable(str(error)) from error
        if not isinstance(read, dict):
            raise unreadable("the body must be an object")
        return read


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. `body` is JSON to be written, or bytes as they are; None is an empty body."""

    status: int
    body: Json | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "application/json;charset=utf-8"

    def encoded(self) -> bytes:
        """Give the body's bytes."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def call(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call:
    """Read a request line's target."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True) if parts.query else {}
    return Call(method, "/" + parts.path.strip("/"), query, headers, body, target)


def refusal(refused: Refused) -> Answer:
    """Write the error body for a request that was refused."""
    body: Json = {"status": "error", "message": refused.message, "correlationId": str(uuid.uuid4())}
    if refused.details:
        body["errors"] = [
            {"message": d.message}
            | ({"code": d.code} if d.code else {})
            | ({"context": {name: list(texts) for name, texts in d.context.items()}} if d.context else {})
            for d in refused.details
        ]
    if refused.context:
        body["context"] = {name: list(texts) for name, texts in refused.context.items()}
    if refused.sub_category:
        body["subCategory"] = refused.sub_category
    return Answer(refused.status, body | {"category": refused.category})


def item(refused: Refused, context: Mapping[str, Sequence[str]]) -> Json:
    """Write a refusal as one entry of a batch answer's `errors`."""
    entry: Json = {
        "status": "error",
        "category": refused.category,
        "message": refused.message,
        "context": {name: list(texts) for name, texts in {**refused.context, **context}.items()},
    }
    return entry | ({"subCategory": refused.sub_category} if refused.sub_category else {})


def texts(body: Json, name: str) -> list[str]:
    """Read a list of texts from a body; absent is empty."""
    given = body.get(name)
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(part, str) for part in given):
        raise unreadable(f"{name} must be a list of texts")
    return given


def text(body: Json, name: str) -> str | None:
    """Read a text from a body; numbers count as their digits, absent and null as None."""
    given = body.get(name)
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, int | float) and not isinstance(given, bool):
        return str(given)
    raise unreadable(f"{name} must be a text")


def needed(body: Json, name: str) -> str:
    """Read a text that must be there."""
    given = text(body, name)
    if given is None:
        raise unreadable(f"Some required fields were not set: [{name}]")
    return given


def inputs(body: Json, largest: int = 100) -> list[Json]:
    """Read the `inputs` of a batch. Raises Refused when absent, of the wrong shape, or too many."""
    given = body.get("inputs")
    if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
        raise unreadable("Some required fields were not set: [inputs]")
    if len(given) > largest:
        raise Refused(f"The maximum number of inputs supported in a batch request is {largest}, received {len(given)}.")
    return given


def values(row: Json) -> dict[str, str]:
    """Read the `properties` of a row: texts; numbers and booleans count as their JSON text, null is refused."""
    given = row.get("properties", {})
    if not isinstance(given, dict):
        raise unreadable("properties must be an object")
    read = {}
    for name, value in given.items():
        if isinstance(value, bool):
            read[name] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            read[name] = str(value)
        else:
            raise unreadable(f"the value of property {name} must be a text")
    return read
