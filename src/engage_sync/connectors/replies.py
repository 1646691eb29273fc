"""HTTP answers of any CRM, before anybody knows what they mean: the raw reply, tolerant reading of JSON, and the error
for a success that makes no sense. Sends nothing and knows no CRM."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256

from engage_sync.errors import Misbehaved, Transient

SHORT = 500
"""Characters of an answer that are kept for a message."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer, its body not yet understood. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    def date_ms(self) -> int | None:
        """Give the CRM's clock when it answered, in epoch milliseconds."""
        try:
            return int(parsedate_to_datetime(self.headers["date"]).timestamp() * 1000)
        except (KeyError, ValueError, TypeError, OverflowError):
            return None

    def retry_after(self) -> float | None:
        """Read `Retry-After`, in seconds or as a date; None when it is not there or makes no sense."""
        told = self.headers.get("retry-after", "").strip()
        if not told:
            return None
        try:
            return max(0.0, float(told))
        except ValueError:
            pass
        try:
            return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError):
            return None

    def start(self) -> str:
        """Give the first characters of the body, for a message."""
        return self.data[:SHORT].decode("utf-8", "replace")


def senseless(what: str, answer: str | None) -> Transient:
    """Give the error for a 2xx answer that makes no sense: worth another try, and Misbehaved when it stays so."""
    error = Transient(what)
    error.__cause__ = Misbehaved(what, answer)
    return error


def text(value: object) -> str | None:
    """Give text for what should be text, None for what is not there or has another shape."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) else None


def json_of(data: bytes) -> object:
    """Read JSON; None when it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def json_object(data: bytes) -> dict[str, object] | None:
    """Read a JSON object; None when it is something else."""
    body = json_of(data)
    return body if isinstance(body, dict) else None


def moment(epoch_ms: int) -> str:
    """Give an instant as ISO 8601 text in UTC, to the second."""
    return datetime.fromtimestamp(epoch_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fingerprint(secret: str) -> str:
    """Give a short name for a secret that does not tell it."""
    return sha256(secret.encode()).hexdigest()[:16]
