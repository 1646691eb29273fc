"""A bad day from its morning to the day after: the pull meets the fault, then the push does, then the fault is gone.
Each step is held against what must be, and what the user saw becomes a row of the table in `docs/reliability.md`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engage_sync.sandbox import fault_kinds
from engage_sync.sandbox.fault_kinds import FaultKind
from engage_sync.sandbox.faults import Fault
from engage_sync.sync.cycle import Report
from tests.sync import fault_cases, fault_conditions
from tests.sync.fault_cases import Bad
from tests.sync.fault_conditions import Given
from tests.sync.fault_stage import DAY, STAGES, Stage

KINDS: Mapping[str, Mapping[str, FaultKind]] = {"hubspot": fault_kinds.HUBSPOT, "salesforce": fault_kinds.SALESFORCE}
CASES: Mapping[str, Mapping[str, Bad]] = {"hubspot": fault_cases.HUBSPOT, "salesforce": fault_cases.SALESFORCE}
CONDITIONS: Mapping[str, Mapping[str, Given]] = {
    "hubspot": fault_conditions.HUBSPOT,
    "salesforce": fault_conditions.SALESFORCE,
}
READS, WRITES, ALL = "[rs]*", "write", "*"
YES = "yes"


@dataclass(frozen=True, slots=True)
class Cells:
    """A row of the table: what the user sees while pulling and pushing, and what the days after proved."""

    pulling: str
    pushing: str
    lost: str = YES
    doubled: str = YES


def bad_day(stage: Stage, name: str, bad: Bad) -> Cells:
    """Live through one fault. Every run that ends as a success is held to it."""
    regular, newcomer = stage.regular, stage.newcomer()
    stage.edit(regular, stage.plan, f"typed on day {len(stage.people)}")
    before = stage.changes(regular)
    pulling = _pull(stage, name, bad)
    pushing = _push(stage, name, bad, {regular, newcomer})
    _day_after(stage, name)
    plan, id_ = ((field, stage.wanted(newcomer)[field]) for field in (stage.plan, stage.id))
    came = stage.changes(newcomer)
    assert came == Counter([plan, id_]), f"each value once and no other: {came}"
    again = stage.changes(regular) - before
    assert again == Counter([(stage.plan, stage.wanted(regular)[stage.plan])]), f"the one value once: {again}"
    assert stage.count() == len(stage.people), "there is a contact that nobody created"
    assert stage.tasks(newcomer) <= 1, "there are two tasks"
    stage.owed[newcomer] = bad.tasks
    stage.clock.advance(DAY)
    return Cells(pulling, pushing, lost=f"{YES}: {bad.but}" if bad.but else YES)


def _pull(stage: Stage, name: str, bad: Bad) -> str:
    """Pull under the fault, then without it: what it kept back comes, and nothing else changed."""
    before = stage.mirror()
    stage.crm.faults.add(_fault(name, ALL if bad.everywhere else READS, bad.at))
    report = stage.pull()
    assert report.exit == (bad.pull if isinstance(bad.pull, int) else 0), report.errors
    assert report.writes == 0
    assert stage.mirror() == (stage.truth() if report.exit == 0 else before)
    stage.crm.faults.clear()
    stage.clock.advance(DAY)
    assert stage.pull().exit == 0
    assert stage.mirror() == stage.truth()
    return bad.pull if isinstance(bad.pull, str) else _told(stage, report, "")


def _push(stage: Stage, name: str, bad: Bad, changed: set[str]) -> str:
    """Push under the fault: what was not confirmed does not count as written, and what counts as written is there."""
    stage.project.by_jobs = bad.by_jobs
    stage.crm.faults.add(_fault(name, ALL if bad.everywhere or bad.by_jobs else WRITES, "*", times=bad.times))
    report = stage.sync(pulling=False)
    stage.project.by_jobs = False
    assert report.exit == (bad.push if isinstance(bad.push, int) else 0), (report.errors, stage.failures())
    counts = {bucket: count for bucket, count in report.connectors[stage.connector][stage.object].items() if count}
    rest = counts.pop("unchanged", 0)
    assert counts == bad.pushed(), (counts, stage.failures())
    if counts:  # the plan holds what this day brought and nothing of the days before: they left nothing undone
        assert set(report.changes["record"]) == changed
        assert rest == len(stage.people) - len(changed)
    right = {record for record in changed if stage.held(record) == stage.wanted(record)}
    assert len(right) >= counts.get("written", 0)
    told = set(stage.failures()) if "held" not in counts else changed
    assert told >= changed - right if counts else report.exit != 0, f"not told of all that is not done: {told}"
    stage.crm.faults.clear()
    stage.clock.advance(DAY)
    return bad.push if isinstance(bad.push, str) else _told(stage, report, _in_words(counts))


def _day_after(stage: Stage, name: str) -> None:
    """Sync without the fault, but for one call that creates a task: the CRM holds what is wanted, nothing is listed."""
    tasks = "*tasks*" if stage.connector == "hubspot" else "*composite*"
    stage.crm.faults.add(_fault(name, WRITES, tasks, times=1, contains="Say hello"))
    report = stage.sync()
    stage.crm.faults.clear()
    assert {record: stage.held(record) for record in stage.people} == {one: stage.wanted(one) for one in stage.people}
    counts = report.connectors[stage.connector][stage.object]
    assert (counts["failed"], counts["refused"]) == (0, 0)
    assert stage.failures() == {}
    assert stage.pull().exit == 0
    assert stage.mirror() == stage.truth()


def _fault(name: str, kind: str, path: str, *, times: int | None = None, contains: str = "") -> Fault:
    seconds = 0.02 if name.startswith("hang") else 1.0
    return Fault(name, kind=kind, path=path, times=times, contains=contains, seconds=seconds)


def _in_words(counts: Mapping[str, int]) -> str:
    if len(counts) == 1:
        return f"both {next(iter(counts))}"
    return ", ".join(f"one {bucket}" for bucket in sorted(counts, reverse=True))


def _told(stage: Stage, report: Report, counts: str) -> str:
    """Say what the user sees: the exit code, the buckets, and the sentence."""
    said = report.errors.get(stage.connector) or next(
        (f"{code}: {message}" for code, message in stage.failures().values()), ""
    )
    head = ", ".join(part for part in (f"exit {report.exit}", counts) if part)
    return f"{head}: {essence(said)}" if said else head


_CUT = re.compile(
    r" \(correlation id [^)]*\)|; the answer is kept in .*|\. This machine's clock .*|\. Please include this ErrorId .*"
    r"|: (Protocol|Connection|ChunkedEncoding)Error.*| \(127\.0\.0\.1:\d+\)| at http://127\.0\.0\.1:\d+\S*?(?=:|$)"
    r"| to (GET|POST|PATCH|PUT) [\w/*-]+|:? [0-9]{3}5g[0-9A-Za-z]{13}\b"
)


def essence(sentence: str) -> str:
    """Leave out of a sentence what differs from run to run (ids, ports, paths, instants), and the address."""
    timeless = re.sub(r"until [-\d: ]+\(UTC\)", "until the instant it names", _CUT.sub("", sentence))
    return re.sub(r"\.(?=[.;:])", "", timeless).replace("|", "\\|").strip()


HEAD = """\
| fault | pulling: what the user sees | pushing: what the user sees | nothing lost | nothing doubled |
|---|---|---|---|---|
"""


def row(connector: str, name: str, cells: Cells) -> str:
    """Write the row of a fault."""
    what = KINDS[connector][name].what
    return f"| `{name}`: {what} | {cells.pulling} | {cells.pushing} | {cells.lost} | {cells.doubled} |"


def table(connector: str, seen: Mapping[str, Cells]) -> str:
    """Write the whole table of a connector: the faults that were run, then the conditions with their tests."""
    lines = [row(connector, name, cells) for name, cells in seen.items()]
    for what, given in CONDITIONS[connector].items():
        proofs = (f"`{given.lost}`", f"`{given.doubled}`")
        lines.append(f"| {what} | {given.pulling} | {given.pushing} | {' | '.join(proofs)} |")
    return HEAD + "".join(f"{line}\n" for line in lines)


def rows_of(page: str, connector: str) -> dict[str, str]:
    """Give the rows of a connector's table in the page, by the fault's name or the condition's words."""
    begin, end = markers(f"faults of {connector}")
    lines = page.partition(begin)[2].partition(end)[0].strip().splitlines()[2:]
    cells = {line.removeprefix("| ").partition(" | ")[0]: line for line in lines}
    return {first.split("`")[1] if first.startswith("`") else first: line for first, line in cells.items()}


def markers(what: str) -> tuple[str, str]:
    """Give the lines between which a generated part of a page stands."""
    return f"<!-- generated: {what} -->\n", f"<!-- end: {what} -->\n"


def live_through(connector: str, root: Path) -> str:
    """Run all cases of a connector, and give its table."""
    with STAGES[connector](root) as stage:
        return table(connector, {name: bad_day(stage, name, bad) for name, bad in CASES[connector].items()})
