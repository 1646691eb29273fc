"""The part of the state that keeps a sync safe: failures and when they are tried again, drift, what was undone, former
links, and what is about to be written. The class `State` is built on it; nothing else is.
"""

# ruff: noqa: A002 - `object` is the word of the contract
from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from engage_sync.state import intents as intent_rows
from engage_sync.state import outcomes as outcome_rows
from engage_sync.state.database import Database


class Safekeeping:
    """The methods of `State` about failures, drift, undone values, former links and intents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def failures(self) -> pl.DataFrame:
        """Give the records that are still refused or failing, with the number of attempts."""
        return outcome_rows.failures(self._database)

    def settle(self, connector: str, object: str, records: Sequence[str]) -> None:
        """Drop the failures of records that need no change any more."""
        outcome_rows.settle(self._database, connector, object, records)

    def intend(self, connector: str, object: str, values: Mapping[str, Mapping[str, str | None]], run: int) -> None:
        """Note values (record → field → text) before they are sent to the CRM; this outlives a power cut."""
        intent_rows.intend(self._database, connector, object, values, run)

    def settle_intents(
        self, connector: str, object: str, run: int, *, unanswered: Sequence[str], before: datetime
    ) -> None:
        """Drop what a run meant to write, except where no answer came, and all intents of runs older than `before`."""
        intent_rows.settle_intents(self._database, connector, object, run, unanswered=unanswered, before=before)

    def intents(self, connector: str, object: str) -> pl.DataFrame:
        """Give record, field, value of what runs meant to write and had no answer for."""
        return intent_rows.intents(self._database, connector, object)
