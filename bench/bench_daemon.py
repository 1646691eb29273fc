"""The daemon: what it costs while it waits, and what a cycle costs in which nothing has changed, its child's start
included."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.bench_hubspot import sandbox
from bench.bench_sync import COMMAND, project, write_people
from bench.harness import Row, measured_command
from engage_sync.sync.children import PROGRAM
from engage_sync.sync.worked import JobDone

CONTACTS = 100_000
AGE = 2 * 86_400
"""Seconds since our own writes, more than since the newest change of the first pull: they are not read again, which the
CRM's limit of searches would stretch over minutes."""
IDLE = 30.0
"""Seconds in which a waiting daemon is watched."""
WAITING = """\
server: {port: 0}
daemon: {jitter: 0s, reconcile: , compact: }
"""
SCHEDULE = "schedule: {pull: 1d, push: 1d}\n"


@contextmanager
def settled(contacts: int) -> Iterator[Path]:
    """A project whose CRM holds what is wanted: every contact is a user's, and was written."""
    with sandbox(contacts, 0.0, "unlimited") as server, project(str(server.hello["base_url"])) as root:
        os.environ["HUBSPOT_KEY"] = str(server.hello["token"])
        people = root / "people.jsonl"
        write_people(people, contacts, "person{}@example.com")
        for line in (("import", str(people)), ("sync",)):
            done = measured_command(COMMAND, *line, "--project", str(root))
            assert done.result == 0, line
        server.order(age=AGE)
        child(root, "sync:hubspot")
        yield root


def child(root: Path, *jobs: str) -> tuple[list[JobDone], float, float]:
    """Let a child of the daemon work, as the daemon starts it: what it tells of its jobs, seconds of CPU, seconds."""
    line = [*PROGRAM, "work", *jobs, "--project", str(root), "--files", str(root)]
    before, began = os.times(), time.perf_counter()
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    worked = json.loads(process.stdout.read())
    process.wait()
    wall, after = time.perf_counter() - began, os.times()
    return (
        worked["jobs"],
        after.children_user + after.children_system - before.children_user - before.children_system,
        wall,
    )


def cycle_row(contacts: int = CONTACTS) -> Row:
    """A cycle of the daemon's child, as the daemon starts it, in which nothing is to be written."""
    with settled(contacts) as root:
        (job,), cpu, wall = child(root, "sync:hubspot")
        _, floor, _ = child(root)
    unchanged = job["counts"].get("unchanged", 0)
    figure = f"{cpu:.1f} s CPU, {wall:.1f} s, exit {job['exit']}, {unchanged:,} unchanged"
    good = cpu <= 8 and job["exit"] == 0 and unchanged == contacts
    return Row(
        f"the daemon's cycle over {contacts:,} contacts, nothing changed",
        figure,
        "≤ 8 s CPU",
        f"{floor:.1f} s CPU without a job",
        good,
    )


def idle_row() -> Row:
    """A daemon with its HTTP faces, between two jobs."""
    with sandbox(1_000, 0.0, "unlimited") as server, project(str(server.hello["base_url"])) as root:
        os.environ["HUBSPOT_KEY"] = str(server.hello["token"])
        for name, text in (("config/engage", WAITING), ("connectors/hubspot", SCHEDULE)):
            with (root / f"{name}.yaml").open("a") as file:
                file.write(text)
        with tempfile.TemporaryFile() as log:
            daemon = subprocess.Popen([COMMAND, "daemon", "--project", str(root)], stderr=subprocess.PIPE, stdout=log)
            try:
                assert daemon.stderr is not None
                for line in daemon.stderr:
                    if json.loads(line)["event"] == "worked":
                        break
                process = psutil.Process(daemon.pid)
                while process.children():
                    process.children()[0].wait()
                before = process.cpu_times()
                time.sleep(IDLE)
                after, memory = process.cpu_times(), process.memory_info().rss / 1e6
            finally:
                daemon.kill()
                daemon.communicate()
    share = (after.user + after.system - before.user - before.system) / IDLE
    figure = f"{memory:.0f} MB, {share:.2%} CPU over {IDLE:.0f} s"
    good = memory <= 180 and share <= 0.01
    return Row("a daemon that waits, HTTP faces included", figure, "RSS ≤ 180 MB, CPU ≤ 1 %", "-", good)


def rows() -> list[Row]:
    """Give all rows of this file."""
    return [cycle_row(), idle_row()]
