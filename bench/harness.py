"""Measure a piece of work in a process of its own: wall time, CPU time and peak memory, children included.

Each `bench_*.py` gives rows for the table of `make bench`; a row names its reach and the floor taken in the same run.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parent / ".data"
"""Generated inputs, kept between runs."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run took. `result` is what the code put into `RESULT` (JSON), None otherwise."""

    wall: float
    cpu: float
    rss_mb: float
    result: object = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    work: str
    figure: str
    reach: str
    floor: str
    ok: bool


_WRAPPER = """
import json, resource, sys, time
setup, code, out = sys.argv[1:4]
space = {"__name__": "__bench__"}
exec(compile(setup, "<setup>", "exec"), space)
def cpu():
    a, b = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return a.ru_utime + a.ru_stime + b.ru_utime + b.ru_stime
c, w = cpu(), time.perf_counter()
exec(compile(code, "<code>", "exec"), space)
w, c = time.perf_counter() - w, cpu() - c
rss = max(resource.getrusage(r).ru_maxrss for r in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
json.dump({"wall": w, "cpu": c, "rss_mb": rss, "result": space.get("RESULT")}, open(out, "w"))
"""


def measured(code: str, *, setup: str = "") -> Measured:
    """Run `setup` (imports, not counted) and then `code` in a fresh interpreter, with the repository on its path."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        root = str(Path(__file__).parent.parent)
        subprocess.run(
            [sys.executable, "-c", _WRAPPER, setup, code, out.name],
            check=True,
            cwd=root,
            env={**os.environ, "PYTHONPATH": root},
        )
        return Measured(**json.loads(Path(out.name).read_text()))


def measured_command(*argv: str, cwd: Path | None = None) -> Measured:
    """Run a command to its end, start-up included."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(argv, check=False, cwd=cwd, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(time.perf_counter() - start, cpu, after.ru_maxrss / 1024, done.returncode)
