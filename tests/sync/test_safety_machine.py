"""Thousands of small steps: people type into fields of every drift policy and into their own, contacts merge, vanish
and return, the product tells news, days pass. Now and then a run: with calls that fail, with a brake that holds it,
with a record that the CRM refuses, with a quota that is short, or one that undoes an earlier one.

After each run every record is in one bucket, what is not ours is as people left it, and every write was due by
`ledger`; after a clean one the CRM holds what it should, and the next run writes nothing.

ENGAGE_SOAK=EXAMPLES runs longer, with fresh randomness.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from engage_sync.core.definitions import Brakes
from engage_sync.core.plan import Bucket
from engage_sync.sandbox.faults import FAULTS, Fault
from engage_sync.sandbox.limits import Rates
from engage_sync.sandbox.refusal import Refused
from engage_sync.sandbox.store import PERSON
from engage_sync.sync import cycle
from engage_sync.sync.approval import approve
from engage_sync.sync.cycle import Report
from engage_sync.sync.rollback import rollback
from engage_sync.sync.wiring import Workspace
from tests.sync.ledger import OURS, POLICIES, TRAITS, Decision, Expected, Ledger, Place, Setting
from tests.sync.project import Project, project

SOAK = int(os.environ.get("ENGAGE_SOAK", "0"))
STEPS = 200
EXAMPLES = 13
PAUSE = 44
"""Deeds between two runs: many small steps to one that costs."""

MODEL = f"properties: {{user: {{{', '.join(f'{name}: traits.{name}' for name in TRAITS)}}}}}\n"
WRITTEN = "".join(
    f"      engage_{name}: {{from: {name}, on_drift: '{POLICIES[f'engage_{name}'].replace('lock', 'lock: 30d')}'}}\n"
    for name in TRAITS
)
CONNECTOR = f"""\
connector: hubspot
limits: {{daily_share: 1.0}}
auth: {{access_token: "${{ENGAGE_TEST_TOKEN}}"}}
base_url: BASE_URL
objects:
  contacts:
    entity: user
    match: {{external_id: engage_external_id, email: email}}
    write:
{WRITTEN}      engage_external_id: external_id
"""
DAILY = 100_000
QUARTER = 901.0
"""Seconds: what was refused is tried again after a quarter of an hour."""
FREE = Brakes(max_event_age=None, max_change_share=1.0, max_clear_share=1.0, min_records=1_000_000)
OLD = replace(FREE, max_event_age=timedelta(milliseconds=1))
CHANGING = replace(FREE, max_change_share=0.0, min_records=1)

USERS = ("u1", "u2", "u3", "u4", "u5")
TEXTS = ("a", "b", "c")
"""Few, so that people often type what is wanted, or was."""
SLOW = ("hang", "hang_after", "too_many_daily", "batch_refused")
"""These wait for a real clock, or have consequences that outlive the run: `short` and `refused` are about them."""
FAULTY = [name for name in FAULTS if name not in SLOW]

DEEDS = (
    *("type",) * 8,
    *("integrate",) * 2,
    *("tell",) * 5,
    *("type theirs", "tell all", "leave", "return", "return"),
    *("create", "create", "create", "merge", "archive", "restore", "restore"),
    *("an hour", "a fortnight", "a month"),
)
which = st.integers(0, 7)
traits = st.sampled_from(TRAITS)
texts = st.sampled_from([*TEXTS, ""])


def struck(kinds: Sequence[str], names: Sequence[str]) -> st.SearchStrategy[Fault]:
    """Give faults that strike calls of some kinds, once, twice, or longer than any call is repeated."""
    times, skip, seconds = st.sampled_from([1, 2, 30]), st.integers(0, 1), st.just(1.0)
    return st.builds(
        Fault, st.sampled_from(names), kind=st.sampled_from(kinds), times=times, skip=skip, seconds=seconds
    )


# of a list, an end that is told too early is one that no reader can know
faults = struck(["write"], FAULTY) | struck(
    ["write", "read", "search", "*"], [n for n in FAULTY if n != "empty_results"]
)


IN_VAIN = [
    *("empty_results", "accepted_202", "html_200") * 2,
    *(name for name in FAULTY if not FAULTS[name].takes_effect),
]
"""Faults of writes that do nothing: also such as are answered by a success."""


@dataclass
class Entry:
    """What a run wrote to a field. `sure`: the run had every answer. `over`: a rollback took it back, or wrote it."""

    run: int
    place: Place
    before: str
    after: str
    sure: bool
    over: bool = False


class SafetyMachine(RuleBasedStateMachine):
    """`bodies` wait to be told to the product; `journal` has all that we ever wrote, `merged` the ids that records were
    merged into."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.ledger = Ledger()
        self.bodies: list[dict[str, Any]] = []
        self.deeds = 0
        self.journal: list[Entry] = []
        self.merged: set[str] = set()

    @initialize(mints=st.booleans())
    def begin(self, mints: bool) -> None:
        root = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="engage-machine-")))
        rates = Rates(burst=None, daily=DAILY, search=None)
        options = {"merge_mints_id": mints, "rates": rates}
        self.project: Project = self.stack.enter_context(
            project(root, model=MODEL, connector=CONNECTOR, options=options)
        )
        self.workspace: Workspace = self.stack.enter_context(self.project.open())
        self.store, self.clock = self.project.crm.store, self.project.clock
        for number, user in enumerate(USERS):
            self.told(user, email=f"{user}@x.example", **dict.fromkeys(TRAITS, TEXTS[number % 3]))
            self.ledger.users.emails[user] = f"{user}@x.example"
            self.project.contact(f"{user}@x.example")
        self.project.contact("nobody@x.example")
        self.run(self.synced)

    def teardown(self) -> None:
        self.stack.close()

    # --- the world ---

    def pick(self, number: int) -> str:
        """Give one of the live contacts."""
        found = self.store.ids("contacts")
        return found[number % len(found)] if found else ""

    @rule(deed=st.sampled_from(DEEDS), one=which, other=which, user=st.sampled_from(USERS), name=traits, text=texts)
    def deed(self, deed: str, one: int, other: int, user: str, name: str, text: str) -> None:
        """Let something happen, a moment after the last thing; what the CRM does not allow, nobody does."""
        self.deeds += 1
        SafetyMachine.steps += 1
        self.clock.advance(1.001)
        match deed:
            case "tell":
                self.told(user, **{name: text})
            case "tell all":
                self.told(user, **dict.fromkeys(TRAITS, text))
            case "leave" | "return":
                self.told(user, deactivatedAt=self.project.at() if deed == "leave" else None)
                (self.ledger.users.off.add if deed == "leave" else self.ledger.users.off.discard)(user)
            case "an hour" | "a fortnight" | "a month":
                self.clock.advance(3_600 * {"an hour": 1, "a fortnight": 24 * 14, "a month": 24 * 31}[deed])
            case _:
                with suppress(Refused):
                    self.do(deed, self.pick(one), self.pick(other), user, name, text)

    def do(self, deed: str, one: str, other: str, user: str, name: str, text: str) -> None:
        """Let something happen in the CRM."""
        store = self.store
        match deed:
            case "type":
                store.update("contacts", one, {f"engage_{name}": text}, source=PERSON)
            case "integrate":
                store.update("contacts", one, {f"engage_{name}": text}, source="INTEGRATION:other")
            case "type theirs":
                store.update("contacts", one, {"jobtitle": text}, source=PERSON)
            case "create":
                store.create("contacts", {"email": f"{user}@x.example"} | ({"engage_shy": text} if text else {}))
            case "merge":
                self.merged.add(store.merge("contacts", one, other))
            case "archive":
                store.archive("contacts", one)
            case "restore":
                bin_ = store.ids("contacts", archived=True)
                store.restore("contacts", bin_[-1] if bin_ else "1")

    def told(self, user: str, **traits: Any) -> None:
        self.bodies.append(self.project.identify(user, **traits))
        mine = self.ledger.users.traits.setdefault(user, {})
        mine.update({name: text for name, text in traits.items() if name in TRAITS})

    # --- runs ---

    def synced(self) -> Report:
        return self.cycled(FREE)

    def cycled(self, brakes: Brakes, *, pulling: bool = True) -> Report:
        workspace = replace(self.workspace, project=replace(self.workspace.project, brakes=brakes))
        return cycle.sync(workspace, None, self.clock(), clock=self.clock, pulling=pulling)

    @precondition(lambda self: self.deeds >= PAUSE)
    @rule(how=st.sampled_from(["sync", "plan", "push"]))
    def sync(self, how: str) -> None:
        """Run a clean cycle, perhaps in two steps or after a plan, which touches nothing; then one without work."""
        if how == "plan":
            self.run(lambda: cycle.plan(self.workspace, None, self.clock(), clock=self.clock), pushing=False)
        if how == "push":
            assert cycle.pull(self.workspace, None, clock=self.clock).exit == 0
            self.told("u1", plain="a")
        self.run(lambda: self.cycled(FREE, pulling=how != "push"))
        self.quiet()

    @precondition(lambda self: self.deeds >= PAUSE)
    @rule(name=st.sampled_from(IN_VAIN))
    def unwritten(self, name: str) -> None:
        """No write takes effect, whatever is answered: nothing counts as written, and the next run does it all."""
        self.told("u2", **dict.fromkeys(TRAITS, TEXTS[len(self.journal) % 3]))
        self.hear()
        before = self.snapshot()
        expected = self.expected(before)
        due = [record for record in before if expected.doing(record, Decision.WRITE) == {True}]
        self.project.crm.faults.add(Fault(name, kind="write", times=None, seconds=1.0))
        report = self.run(self.synced)
        assert self.snapshot() == before
        assert report.connectors["hubspot"]["contacts"]["written"] == 0, report.connectors
        assert (report.exit != 0) >= bool(due), (report.exit, due)
        self.run(self.synced)
        self.quiet()

    @precondition(lambda self: self.deeds >= PAUSE)
    @rule(struck=st.lists(faults, min_size=1, max_size=2), then=st.booleans())
    def troubled(self, struck: list[Fault], then: bool) -> None:
        """Run a cycle in which calls fail, then perhaps a clean one."""
        for fault in struck:
            self.project.crm.faults.add(fault)
        self.run(self.synced)
        if then:
            self.run(self.synced)
            self.quiet()

    @precondition(lambda self: self.deeds >= PAUSE)
    @rule(brakes=st.sampled_from([OLD, CHANGING]), approved=st.booleans())
    def held(self, brakes: Brakes, approved: bool) -> None:
        """Run into a brake, if there is anything for it to hold; then a person says so, or its cause goes."""
        report = self.run(lambda: self.cycled(brakes), brakes=brakes)
        if report.exit == 3 and approved:
            workspace = replace(self.workspace, project=replace(self.workspace.project, brakes=brakes))
            self.run(lambda: approve(workspace, report.run, clock=self.clock))
        else:
            self.run(self.synced)

    @precondition(lambda self: self.deeds >= PAUSE)
    @rule(which=which)
    def refused(self, which: int) -> None:
        """The CRM refuses one record, whatever is sent: the others are written, it waits, and is tried again."""
        self.hear()
        record, before = self.pick(which), self.snapshot()
        certain = self.expected(before).doing(record, Decision.WRITE) == {True}
        self.project.crm.faults.add(Fault("batch_refused", kind="write", contains=f'"{record}"', times=None))
        self.run(self.synced)
        assert not certain or self.store.values("contacts", record).items() >= before[record].items()
        clean = self.expected(self.snapshot())
        others = [one for one in before if one != record and clean.doing(one, Decision.WRITE) == {True}]
        assert not others, others
        if certain:
            writes = self.project.crm.calls.count("write")
            waiting = self.cycled(FREE)
            assert (waiting.exit, self.project.crm.calls.count("write")) == (1, writes), waiting.changes.to_dicts()
            assert waiting.connectors["hubspot"]["contacts"]["refused"] == 1
        self.clock.advance(QUARTER)
        self.run(self.synced)

    @precondition(lambda self: self.deeds >= PAUSE)
    @rule(left=st.integers(0, 12))
    def short(self, left: int) -> None:
        """Others have used the day up, but for a few calls; the next day the rest is written."""
        self.hear()
        meter = self.project.crm.meter
        meter.spend(DAILY - left - meter.used_today)
        report = self.run(self.synced, calm=False)
        assert report.exit in (0, 5), (report.exit, report.errors)
        assert (report.exit == 5) == bool(report.errors), (report.exit, report.errors)
        self.clock.advance(86_400)
        self.run(self.synced)

    @precondition(lambda self: self.deeds >= PAUSE)
    @rule(back=st.integers(0, 3), twice=st.booleans())
    def undone(self, back: int, twice: bool) -> None:
        """Undo an earlier run, perhaps two: what it wrote and nobody changed since is as it was, and stays so; as does
        what somebody made of it."""
        for number in range(1 + twice):
            runs = sorted({entry.run for entry in self.journal if entry.sure and not entry.over}, reverse=True)
            if len(runs) > back + number:
                self.undo(runs[back + number])
        self.run(self.synced)
        self.quiet()

    def undo(self, run: int) -> None:
        self.clock.advance(1.001)
        before, edits = self.snapshot(), self.edits()
        found = rollback(self.workspace, run, clock=self.clock, confirm=lambda _: True)
        assert found.report.exit == 0, found.report.errors
        after = self.snapshot()
        self.check_untouched(before, after)
        mine = {entry.place: entry for entry in self.journal if entry.run == run and not entry.over}
        for record, held in after.items():
            for name in POLICIES:
                was, now = before[record].get(name, ""), held.get(name, "")
                self.check_undone(mine.get((record, name)), run, was, now)
        for entry in self.written(found.report.run, edits, sure=True):
            mine.pop(entry.place).over = entry.over = True
            self.ledger.take_back(entry.place, entry.before, entry.after)
        for place, entry in mine.items():
            if found.confirmed and place[0] in after:
                self.left(entry, after[place[0]].get(place[1], ""))

    def left(self, entry: Entry, now: str) -> None:
        """Take in what a rollback left of one field."""
        above = [other for other in self.journal if other.place == entry.place and other.run > entry.run]
        later = [other for other in above if not other.over]
        if now != entry.after and not any(other.sure for other in later):
            sure = not later and entry.place[0] not in self.merged
            self.ledger.leave(entry.place, entry.after, now, sure=sure, back=now == entry.before)

    def check_undone(self, entry: Entry | None, run: int, was: str, now: str) -> None:
        """Check one field after a rollback."""
        if entry is None:
            assert now == was
            return
        here = [other for other in self.journal if other.place == entry.place and other.run >= run]
        if entry.place[0] in self.merged or not all(other.sure for other in here):
            assert now in (was, entry.before), (entry, was, now)
        elif was == entry.after and not any(other.run > run and not other.over for other in here):
            assert now == entry.before, (entry, was, now, here)
        else:
            assert now == was, (entry, was, now, here)

    def written(self, run: int, edits: Mapping[str, int], *, sure: bool) -> list[Entry]:
        """Note what a run wrote, and give it."""
        found = [
            Entry(run, (record, edit.property), edit.before or "", edit.after or "", sure)
            for record, before in edits.items()
            for edit in self.store.edits("contacts", record)[before:]
        ]
        self.journal += found
        return found

    def hear(self) -> None:
        """Tell the product what waits to be told."""
        if self.bodies:
            self.project.tell(*self.bodies)
            self.bodies.clear()

    def quiet(self) -> None:
        """Run again: nothing is left to do."""
        before = self.snapshot()
        writes = self.project.crm.calls.count("write")
        report = self.synced()
        assert (report.writes, self.project.crm.calls.count("write")) == (0, writes), report.changes.to_dicts()
        assert self.snapshot() == before

    def run(
        self, how: Callable[[], Report], *, pushing: bool = True, brakes: Brakes = FREE, calm: bool = True
    ) -> Report:
        """Run something, and judge what it did by the ledger."""
        self.deeds = 0
        self.clock.advance(1.001)
        self.hear()
        before, edits = self.snapshot(), self.edits()
        expected = self.expected(before)
        struck = self.project.crm.faults.struck
        report = how()
        self.project.crm.faults.clear()
        after = self.snapshot()
        clean = calm and self.project.crm.faults.struck == struck
        self.written(report.run, edits, sure=clean)
        held = report.exit == 3
        self.check_untouched(before, after)
        self.check_edits(expected, edits)
        planned = sum(report.connectors["hubspot"]["contacts"].values()) > 0
        if planned:
            self.check_buckets(report, expected, before, after, clean=clean)
        if not pushing or held:
            assert after == before
        if clean:
            self.check_clean(report, expected, before, after, pushing=pushing, brakes=brakes)
        if planned and pushing and not held:
            self.ledger.learn(expected, before, after, clean=clean)
        return report

    # --- looking ---

    def snapshot(self) -> dict[str, dict[str, str]]:
        """Give all set values of all live contacts but the one that changes with every touch."""
        stamp = self.store.type("contacts").modified
        found = {record: self.store.values("contacts", record) for record in self.store.ids("contacts")}
        return {record: {k: v for k, v in held.items() if k != stamp} for record, held in found.items()}

    def edits(self) -> dict[str, int]:
        """Give how often each live contact was edited so far."""
        return {record: len(self.store.edits("contacts", record)) for record in self.store.ids("contacts")}

    def expected(self, before: Mapping[str, Mapping[str, str]]) -> Expected:
        given: dict[Place, Setting] = {}
        for record in before:
            for edit in self.store.edits("contacts", record):
                given[record, edit.property] = Setting(edit.source, datetime.fromtimestamp(edit.at / 1_000, UTC))
        stored = self.workspace.state.links("hubspot", "contacts").select("record", "external_id").rows()
        moved = {str(old): str(new) for old, new in self.store.shelf("contacts").moved.items()}
        return self.ledger.expect(before, given, stored, moved, self.clock())

    # --- judging ---

    def check_untouched(self, before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]) -> None:
        """Check that no record came or went, and that what is not ours is as people left it."""
        theirs = [
            {record: {k: v for k, v in held.items() if k not in POLICIES} for record, held in records.items()}
            for records in (before, after)
        ]
        assert theirs[0] == theirs[1]

    def check_edits(self, expected: Expected, edits: Mapping[str, int]) -> None:
        """Check that each write of the run was due, and gave what is wanted."""
        for record, before in edits.items():
            for edit in self.store.edits("contacts", record)[before:]:
                place = (record, edit.property)
                assert edit.source == OURS
                assert Decision.WRITE in expected.decisions.get(place, ()), self.story(place, expected)
                # an id that goes to another record is taken from this one first
                assert (edit.after or "") in (expected.wants[place], ""), self.story(place, expected)

    def check_buckets(
        self,
        report: Report,
        expected: Expected,
        before: Mapping[str, Mapping[str, str]],
        after: Mapping[str, Mapping[str, str]],
        *,
        clean: bool,
    ) -> None:
        """Check that each record is in one bucket, and none counts as written that does not hold what is wanted."""
        buckets = report.connectors["hubspot"]["contacts"]
        assert buckets.keys() == {bucket.value for bucket in Bucket} - {"outside"}
        assert sum(buckets.values()) - buckets["gone"] == len(before), buckets
        assert buckets["ambiguous"] == len(expected.links.ambiguous)
        done = [record for record in before if after[record] != before[record] and self.holds(record, expected, after)]
        assert report.exit == 3 or report.writes == 0 or buckets["written"] <= len(done) or clean, (buckets, done)
        assert not buckets["failed"] or report.exit != 0
        assert clean or not buckets["refused"] or report.exit != 0

    @staticmethod
    def holds(record: str, expected: Expected, after: Mapping[str, Mapping[str, str]]) -> bool:
        return all(
            after[record].get(name, "") == expected.wants[one, name]
            for (one, name), found in expected.decisions.items()
            if one == record and found == {Decision.WRITE}
        )

    def check_clean(
        self,
        report: Report,
        expected: Expected,
        before: Mapping[str, Mapping[str, str]],
        after: Mapping[str, Mapping[str, str]],
        *,
        pushing: bool,
        brakes: Brakes,
    ) -> None:
        """Check a run in which no call failed: its exit, its counts, and every field."""
        buckets = report.connectors["hubspot"]["contacts"]
        may = expected.buckets(before)
        if self.must_hold(brakes, expected, before) is not None:
            assert (report.exit == 3) == self.must_hold(brakes, expected, before), (report.held, buckets)
        if report.exit == 3:
            assert report.held
            assert sum("written" in found for found in may.values()) >= buckets["held"]
            return
        assert report.exit == 0, (report.errors, buckets)
        assert buckets["failed"] == buckets["held"] == buckets["refused"] == 0
        for name in ("written", "drift_kept", "unchanged", "unlinked"):
            sure = sum(found == {name} for found in may.values())
            possible = sum(name in found for found in may.values())
            assert sure <= buckets[name] <= possible, (name, buckets, may, self.differences(report, expected, before))
        if not pushing:
            return
        for place, found in expected.decisions.items():
            record, name = place
            was, now, want = before[record].get(name, ""), after[record].get(name, ""), expected.wants[place]
            results = {want if one in (Decision.WRITE, Decision.SAME) else was for one in found}
            assert now in results, self.story(place, expected)
        for record in expected.links.ambiguous:
            assert after[record] == before[record]

    def story(self, place: Place, expected: Expected) -> str:
        """Tell, for the message, what is known of a field."""
        edits = [edit for edit in self.store.edits("contacts", place[0]) if edit.property == place[1]]
        lines = [
            f"{place}: wanted {expected.wants.get(place)!r}, {expected.decisions.get(place)}",
            (
                f"ours: {self.ledger.last.get(place[0])}, perhaps {self.ledger.maybe.get(place)},"
                f" undone {self.ledger.undone.get(place)}"
            ),
            *(
                f"{datetime.fromtimestamp(edit.at / 1_000, UTC)} {edit.source}: {edit.before} → {edit.after}"
                for edit in edits
            ),
        ]
        return "\n".join(lines)

    @staticmethod
    def differences(report: Report, expected: Expected, before: Mapping[str, Mapping[str, str]]) -> list[object]:
        """Give, for the message, what was expected and what was decided."""
        ours = [
            (place, before[place[0]].get(place[1], ""), expected.wants[place], [one.name for one in found])
            for place, found in expected.decisions.items()
            if found != {Decision.SAME}
        ]
        return ours + report.changes.select("record", "field", "before", "after", "decision", "reason").rows()

    def must_hold(self, brakes: Brakes, expected: Expected, before: Mapping[str, Mapping[str, str]]) -> bool | None:
        """Tell whether a brake holds a clean run; None where that is open."""
        if brakes is FREE:
            return False
        return True if brakes is OLD else None


def test_safety() -> None:
    SafetyMachine.steps = 0
    chosen = settings(
        max_examples=SOAK or EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=not SOAK,
        print_blob=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(SafetyMachine, settings=chosen)
    assert SOAK or SafetyMachine.steps >= 2_000
