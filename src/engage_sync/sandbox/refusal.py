"""Refused: the stand-in CRM says no to a request, with the words HubSpot would use. Raised by the store and the
dialect, turned into an HTTP answer at one place; it is never a fault of the sandbox itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Context = Mapping[str, Sequence[str]]
"""What an error is about: `propertyName`, `ids`, `objectWriteTraceId`, … → texts."""


@dataclass(frozen=True, slots=True)
class Detail:
    """One entry of `errors`: HubSpot's code (`INVALID_OPTION`, …), its sentence, and what it is about."""

    message: str
    code: str | None = None
    context: Context = field(default_factory=dict)


class Refused(Exception):
    """A request that the CRM does not carry out. `status` is the HTTP status, `category` HubSpot's (crm-apis §A13)."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        category: str = "VALIDATION_ERROR",
        details: Sequence[Detail] = (),
        context: Context | None = None,
        sub_category: str | None = None,
    ) -> None:
        self.message = message
        self.status = status
        self.category = category
        self.details = tuple(details)
        self.context: Context = context or {}
        self.sub_category = sub_category
        super().__init__(message)


def not_found(what: str = "Object not found.  objectId are usually numeric.") -> Refused:
    """Give the 404 for a record, property or group that is not there."""
    return Refused(what, status=404, category="OBJECT_NOT_FOUND")


def unreadable(what: str) -> Refused:
    """Give the 400 for a body or a parameter of the wrong shape."""
    return Refused(f"Invalid input JSON: {what}")
