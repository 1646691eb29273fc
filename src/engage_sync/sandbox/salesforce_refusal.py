"""How the Salesforce stand-in says no: one row's errors, or a whole request's, with Salesforce's codes and words
(crm-apis §B10). Raised by the store and the dialect, turned into an answer at one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowError:
    """One error: a code (`STRING_TOO_LONG`), its sentence and the fields it is about."""

    code: str
    message: str
    fields: tuple[str, ...] = ()


class RowRefused(Exception):
    """One record's write is refused."""

    def __init__(self, *errors: RowError) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.code}: {error.message}" for error in errors))


class Denied(Exception):
    """A request is refused as a whole."""

    def __init__(self, status: int, code: str, message: str, fields: Sequence[str] = ()) -> None:
        self.status = status
        self.error = RowError(code, message, tuple(fields))
        super().__init__(f"{code}: {message}")


def refuse(code: str, message: str, *fields: str) -> RowRefused:
    """Refuse one row for one reason."""
    return RowRefused(RowError(code, message, fields))


def missing(name: str, object_: str) -> RowRefused:
    """Refuse a field that is not there, or that the user may not see."""
    return refuse("INVALID_FIELD", f"No such column '{name}' on sobject of type {object_}")


def malformed(message: str) -> Denied:
    """Refuse a request body or parameter of the wrong shape."""
    return Denied(400, "JSON_PARSER_ERROR", message)


def not_found(message: str = "The requested resource does not exist") -> Denied:
    """Give the 404."""
    return Denied(404, "NOT_FOUND", message)
