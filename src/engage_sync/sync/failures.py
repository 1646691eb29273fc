"""The records that a CRM refused, or gave no answer for: which of them a run leaves alone, which a retry takes up, and
how the faces list them. Calls no CRM and records no outcome.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import polars as pl

from engage_sync.core.definitions import ManagedField
from engage_sync.core.fitting import FieldLimit
from engage_sync.core.plan import ObjectPlan
from engage_sync.core.waiting import LEFT, leave_waiting
from engage_sync.state.store import State
from engage_sync.sync.rows import iso_text
from engage_sync.sync.wiring import Workspace

NOT_FITTING = "DOES_NOT_FIT"
OTHER_VALUE = "another value or another field definition"
NEXT_RUN = "the next run"
Json = object


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many refused records wait for their next attempt, and when the first of those is."""

    records: int
    first: datetime


def described(fields: Sequence[ManagedField], limits: Mapping[str, FieldLimit]) -> str:
    """Give a text that changes when the CRM describes one of our fields of an object differently: its type, options,
    lengths, or whether we may write it."""
    of = {one.field: None if one.field not in limits else asdict(limits[one.field]) for one in fields}
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:32]


def with_failures(state: State, plan: ObjectPlan, told: str | None, *, now: datetime, retrying: bool) -> ObjectPlan:
    """Leave alone what the CRM refused and what is not due again; or, `retrying`, take up what failed and nothing else.

    A refusal under another description of the fields than `told` (None: not known) is due at once.
    """
    if retrying:
        failed = state.failures(plan.connector, plan.object)["record"]
        return plan.put_off(~pl.col("record").is_in(failed.implode()), LEFT)
    refused = state.waiting(plan.connector, plan.object, now)
    alike = pl.col("described").eq_missing(pl.lit(told, pl.String))
    return leave_waiting(plan, refused if told is None else refused.filter(alike))


def still_waiting(workspace: Workspace, connectors: Sequence[str], now: datetime) -> Waiting | None:
    """Tell how many refused records of some connectors are left alone at `now`; None: none."""
    known = declared_failures(workspace).filter(pl.col("connector").is_in(list(connectors)), pl.col("next_at") > now)
    return Waiting(known.height, known["next_at"].min()) if known.height else None  # type: ignore[arg-type]


def declared_failures(workspace: Workspace) -> pl.DataFrame:
    """Give the failures of the objects that the project still declares."""
    places = [(file.name, item.object) for file in workspace.project.connectors for item in file.objects]
    schema = {"connector": pl.String, "object": pl.String}
    declared = pl.DataFrame(places, schema=schema, orient="row")
    return workspace.state.failures().join(declared, on=["connector", "object"], how="semi", maintain_order="left")


def waiting_json(found: Waiting | None) -> dict[str, Json] | None:
    """Give the part of a report about refused records that wait."""
    return None if found is None else {"records": found.records, "next_attempt": iso_text(found.first)}


def failures_json(workspace: Workspace, now: datetime) -> list[dict[str, Json]]:
    """Give the answer of `failures`: the newest first. `next_attempt` None: `waits_for` says what it depends on."""
    found = []
    for row in declared_failures(workspace).iter_rows(named=True):
        later = row["next_at"] is not None and row["next_at"] > now
        unfit = row["code"] == NOT_FITTING
        found.append(
            {
                "connector": row["connector"],
                "object": row["object"],
                "record": row["record"],
                "external_id": row["external_id"],
                "status": row["status"],
                "code": row["code"],
                "message": row["message"],
                "request": row["request"],
                "attempts": row["attempts"],
                "first_at": iso_text(row["first_at"]),
                "last_at": iso_text(row["last_at"]),
                "next_attempt": None if row["next_at"] is None else iso_text(row["next_at"]),
                "waits_for": OTHER_VALUE if unfit else None if later else NEXT_RUN,
                "wanted": json.loads(row["wanted"] or "{}"),
                "run": row["run"],
            }
        )
    return found


def instant_of_retry(state: State, now: datetime) -> datetime:
    """Give as of when a retry computes: now, or the newest recorded run's instant where that lies ahead."""
    newest = state.newest_recorded()
    return now if newest is None else max(now, newest.as_of)
