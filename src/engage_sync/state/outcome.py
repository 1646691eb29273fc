"""How the change of one record ended, as the push hands it over: one frozen value. Keeps nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import to_json

Values = Mapping[str, str | None]
_NO_MARKS = "{}"
WRITTEN, REFUSED, FAILED, GONE = "written", "refused", "failed", "gone"


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """How the change of one record ended. `status`: written, refused, failed or gone.

    `before` and `after` hold the fields of the change; `moved_to` is the record the change really reached; `updated_at`
    the CRM's stamp of the change, as a pulled record has it. `described` tells one description of the object's fields
    from another. Not `sent`: refused before any call, which no pause mends. `last` is about a failed one only: the
    write was acknowledged and did not take effect, and these are the last-written values as they were before it.
    `theirs` are the fields whose `before` was somebody else's, as the plan knew; None where no plan told.
    """

    record: str
    status: str
    code: str | None
    message: str | None
    request: str | None
    before: Values
    after: Values
    at: datetime
    moved_to: str | None = None
    updated_at: str | None = None
    described: str | None = None
    sent: bool = True
    last: Values | None = None
    theirs: Collection[str] | None = None


def marks(fields: Collection[str]) -> str:
    """Give some fields as a JSON object that is asked for each of them, as `Backend.text_of` does."""
    return to_json(dict.fromkeys(fields, 1)).decode() if fields else _NO_MARKS


def was_ours(document: str, text_of: str) -> str:
    """Give SQL for whether the field that `text_of` asks `document` for is none of its `marks`; NULL where there is no
    document."""
    return f"CASE WHEN {document} IS NULL THEN NULL ELSE ({text_of} IS NULL) END"
