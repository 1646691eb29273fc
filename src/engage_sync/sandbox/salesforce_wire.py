"""Requests and answers of the Salesforce dialect: JSON bodies in, JSON with error arrays out (crm-apis §B10), and what
a route is handed. Knows no record."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engage_sync.sandbox.salesforce_refusal import Denied, RowError, malformed
from engage_sync.sandbox.wire import Answer, Call, Json

URI_LIMIT = 16_384


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as a route sees it. `version` is `62.0`; `fault` the fault that strikes the work itself."""

    call: Call
    version: str
    fault: str | None = None

    @property
    def root(self) -> str:
        """Give the path all resources of this version begin with."""
        return f"/services/data/v{self.version}"

    def body(self) -> Json:
        """Read the body as a JSON object. Raises Denied."""
        kind = self.call.headers.get("content-type", "application/json")
        if not kind.startswith("application/json"):
            raise Denied(415, "UNSUPPORTED_MEDIA_TYPE", f"Content type {kind} is not supported")
        try:
            read = json.loads(self.content(), parse_constant=_no_number)
        except ValueError as error:
            raise malformed(f"{error} at [line:1, column:1]") from error
        if not isinstance(read, dict):
            raise malformed("Cannot deserialize the request body: an object is expected")
        return read

    def content(self) -> bytes:
        """Give the body's bytes, unpacked. Raises Denied."""
        if self.call.headers.get("content-encoding", "").lower() != "gzip":
            return self.call.body
        try:
            return gzip.decompress(self.call.body)
        except (OSError, EOFError, zlib.error) as error:
            raise malformed("the body is not gzip") from error

    def flag(self, name: str, default: bool = False) -> bool:
        """Read a boolean parameter."""
        return (self.call.one(name) or str(default)).lower() == "true"


def _no_number(word: str) -> object:
    """Refuse what Python takes for a number and JSON does not."""
    raise ValueError(f"Unexpected token {word}")


def reply(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with JSON."""
    return Answer(
        status, json.dumps(body, separators=(",", ":")).encode(), headers or {}, "application/json;charset=UTF-8"
    )


def row_error(error: RowError) -> Json:
    """Write an error of one row; they say `statusCode`."""
    return {"statusCode": error.code, "message": error.message, "fields": list(error.fields)}


def failed(errors: Sequence[RowError]) -> Json:
    """Write the result of a refused row."""
    return {"success": False, "errors": [row_error(error) for error in errors]}


def denial(status: int, errors: Sequence[RowError]) -> Answer:
    """Answer with Salesforce's error body: an array; errors of a request say `errorCode`."""
    body = [
        {"message": error.message, "errorCode": error.code} | ({"fields": list(error.fields)} if error.fields else {})
        for error in errors
    ]
    return reply(body, status)


def text_of(given: Mapping[str, object], name: str) -> str:
    """Read a text that a body must hold. Raises Denied."""
    found = given.get(name)
    if not isinstance(found, str) or not found:
        raise Denied(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{name}]", [name])
    return found
