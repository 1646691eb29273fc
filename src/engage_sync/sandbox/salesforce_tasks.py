"""What the Salesforce stand-in knows of tasks alone: which are about a record, and what an org asks of one before it is
created or changed (crm-apis §B10). It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping

from engage_sync.sandbox.salesforce_refusal import refuse
from engage_sync.sandbox.salesforce_shelf import Record, Shelf

ABOUT = ("WhoId", "WhatId")
"""The fields that name the person and the account that a task is about."""


def hanging(shelf: Shelf, record: str) -> list[tuple[Record, str]]:
    """Give the live tasks about a record, and the field of each that names it."""
    return [(task, field) for task in shelf.live() for field in ABOUT if task.values.get(field) == record]


def check_task(typed: Mapping[str, object], values: Mapping[str, object], who: Record | None) -> None:
    """Check a task of which `typed` is written, `values` are what it then holds, and `who` the person it is about.
    Raises RowRefused."""
    if who is not None and "WhoId" in typed and who.values.get("IsConverted"):
        raise refuse("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", "WhoId")
    if str(values.get("WhoId"))[:3] == "00Q" and values.get("WhatId"):
        raise refuse("FIELD_INTEGRITY_EXCEPTION", "cannot specify whatID with lead whoID", "WhatId")
