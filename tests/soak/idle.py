"""A daemon whose project does not change: cycle after cycle its children find nothing to write, and its own memory must
stay as it is. The daemon is a process of its own with all its parts; its children are forked (`cli/swift_daemon.py`),
which the daemon does not notice, so that a thousand take minutes. How much memory it has in all is not judged here: the
process that is forked has imported everything, which `engage-sync daemon` does not.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import psutil

from engage_sync.sandbox.calls import Calls
from tests.cli.swift_daemon import SWIFT
from tests.forks import Forked, fork
from tests.sync.project import project

PEOPLE = 100
GROWTH = 1.05
ENGAGE = "server: {port: 0}\ndaemon: {jitter: 0s, compute: 1h, reconcile: , compact: }\n"


def idle(cycles: int) -> int:
    """Let a daemon work through so many cycles, and judge its memory. The exit code says how it was."""
    with (
        tempfile.TemporaryDirectory(prefix="engage-idle-") as folder,
        project(Path(folder), options={"clock": _now}) as made,
    ):
        made.clock.now = _now()
        made.crm.store.create_many("contacts", [{"email": f"u{number}@acme.example"} for number in range(PEOPLE)])
        made.tell(*(body for number in range(PEOPLE) for body in made.person(f"u{number}", f"u{number}@acme.example")))
        for name, text in (("config/engage", ENGAGE), ("connectors/hubspot", "schedule: {pull: 1s, push: 1s}\n")):
            file = made.root / f"{name}.yaml"
            file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")
        daemon = fork(SWIFT, str(made.root), environment=os.environ)
        try:
            memory = _watch(daemon, cycles, made.crm.calls)
        finally:
            daemon.kill()
            daemon.wait(60)
        return _judge(memory, made.crm.calls.count("write"))


def _now() -> datetime:
    return datetime.now(UTC)


def _judge(memory: list[int], writes: int) -> int:
    """Compare the memory of the last quarter of the cycles with that of the second."""
    quarter = max(1, len(memory) // 4)
    early, late = median(memory[quarter : 2 * quarter]), median(memory[-quarter:])
    print(f"memory: {early / 1e6:.1f} MB in the second quarter, {late / 1e6:.1f} MB in the last")
    wrong = [f"memory grew by {late / early - 1:.1%}"] if late > GROWTH * early else []
    wrong += [f"{writes} calls wrote, and nothing had changed"] if writes else []
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


def _watch(daemon: Forked, cycles: int, calls: Calls) -> list[int]:
    """Read the daemon's log; give the bytes that it had after each cycle. The calls of the first are not counted."""
    process, memory, told = psutil.Process(daemon.pid), list[int](), time.monotonic()
    for line in filter(str.strip, daemon.stderr):
        said = json.loads(line)
        if said["event"] != "worked":  # else it is a child's line, or about something else
            continue
        assert said["exit"] == 0, said
        if not memory:
            calls.clear()
        memory.append(process.memory_info().rss)
        if time.monotonic() - told >= 60 or len(memory) == cycles:
            told = time.monotonic()
            used = sum(process.cpu_times()[:2])
            print(f"{len(memory)} cycles: {memory[-1] / 1e6:.1f} MB, {used:.1f} s of CPU", flush=True)
        if len(memory) == cycles:
            return memory
    raise AssertionError("the daemon ended")
