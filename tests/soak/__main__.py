"""`python -m tests.soak --minutes 20`: cycles through the real code, in one process, on both sandboxes, over simulated
days in which people are busy and one call in twenty fails. Then the faults end, and clean runs go on until nothing is
written: the CRMs must show what is wanted, nothing doubled, and memory must have stayed flat. The exit code says so.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from statistics import median

import psutil

from engage_sync.core.plan import Bucket
from engage_sync.sandbox.fault_kinds import HUBSPOT, SALESFORCE, FaultKind
from engage_sync.sandbox.faults import Fault, Faults
from engage_sync.sync import ingest
from engage_sync.sync.cycle import Report
from tests.soak import world as made
from tests.soak.idle import idle
from tests.soak.world import OBJECTS, World
from tests.sync.project import ENGAGE, OPEN_BRAKES
from tests.sync.two_crms import Both, both

GROWTH = 1.05
LAST_RUNS = 12
EDITS_KEPT = 12
"""Of each record, the newest: the sandboxes keep every edit for ever, which is their memory, not the product's."""
COMPACTED = 50
"""Cycles between two compactions of the events, which a project does at night: then as many events stay as it keeps."""
MEANT = 1.5
"""Many kinds strike some of the calls only: so much more is armed than is meant."""
LYING = "empty_results"
"""Of a list, an end that is told too early: no reader can know. Writes are checked by their answers."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--people", type=int, default=150)
    parser.add_argument("--share", type=float, default=0.05, help="how many of the calls fail")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument(
        "--daemon-cycles", type=int, metavar="N", help="instead: so many cycles of a daemon in which nothing changes"
    )
    options = parser.parse_args()
    if options.daemon_cycles is not None:
        return idle(options.daemon_cycles)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="engage-soak-") as folder, both(Path(folder), provisioned=False) as project:
        write(project)
        project.provision()
        project.org.store.shelf("Contact").type.tracked.add(made.theirs("engage_team"))
        soak = Soak(project, options.seed, options.people, options.share)
        soak.work(options.minutes * 60)
        return soak.end()


def write(project: Both) -> None:
    """Write the project's files over those of the tests."""
    urls = {"hubspot": project.crm.base_url, "salesforce": project.org.base_url}
    files = {
        "config/engage.yaml": ENGAGE.replace("{brakes}", OPEN_BRAKES),
        "config/model.yaml": made.MODEL,
        "connectors/hubspot.yaml": made.HUBSPOT.replace("BASE_URL", urls["hubspot"]),
        "connectors/salesforce.yaml": made.SALESFORCE.replace("BASE_URL", urls["salesforce"]),
    }
    for name, text in files.items():
        (project.root / name).write_text(text, encoding="utf-8")


def arm(faults: Faults, kinds: Mapping[str, FaultKind], share: float, seed: int) -> None:
    """Switch on every fault that passes by itself, so that together they strike that share of the calls."""
    passing = [name for name, kind in kinds.items() if kind.passing]
    for number, name in enumerate(passing):
        seconds = 0.02 if name.startswith("hang") else 1.0
        kind = "write" if name == LYING else "*"
        probability = MEANT * share / len(passing)
        faults.add(Fault(name, kind=kind, times=None, probability=probability, seed=seed + number, seconds=seconds))


def held(process: psutil.Process) -> int:
    """Give the bytes that a process holds: what its allocator keeps of what was freed, which grows for as long as
    pieces of odd sizes come and go, is given back to the system first, where glibc can."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return int(process.memory_info().rss)


class Soak:
    """The run: what was seen, and what was found wrong."""

    def __init__(self, project: Both, seed: int, people: int, share: float) -> None:
        self.project, self.seed, self.share = project, seed, share
        self.world = World(project, Random(seed), people, people // 10)
        self.world.begin()
        self.memory: list[int] = []
        self.exits: Counter[int] = Counter()
        self.struck: Counter[str] = Counter()
        self.calls = 0
        self.wrong: list[str] = []
        self.process = psutil.Process()

    def work(self, seconds: float) -> None:
        """Go on for so long, with faults."""
        begun = told = time.monotonic()
        arm(self.project.crm.faults, HUBSPOT, self.share, self.seed)
        arm(self.project.org.faults, SALESFORCE, self.share, self.seed)
        while time.monotonic() - begun < seconds:
            self.world.day()
            self.run()
            self.memory.append(held(self.process))
            if time.monotonic() - told >= 60:
                told = time.monotonic()
                self.tell(told - begun)
        self.project.crm.faults.clear()
        self.project.org.faults.clear()
        self.tell(time.monotonic() - begun)

    def run(self) -> Report:
        """Run one cycle, and check what holds after each, whatever failed."""
        self.project.clock.advance(1.0)
        foreign = self.world.foreign()
        report = self.project.sync()
        self.world.computed()
        self.exits[report.exit] += 1
        after = self.world.foreign()
        changed = [place for place, held in foreign.items() if after.get(place) != held]
        self.note([f"run {report.run} changed what is not ours: {changed[:3]}"] if changed else [])
        self.note(self.buckets(report))
        for sandbox in (self.project.crm, self.project.org):
            calls = sandbox.calls.all()
            self.calls += len(calls)
            self.struck.update(call.fault for call in calls if call.fault)
            sandbox.calls.clear()
        self.trim()
        if self.exits.total() % COMPACTED == 0:
            ingest.compact(self.project.root, keep="30d", now=self.project.clock())
        return report

    def note(self, wrong: list[str]) -> None:
        for line in wrong:
            print(f"WRONG: {line}", flush=True)
        self.wrong += wrong

    def buckets(self, report: Report) -> list[str]:
        """Say where records are in no bucket, or in two; a connector that did not come as far as a plan has none."""
        found = []
        for crm, objects in report.connectors.items():
            for name, counts in objects.items():
                total = sum(counts.values()) - counts[Bucket.GONE.value]
                ours = {there: here for here, there in OBJECTS.items()}.get(name, name)
                live = len(self.world.live(crm, ours))
                if total and total != live and crm not in report.errors and report.exit == 0:
                    found.append(f"run {report.run}: {total} of {live} records of {crm} {name} in buckets")
        return found

    def trim(self) -> None:
        for shelf in (self.project.crm.store.shelf(name) for name in OBJECTS):
            for record in shelf.records.values():
                if record.edits:
                    del record.edits[:-EDITS_KEPT]
        for name in OBJECTS.values():
            for row in self.project.org.store.shelf(name).records.values():
                del row.changes[:-EDITS_KEPT]

    def tell(self, seconds: float) -> None:
        records = sum(len(self.world.live(crm, name)) for crm in ("hubspot", "salesforce") for name in OBJECTS)
        exits = ", ".join(f"{count}× {code}" for code, count in sorted(self.exits.items()))
        share = self.struck.total() / self.calls
        print(
            f"{seconds / 60:5.1f} min: {sum(self.exits.values())} cycles (exits {exits}), {self.struck.total()} faults"
            f" of {len(self.struck)} kinds ({share:.1%} of the calls), {records} records,"
            f" {self.memory[-1] / 1e6:.0f} MB",
            flush=True,
        )

    def end(self) -> int:
        """Run without faults until nothing is written, and judge."""
        for _ in range(LAST_RUNS):
            self.project.clock.advance(86_400)
            report = self.run()
            if report.exit == 0 and report.writes == 0:
                break
        else:
            self.note([f"still writing after {LAST_RUNS} clean runs: exit {report.exit}, {report.errors}"])
        self.note(self.world.wrong(report.as_of))
        self.note(self.world.doubled())
        self.note(self.growth())
        verdict = f"{len(self.wrong)} WRONG" if self.wrong else "all as it should be"
        print(f"{sum(self.exits.values())} cycles, {self.struck.total()} faults struck: {verdict}")
        return 1 if self.wrong else 0

    def growth(self) -> list[str]:
        """Compare the memory of the last quarter of the time with that of the second."""
        quarter = len(self.memory) // 4
        if not quarter:
            return []
        early, late = median(self.memory[quarter : 2 * quarter]), median(self.memory[-quarter:])
        print(f"memory: {early / 1e6:.0f} MB in the second quarter, {late / 1e6:.0f} MB in the last")
        return [] if late <= GROWTH * early else [f"memory grew by {late / early - 1:.1%}"]


if __name__ == "__main__":
    sys.exit(main())
