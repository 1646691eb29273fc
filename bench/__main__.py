"""`make bench`: every row of every `bench_*.py`, as one table of figures, reaches and floors."""

from __future__ import annotations

import importlib
import pkgutil
import sys

from rich.console import Console
from rich.table import Table

import bench
from bench.harness import Row


def main(wanted: list[str]) -> int:
    """Print the table; the exit code says whether every reach was met. `wanted` names modules without `bench_`."""
    names = sorted(module.name for module in pkgutil.iter_modules(bench.__path__) if module.name.startswith("bench_"))
    chosen = [name for name in names if not wanted or name.removeprefix("bench_") in wanted]
    rows: list[Row] = []
    for name in chosen:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"bench.{name}").rows()
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("work", "figure", "reach", "floor", ""):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(row.work, row.figure, row.reach, row.floor, "ok" if row.ok else "MISSED")
    Console(width=None if sys.stdout.isatty() else 180).print(table)
    return 0 if all(row.ok for row in rows) else 1


sys.exit(main(sys.argv[1:]))
