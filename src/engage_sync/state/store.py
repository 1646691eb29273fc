"""All that is remembered between runs, behind one object: the only class of this room that others use.

Rows leave as frozen dataclasses, anything counted in thousands as polars frames. Every method is one transaction, so a
process killed anywhere leaves a consistent database. Database trouble is raised as Unreachable with a sentence.
"""

# ruff: noqa: A002 - `object` and `exit` are the words of the contract
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType, TracebackType

import polars as pl

from engage_sync.state import deliveries as delivery_rows
from engage_sync.state import history as history_rows
from engage_sync.state import links as link_rows
from engage_sync.state import mirror, notes, objects, plans, population, runs, written
from engage_sync.state import outcomes as outcome_rows
from engage_sync.state import transitions as transition_rows
from engage_sync.state import verdicts as verdict_rows
from engage_sync.state.database import Database, backend_of
from engage_sync.state.keeper import Keeper
from engage_sync.state.memory import ConnectorMemory
from engage_sync.state.migrate import migrate, refuse_other
from engage_sync.state.outcomes import OutcomeRow
from engage_sync.state.runs import Run
from engage_sync.state.safekeeping import Safekeeping

__all__ = ["OutcomeRow", "Run", "State"]

WRITER = "writer"
"""The lease of who computes and writes."""
LEASE = 15.0
"""Seconds that a lease holds without renewal, where a project says nothing else."""


class State(Safekeeping):
    """An open state database."""

    def __init__(self, database: Database, key_file: Path) -> None:
        super().__init__(database)
        self._key_file = key_file

    @classmethod
    def open(cls, url: str, *, key_file: Path) -> State:
        """Open `sqlite:///PATH` or `postgresql+psycopg://…`, creating or upgrading the tables.

        Raises Mistake for another URL, a file that is no database and a schema that is newer; Unreachable otherwise.
        """
        database = Database(backend_of(url))
        try:
            migrate(database)
        except BaseException:
            database.close()
            raise
        return cls(database, key_file)

    @classmethod
    def look(cls, url: str, *, key_file: Path) -> State:
        """Open what is there, and make, upgrade and change nothing. Raises Unreachable where there is nothing, or what
        a run must bring up to date first, and otherwise as `open` does."""
        database = Database(backend_of(url))
        try:
            refuse_other(database)
        except BaseException:
            database.close()
            raise
        return cls(database, key_file)

    def close(self) -> None:
        """Close the connections. Nothing is lost without it."""
        self._database.close()

    def __enter__(self) -> State:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def lock(self, owner: str, *, lease: float = LEASE) -> Iterator[Keeper]:
        """Hold the run lock, which ends with the process, and the lease `writer`, which ends so many seconds after its
        last renewal. Raises Locked, naming who has one of them. What it gives says before a write whether both hold."""
        with ExitStack() as held:
            with self._database.sentences():
                held.enter_context(self._database.backend.lock(owner))
            # Under the run lock, what an earlier run of this process could not give up is no hindrance.
            keeper = self._keep_lease(WRITER, owner, lease, even_from_this_process=True)
            held.enter_context(keeper.renewing())
            held.enter_context(self._database.behind(keeper))
            yield keeper

    # Runs

    def start_run(self, command: str, as_of: datetime, started_at: datetime) -> int:
        """Note that a run starts; give its id, counted from 1."""
        return runs.start_run(self._database, command, as_of, started_at)

    def finish_run(
        self,
        run: int,
        *,
        status: str,
        exit: int,
        finished_at: datetime,
        summary: Mapping[str, object],
        held: Sequence[str] = (),
    ) -> None:
        """Note how a run ended; `summary` is added to what was kept with it, `held` are the reasons of brakes."""
        runs.finish_run(self._database, run, runs.Ending(status, exit, finished_at, summary, held))

    def add_to_summary(self, run: int, more: Mapping[str, object]) -> None:
        """Keep some JSON values with a run, over what was kept under the same names."""
        runs.add_to_summary(self._database, run, more)

    def mark_recorded(self, run: int, *, forgetting: bool = False) -> None:
        """Make the verdicts of a run count. Raises Mistake when its `as_of` is before the newest recorded one, or
        `forgetting` lets it stand instead of those."""
        runs.mark_recorded(self._database, run, forgetting=forgetting)

    def runs(self, limit: int, *commands: str) -> list[Run]:
        """Give the newest runs, newest first; with commands, those of them."""
        return runs.runs(self._database, limit, commands)

    def run(self, run: int) -> Run | None:
        """Give one run."""
        return runs.run(self._database, run)

    def newest_recorded(self) -> Run | None:
        """Give the run whose verdicts stand now."""
        return runs.newest_recorded(self._database)

    def recorded_at(self, as_of: datetime) -> Run | None:
        """Give the recorded run at exactly this instant; of several the last."""
        return runs.recorded_at(self._database, as_of)

    def previous(self, as_of: datetime) -> Run | None:
        """Give the newest recorded run with an `as_of` before this one; a replaced run is none."""
        return runs.previous(self._database, as_of)

    def counted_runs(self) -> pl.DataFrame:
        """Give the recorded runs that were not replaced, by instant: run, as_of (an instant)."""
        return runs.counted_runs(self._database)

    # Mirror

    def cursor(self, connector: str, object: str, fields: Sequence[str] = ()) -> str | None:
        """Give where the next page starts; None: from the beginning, also because other fields were pulled so far."""
        return mirror.cursor(self._database, connector, object, fields)

    def save_page(  # noqa: PLR0913 - one page is one call and one transaction
        self,
        connector: str,
        object: str,
        *,
        records: pl.DataFrame,
        vanished: Sequence[str],
        merged: Mapping[str, str],
        cursor: str,
        run: int,
        done: bool,
        fields: Sequence[str] = (),
    ) -> None:
        """Keep a page (records: record, values as JSON text, updated_at) and its cursor in one transaction.

        A pull that started from the beginning marks, when `done`, the records it did not see as vanished.
        """
        page = mirror.MirrorPage(records, vanished, merged, cursor, fields, done)
        mirror.save_page(self._database, connector, object, page, run)

    def mend(
        self,
        connector: str,
        object: str,
        *,
        records: pl.DataFrame,
        run: int,
        vanished: Sequence[str] = (),
        merged: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Put right what the mirror holds of some records (as `save_page` takes them), whatever their stamps, in one
        transaction, without moving the cursor."""
        mirror.mend(self._database, connector, object, mirror.Found(records, vanished, merged), run)

    def drop_cursor(self, connector: str, object: str) -> None:
        """Make the next pull a load from the beginning."""
        mirror.drop_cursor(self._database, connector, object)

    def loaded(self, connector: str, object: str) -> bool:
        """Tell whether the mirror of an object is whole: a load from the beginning has ended, and none is under way."""
        return objects.loaded(self._database, connector, object)

    def records(self, connector: str, object: str, fields: Sequence[str]) -> pl.DataFrame:
        """Give live records: record, updated_at, and a String column `crm.FIELD` per field, null when unset."""
        return mirror.records(self._database, connector, object, fields)

    def merges(self, connector: str, object_name: str) -> pl.DataFrame:
        """Give every merge that was told of, to the end of its chain: record, moved_to."""
        return mirror.merges(self._database, connector, object_name)

    def gone(self, connector: str, object: str) -> pl.DataFrame:
        """Give vanished and merged-away records: record, moved_to (the last survivor, or null), since_run."""
        return mirror.gone(self._database, connector, object)

    # Links

    def links(self, connector: str, object: str) -> pl.DataFrame:
        """Give record, external_id, level, since_run."""
        return link_rows.links(self._database, connector, object)

    def replace_links(self, connector: str, object: str, links: pl.DataFrame, run: int) -> None:
        """Make the links exactly these (record, external_id, level); pairs that were there keep their since_run."""
        link_rows.replace_links(self._database, connector, object, links, run)

    # Population and verdicts

    def save_population(self, run: int, users: pl.DataFrame, accounts: pl.DataFrame, memberships: pl.DataFrame) -> None:
        """Add or replace users, accounts and memberships.

        users: external_id, email, name, deactivated; accounts: external_id, name, domain; memberships: user, account,
        entered_at (an instant or null). The note `population.run` tells the run.
        """
        population.save_population(self._database, run, users, accounts, memberships)

    def users(self) -> pl.DataFrame:
        """Give external_id, email, name, deactivated."""
        return population.users(self._database)

    def accounts(self) -> pl.DataFrame:
        """Give external_id, name, domain."""
        return population.accounts(self._database)

    def memberships(self) -> pl.DataFrame:
        """Give user, account, entered_at."""
        return population.memberships(self._database)

    def known_ids(self, entity: str) -> pl.Series:
        """Give the external ids of all users or accounts."""
        return population.known_ids(self._database, entity)

    def user_by_email(self, email: str) -> list[str]:
        """Give the ids of the users with this e-mail, however it is written."""
        return population.user_by_email(self._database, email)

    def save_verdicts(self, run: int, entity: str, verdicts: pl.DataFrame) -> None:
        """Keep all verdicts of an entity (external_id, document as JSON text); only what changed is written."""
        verdict_rows.save_verdicts(self._database, run, entity, verdicts)

    def verdicts(self, entity: str, *, run: int | None = None, ids: Sequence[str] | None = None) -> pl.DataFrame:
        """Give external_id and document as they stood with a recorded run (None: the newest), of some ids or all."""
        return verdict_rows.verdicts(self._database, entity, run=run, ids=ids)

    def history(self, entity: str, external_id: str) -> pl.DataFrame:
        """Give every document of one user or account: valid_from (run), valid_to (run, null: still), document."""
        return verdict_rows.history(self._database, entity, external_id)

    def changed_verdicts(self, entity: str, *, since: int, run: int) -> pl.DataFrame:
        """Give external_id, before, after of the documents that differ between two runs; null where there is none."""
        return verdict_rows.changed_verdicts(self._database, entity, since=since, run=run)

    def verdict_count(self, entity: str, run: int) -> int:
        """Give how many verdicts stood with a run."""
        return verdict_rows.verdict_count(self._database, entity, run)

    # Transitions and deliveries

    def save_history(self, run: int, *, since: int | None, transitions: pl.DataFrame, deliveries: pl.DataFrame) -> None:
        """Keep what changed with a run against run `since`, and what its signals ask for, in one transaction.

        transitions: entity, external_id, kind, name, before, after, reasons (JSON list text); deliveries: key, signal,
        entity, external_id, episode, phase, number, action, connector, payload (JSON text). `at` may be given in both
        and is else the run's instant. A key that was told before stays as it is. All counts once the run is recorded.
        """
        history_rows.save_history(self._database, run, since=since, changes=transitions, told=deliveries)

    def transitions(self, entity: str, external_id: str) -> pl.DataFrame:
        """Give run, at, kind, name, before, after, reasons of one user or account, oldest first."""
        return transition_rows.transitions(self._database, entity, external_id)

    def transition_counts(self, run: int) -> pl.DataFrame:
        """Give entity, kind, name, before, after, count of what changed with a run."""
        return transition_rows.transition_counts(self._database, run)

    def pending_deliveries(self) -> pl.DataFrame:
        """Give the deliveries that recorded runs still owe, all columns, oldest first."""
        return delivery_rows.pending_deliveries(self._database)

    def note_attempts(self, keys: Iterable[str], at: datetime) -> None:
        """Note attempts before they are made; this outlives a power cut."""
        delivery_rows.note_attempts(self._database, keys, at)

    def settle_deliveries(self, rows: pl.DataFrame) -> None:
        """Note how attempts ended: key, status, message, result."""
        delivery_rows.settle_deliveries(self._database, rows)

    def deliveries(
        self,
        *,
        run: int | None = None,
        entity: str | None = None,
        external_id: str | None = None,
        limit: int | None = None,
    ) -> pl.DataFrame:
        """Give the deliveries of recorded runs, all columns, newest first."""
        wanted = delivery_rows.DeliveryFilter(run, entity, external_id, limit)
        return delivery_rows.deliveries(self._database, wanted)

    def open_deliveries(self, limit: int) -> pl.DataFrame:
        """Give deliveries that wait or failed, all columns, newest first."""
        return delivery_rows.open_deliveries(self._database, limit)

    def owed_episodes(self) -> pl.DataFrame:
        """Give all deliveries, all columns, of the firings of which a CRM is still owed one."""
        return delivery_rows.owed_episodes(self._database)

    def attempted_firings(self, as_of: datetime) -> pl.DataFrame:
        """Give signal, entity, external_id of what fired at an instant, in replaced runs too, and was tried."""
        return delivery_rows.attempted_firings(self._database, as_of)

    def delivery_counts(self) -> dict[str, int]:
        """Give the number of deliveries of recorded runs by status."""
        return delivery_rows.delivery_counts(self._database)

    # Last written, outcomes

    def written(self, connector: str, object: str, fields: Sequence[str]) -> pl.DataFrame:
        """Give record, a String column `last.FIELD` per field (null: never written, or empty), and `ever`, true."""
        return written.written(self._database, connector, object, fields)

    def remember(self, connector: str, object: str, values: pl.DataFrame, run: int) -> None:
        """Lay values (record, values as JSON text) over what we last wrote."""
        written.remember(self._database, connector, object, values, run)

    def forget(self, connector: str, object: str, records: Iterable[str] | None) -> None:
        """Drop what we wrote to some records; None drops nothing."""
        written.forget(self._database, connector, object, records)

    def record_outcomes(self, run: int, connector: str, object: str, outcomes: Sequence[OutcomeRow]) -> None:
        """Keep outcomes as they arrive, with all that follows from them, in one transaction."""
        outcome_rows.record_outcomes(self._database, run, connector, object, outcomes)

    def journal(
        self,
        run: int | None = None,
        connector: str | None = None,
        object: str | None = None,
        record: str | None = None,
        limit: int | None = None,
    ) -> pl.DataFrame:
        """Give what was written and tried, newest first, one row per field."""
        return outcome_rows.journal(self._database, outcome_rows.JournalFilter(run, connector, object, record, limit))

    # Plans, memory, notes

    def save_plan(self, run: int, changes: pl.DataFrame) -> None:
        """Keep the plan of a run."""
        plans.save_plan(self._database, run, changes)

    def plan(self, run: int) -> pl.DataFrame | None:
        """Give the plan kept with a run, None when it kept none."""
        return plans.plan(self._database, run)

    def memory(self, connector: str) -> ConnectorMemory:
        """Give the encrypted memory of a connector."""
        return ConnectorMemory(self._database, self._key_file, connector)

    def note(self, key: str) -> str | None:
        """Give a small fact of the project."""
        return notes.note(self._database, key)

    def set_note(self, key: str, value: str | None) -> None:
        """Keep a small fact of the project; None drops it."""
        notes.set_note(self._database, key, value)
