"""How the change of one record ended, as the push hands it over: one frozen value. Keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

Values = Mapping[str, str | None]
WRITTEN, REFUSED, FAILED, GONE = "written", "refused", "failed", "gone"


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """How the change of one record ended. `status`: written, refused, failed or gone.

    `before` and `after` hold the fields of the change; `moved_to` is the record the change really reached; `updated_at`
    the CRM's stamp of the change, as a pulled record has it. `described` tells one description of the object's fields
    from another. Not `sent`: refused before any call, which no pause mends. `last` is about a failed one only: the
    write was acknowledged and did not take effect, and these are the last-written values as they were before it.
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
