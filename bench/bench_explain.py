"""Asking why, and keeping what changed, on the store of 20M events (200,000 users, 5,000 accounts) with the ready-made
model: `explain` of one user and one account, and what a run pays for its history when little and when much has changed.

`explain` has no floor but its limit. The floor of the history is that of the run in which next to nothing changed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from bench import bench_measure
from bench.harness import Row, measured

LIMIT = 1.0
ROOT = Path(__file__).parent.parent

_PROJECT = """
from datetime import UTC, datetime, timedelta
from pathlib import Path
import time
from engage_sync.core.definitions import Entity
from engage_sync.sync import compute, cycle, explain, history, wiring
root, NOW = Path({root!r}), datetime(2026, 1, 1, tzinfo=UTC)
"""

_COMPUTE = """
spent, kept = [], history.keep
def timed(workspace, run, computed):
    start = time.perf_counter()
    kept(workspace, run, computed)
    spent.append(time.perf_counter() - start)
history.keep = timed
changed = []
with wiring.open_workspace(root) as workspace:
    for moment in (NOW - timedelta(days=2), NOW - timedelta(days=2) + timedelta(seconds=1), NOW):
        last = workspace.state.previous(moment)
        run, _ = cycle.recompute(workspace, moment, clock=lambda: NOW)
        since = run if last is None else last.id
        changed.append(sum(workspace.state.changed_verdicts(one, since=since, run=run).height for one in Entity))
RESULT = {{"seconds": spent, "changed": changed}}
"""

_EXPLAIN = """
workspace = wiring.open_workspace(root).__enter__()
start = time.perf_counter()
user = explain.explain(workspace, Entity.USER, "user_77", None)
middle = time.perf_counter()
account = explain.explain(workspace, Entity.ACCOUNT, "account_77", None)
RESULT = [middle - start, time.perf_counter() - middle]
assert user.newest and user.tree and account.counts and account.tree
"""


def rows() -> list[Row]:
    """Compute three runs, then explain in a process of its own."""
    count = int(bench_measure.EVENTS * float(os.environ.get("ENGAGE_BENCH_SCALE", "1")))
    store = bench_measure.stored(count)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "config").mkdir()
        (root / "config" / "engage.yaml").write_text(f"events: {{store: {store.resolve()}}}\n")
        shutil.copy(ROOT / "config" / "model.yaml", root / "config" / "model.yaml")
        project = _PROJECT.format(root=folder)
        history = measured(_COMPUTE.format(), setup=project).result
        asked = measured(_EXPLAIN, setup=project)
    assert isinstance(history, dict)
    assert isinstance(asked.result, list)
    (_, little, much), (_, few, many) = history["seconds"], history["changed"]
    return [
        Row(
            f"explain one user, one account among {count:,} events",
            f"{asked.result[0]:.2f} s, {asked.result[1]:.2f} s; RSS {asked.rss_mb:,.0f} MB",
            f"≤ {LIMIT:g} s each",
            "–",
            ok=max(asked.result) <= LIMIT,
        ),
        Row(
            f"history of a run in which {many:,} documents changed",
            f"{much:.2f} s ({1e6 * much / max(many, 1):.0f} µs each)",
            "in proportion to what changed",
            f"{little:.2f} s with {few:,} changed",
            ok=few < many and little < much,
        ),
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)
