"""Whether computing is worth it, by a real event store's log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from deltalake import DeltaTable

from engage_sync.state.store import State
from engage_sync.sync.freshness import Freshness
from engage_sync.sync.worked import Settings, Worked

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_events_are_seen_beside_a_checkpoint_of_the_log(tmp_path: Path) -> None:
    """Delta writes a checkpoint with every hundredth commit, and beside it the file `_last_checkpoint`, which stays."""
    store, rows = tmp_path / "events", pl.DataFrame({"event": ["report_run"]})
    settings: Settings = {"events": str(store), "digest": "d", "timezone": "UTC"}  # type: ignore[typeddict-item]
    recorded = {"run": 1, "as_of": NOW.isoformat()}
    worked: Worked = {"snapshot": {"recorded": recorded}, "mirror": "m"}  # type: ignore[typeddict-item]
    freshness = Freshness()
    state = State.open(f"sqlite:///{tmp_path / 'engage.db'}", key_file=tmp_path / "key")

    def stale_after_computing() -> bool:
        freshness.look(settings, NOW)
        freshness.computed(state, worked, since=NOW)
        return freshness.stale(settings, worked, NOW)

    rows.write_delta(store)
    DeltaTable(store).create_checkpoint()
    assert (store / "_delta_log" / "_last_checkpoint").exists()
    assert not stale_after_computing()
    rows.write_delta(store, mode="append")
    assert freshness.stale(settings, worked, NOW)
    assert not stale_after_computing()
    state.close()
