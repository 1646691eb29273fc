"""The part of the state that keeps a sync safe: failures and when they are tried again, drift, what was undone, former
links, and what is about to be written. The class `State` is built on it; nothing else is.
"""

# ruff: noqa: A002 - `object` is the word of the contract
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial

import polars as pl

from engage_sync.state import accounts as account_rows
from engage_sync.state import deferred as deferred_rows
from engage_sync.state import drift as drift_rows
from engage_sync.state import failures as failure_rows
from engage_sync.state import intents as intent_rows
from engage_sync.state import leases as lease_rows
from engage_sync.state import links as link_rows
from engage_sync.state import tallies as tally_rows
from engage_sync.state import undone as undone_rows
from engage_sync.state.alerts import AlertMemory
from engage_sync.state.background import Schedule
from engage_sync.state.database import Database
from engage_sync.state.dump import Dump, dumping
from engage_sync.state.keeper import Keeper
from engage_sync.state.leases import Lease
from engage_sync.state.tallies import Tally


class Safekeeping(Schedule, AlertMemory):
    """The methods of `State` about failures, drift, undone values, former links and intents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def failures(self, connector: str | None = None, object: str | None = None) -> pl.DataFrame:
        """Give the records that are still refused or failing, of one connector or all, of one object or all, the newest
        first: connector, object, record, external_id, status, code, message, request, run, attempts, first_at, last_at,
        wanted (JSON), next_at."""
        return failure_rows.failures(self._database, connector, object)

    def settle(self, connector: str, object: str, records: Sequence[str]) -> None:
        """Drop the failures of records that need no change any more."""
        failure_rows.settled(self._database, connector, object, records)

    def waiting(self, connector: str, object: str, now: datetime) -> pl.DataFrame:
        """Give the last attempts at refused records that are left alone at `now`: record, field, value, message,
        described."""
        return failure_rows.waiting(self._database, connector, object, now)

    def deferred(self, connector: str, object: str) -> pl.DataFrame:
        """Give the records that wait for quota, and since which run: record, since_run."""
        return deferred_rows.deferred(self._database, connector, object)

    def change_deferred(self, connector: str, object: str, begun: pl.Series, ended: pl.Series, run: int) -> None:
        """Note that records wait for quota since `run`, unless they did before, and that others do no more."""
        deferred_rows.change_deferred(self._database, connector, object, begun, ended, run)

    def drifts(self, connector: str, object: str) -> pl.DataFrame:
        """Give what somebody else set in our fields and is known of it: record, field, value, seen_at, author,
        changed_at, human."""
        return drift_rows.drifts(self._database, connector, object)

    def change_drifts(self, connector: str, object: str, kept: pl.DataFrame, dropped: pl.DataFrame, run: int) -> None:
        """Keep some drifts (as `drifts` gives them) and drop others (record, field)."""
        drift_rows.change_drifts(self._database, connector, object, kept, dropped, run)

    def keep_run_drift(self, run: int, rows: pl.DataFrame) -> None:
        """Keep the drift that a run met, as a frame of any columns."""
        drift_rows.keep_list(self._database, run, rows)

    def run_drift(self, run: int) -> pl.DataFrame | None:
        """Give the drift that a run met as it was kept, None when it kept none."""
        return drift_rows.listed(self._database, run)

    def keep_lease(self, name: str, holder: str, seconds: float) -> Keeper:
        """Take a lease for so long. Raises Locked, naming who has it, while another process holds it."""
        return self._keep_lease(name, holder, seconds)

    def _keep_lease(self, name: str, holder: str, seconds: float, *, even_from_this_process: bool = False) -> Keeper:
        take = partial(lease_rows.take, self._database, name, holder, seconds)
        return Keeper(self._database, partial(take, even_from_this_process=even_from_this_process), seconds)

    def leases(self) -> list[Lease]:
        """Give the leases that somebody holds."""
        return lease_rows.leases(self._database)

    def count(self, tallies: Iterable[Tally]) -> None:
        """Add to running totals (name, labels, how many more), all in one transaction."""
        tally_rows.count(self._database, tallies)

    def tallies(self, name: str) -> list[tuple[dict[str, str], int]]:
        """Give the running totals under a name with their labels."""
        return tally_rows.tallies(self._database, name)

    def dumping(self) -> AbstractContextManager[Dump]:
        """Hold one consistent state of all tables open to be read whole."""
        return dumping(self._database)

    def remembers(self, connector: str) -> bool:
        """Tell whether anything of a connector's account is kept: records, links or written values."""
        return account_rows.remembers(self._database, connector)

    def set_aside(self, connector: str, aside: str, notes: Sequence[str], run: int) -> dict[str, int]:
        """Forget what is known of a connector's account, and the notes of some kinds about it; what happened there is
        kept under the name `aside`. Gives how many rows of each table."""
        return account_rows.set_aside(self._database, connector, aside, notes, run)

    def link_history(self, external_ids: Sequence[str]) -> pl.DataFrame:
        """Give the links of some users or accounts, former and present, oldest first: connector, object, record,
        external_id, level, since_run, until_run, since, until (instants; null: it stands), moved_to, gone."""
        return link_rows.link_history(self._database, external_ids)

    def intend(
        self,
        connector: str,
        object: str,
        values: Mapping[str, Mapping[str, str | None]],
        run: int,
        *,
        before: Mapping[str, Mapping[str, str | None]],
        theirs: Mapping[str, Collection[str]],
        at: datetime,
    ) -> None:
        """Note values (record → field → text) before they are sent to the CRM, what stands there, and in which fields
        that is somebody else's; this outlives a power cut. By `at` nothing of it is on its way any more."""
        intent_rows.intend(self._database, connector, object, values, run, before=before, theirs=theirs, at=at)

    def settle_intents(
        self, connector: str, object: str, run: int, *, answered: Iterable[str], before: datetime
    ) -> None:
        """Drop what a run meant to write to the records that it was answered for, and all intents of runs older than
        `before`."""
        intent_rows.settle_intents(self._database, connector, object, run, answered=answered, before=before)

    def intents(self, connector: str, object: str) -> pl.DataFrame:
        """Give what runs meant to write and had no answer for, the newest first: record, field, value, before, run,
        until (when that run was over), was_ours."""
        return intent_rows.intents(self._database, connector, object)

    def drop_intents(self, connector: str, object: str, rows: pl.DataFrame) -> None:
        """Drop what runs meant to write to records (record, run): it is known what became of it."""
        intent_rows.drop_intents(self._database, connector, object, rows)

    def drop_strange_intents(self, declared: Collection[tuple[str, str]], before: datetime) -> None:
        """Drop what was meant before an instant for objects (connector, object) that are not declared any more."""
        intent_rows.drop_strangers(self._database, declared, before)

    def journal_around(self, run: int) -> pl.DataFrame:
        """Give what was ever written to the records that a run wrote to, as `undone.journal_around` says."""
        return undone_rows.journal_around(self._database, run)

    def rollbacks(self) -> dict[int, int]:
        """Give the runs that rolled another one back, with that one, newest first."""
        return undone_rows.rollbacks(self._database)

    def save_undone(self, rows: pl.DataFrame, run: int) -> None:
        """Keep what run `run` is about to take back: connector, object, record, field, value, restored, ours, undone
        (the run that wrote `value`)."""
        undone_rows.save_undone(self._database, rows, run)

    def undone(self, connector: str, object: str) -> pl.DataFrame:
        """Give the values that were taken back: record, field, value, restored, ours, undone, run."""
        return undone_rows.undone(self._database, connector, object)

    def undone_runs(self) -> list[tuple[str, int, int]]:
        """Give of which runs values are kept back, as `undone.undone_runs` says."""
        return undone_rows.undone_runs(self._database)

    def follow_undone(self, connector: str, object: str, moves: pl.DataFrame) -> None:
        """Let what was taken back on merged records (record, moved_to) count for the survivors."""
        undone_rows.follow_undone(self._database, connector, object, moves)

    def drop_undone(self, connector: str, object: str, rows: pl.DataFrame) -> None:
        """Forget that values (record, field) were taken back."""
        undone_rows.drop_undone(self._database, connector, object, rows)
