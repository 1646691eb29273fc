"""What commands say about values that somebody else set: in a plan, of a finished run, and of a connector's last push.
Reads only what runs kept; asks no CRM.
"""

from __future__ import annotations

from typing import TypedDict

import polars as pl

from engage_sync.state.runs import Run
from engage_sync.sync.drift import LISTING, PLACE
from engage_sync.sync.rows import iso_text, json_value
from engage_sync.sync.wiring import Workspace

Json = object
"""A value that `json.dumps` takes."""


class Counts(TypedDict):
    """How many fields that somebody else set were kept, and how many overwritten."""

    kept: int
    overwritten: int


def with_authors(changes: pl.DataFrame, drift: pl.DataFrame) -> list[dict[str, Json]]:
    """Give the changes of a plan, each with `author` and `changed_at` of what stands there; null where not known."""
    told = drift.select(*PLACE, "author", "changed_at")
    frame = changes.join(told, on=PLACE, how="left", maintain_order="left")
    texts = {at: iso_text(at) for at in frame["changed_at"].drop_nulls().unique()}
    column = pl.col("changed_at").replace_strict(texts, default=None, return_dtype=pl.String)
    return frame.with_columns(column).to_dicts()


def drift_of(workspace: Workspace, run: int) -> list[dict[str, Json]]:
    """Give what somebody else set as a run met it: theirs and ours, what became of it, who and since when.

    `since` is when it was set, where the CRM tells, else when a run first saw it.
    """
    kept = workspace.state.run_drift(run)
    if kept is None:
        return []
    names = (*PLACE, "theirs", "ours", "decision", "outcome", "author", "human", "changed_at", "since")
    frame = kept.select(*LISTING).with_columns(since=pl.coalesce("changed_at", "seen_at")).select(names)
    return [{name: json_value(value) for name, value in row.items()} for row in frame.iter_rows(named=True)]


def drift_counts(run: Run | None, connector: str) -> Counts:
    """Count what a run kept and overwrote in one CRM; nothing where there was no run."""
    found = {} if run is None else run.summary.get("drift", {}).get(connector, {})
    return {"kept": int(found.get("kept", 0)), "overwritten": int(found.get("overwritten", 0))}


def set_by(changes: pl.DataFrame, drift: pl.DataFrame) -> list[str | None]:
    """Say who set what stands in each changed field, and when: `Ann Lee, 2026-06-01 09:30`; None where not known."""
    rows = with_authors(changes, drift)
    said = [(row["author"], str(row["changed_at"] or "")[:16].replace("T", " ")) for row in rows]
    return [", ".join(str(part) for part in parts if part) or None for parts in said]
