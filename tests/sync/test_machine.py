"""Whole cycles in every order: people edit their fields and ours, records merge, vanish and return, calls fail before
or after taking effect, the process dies in between. After each clean pull the mirror is what the CRM holds; after each
clean cycle the CRM holds what is wanted, the next one writes nothing, and what is not ours is as people left it.

Time jumps far between the changes, so that a pull does not see again by chance what an earlier one should have kept.

ENGAGE_SOAK=EXAMPLES runs longer, with fresh randomness.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from engage_sync.sandbox.refusal import Refused
from engage_sync.sandbox.store import PERSON
from engage_sync.state.links import CONTESTED
from engage_sync.sync import cycle
from engage_sync.sync.cycle import Report
from engage_sync.sync.pull import Pulled
from tests.oracle import messages as reading
from tests.sync.doings import DOMAINS, EMAILS, USERS, Doing, cycles, edits, rounds
from tests.sync.expectation import ACCOUNT_FIELDS, RESPECTED, USER_FIELDS, Expected, expect, meaning
from tests.sync.mortal import Death, Died
from tests.sync.project import MODEL, Project, project

SOAK = int(os.environ.get("ENGAGE_SOAK", "0"))

Place = tuple[str, str, str]
"""An object, a record of it and a field."""

MANAGED = {"contacts": USER_FIELDS, "companies": ACCOUNT_FIELDS}
MIRRORED = {
    "contacts": (*USER_FIELDS, "email", "hs_additional_emails", "jobtitle"),
    "companies": (*ACCOUNT_FIELDS, "domain"),
}


TYPING: Doing = {"do": "type", "on": "contacts", "pause": 0.0}
TOUCH: Doing = {"do": "touch", "first": 0, "count": 9_999, "pause": 0.0}


class Bystander:
    """Hears of the progress of a run, and lets something happen after each page."""

    def __init__(self, happen: Sequence[Callable[[], None]] = ()) -> None:
        self._happen = iter(happen)
        self.computing = False

    def step(self, what: str) -> None:
        self.computing = self.computing or what == "computing"

    def pulled(self, pulled: Pulled) -> None:
        for happen in islice(self._happen, 1):
            happen()

    def pushed(self, object_: str, done: int, total: int) -> None:
        pass


class CycleMachine(RuleBasedStateMachine):
    """`unsure` are the fields of which nobody can know whether we wrote them last: the run that did was cut short,
    or its memory is lost. `ghosts` are the records deleted for good since the last load from the beginning; `indexed`
    is the instant at which the index shows everything. `agreed` are values that a field held when they were wanted,
    which makes them ours. `carried` are those that we had written to records that were merged since: what the survivor
    still holds of them may be ours. `judged` counts the clean cycles that were held against what should be.
    """

    judged = 0

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.bodies: list[dict[str, Any]] = []
        self.unsure: set[Place] = set()
        self.ghosts: set[tuple[str, str]] = set()
        self.agreed: dict[Place, set[str]] = {}
        self.carried: dict[Place, set[str]] = {}
        self.touches = 0

    @initialize(
        lag=st.sampled_from([0.0, 0.0, 30.0]),
        mints=st.booleans(),
        fillers=st.sampled_from([230, 2, 97, 1_030]),
        begun=st.booleans(),
    )
    def begin(self, lag: float, mints: bool, fillers: int, begun: bool) -> None:
        """Put the few records that matter between the many that only fill pages."""
        root = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="engage-machine-")))
        options = {"lag": lag, "merge_mints_id": mints}
        self.project: Project = self.stack.enter_context(project(root, options=options))
        self.store, self.clock, self.lag = self.project.crm.store, self.project.clock, lag
        self.indexed = self.clock() + timedelta(seconds=lag)
        self.tell([*self.project.person("u1", EMAILS[0]), *self.project.person("u2", EMAILS[1], events=2, days=9)])
        self.tell([self.project.identify("u3", email=EMAILS[2]), self.project.group("u1", "acme", domain=DOMAINS[0])])
        self.fillers = set(self.fill(fillers // 2))
        for email in EMAILS:
            self.project.contact(email)
        self.fillers |= set(self.fill(fillers - fillers // 2))
        self.project.company(DOMAINS[0])
        if begun:
            self.settle(0.001, "")

    def fill(self, count: int) -> list[str]:
        return self.store.create_many("contacts", [{"firstname": f"Filler {number}"} for number in range(count)])

    def teardown(self) -> None:
        self.stack.close()

    # --- the world ---

    def work(self, done: Sequence[Doing], late: float = 0.0) -> None:
        """Do things in the CRM; the index shows them `late` seconds later, or as late as ever."""
        self.store.lag = max(late, self.lag)
        for one in done:
            self.clock.advance(one["pause"])
            with suppress(Refused):  # what the CRM does not allow, nobody does
                self.do(one)
        self.indexed = max(self.indexed, self.clock() + timedelta(seconds=self.store.lag))
        self.store.lag = self.lag

    def index_catches_up(self) -> None:
        self.indexed = max(self.indexed, self.clock() + timedelta(seconds=self.lag))  # of what we wrote
        self.clock.advance((self.indexed - self.clock()).total_seconds())

    def do(self, one: Doing) -> None:
        store = self.store
        match one["do"]:
            case "create":
                typed = {"email": one["email"], "jobtitle": one["title"], "engage_external_id": one["id"]}
                store.create("contacts", {name: text for name, text in typed.items() if text})
            case "found":
                store.create("companies", {"domain": one["domain"]})
            case "touch":
                self.touches += 1
                live = sorted(self.fillers & set(store.ids("contacts")), key=int)
                for record in live[one["first"] :][: one["count"]]:
                    store.update("contacts", record, {"jobtitle": f"touched {self.touches}"})
            case "restore":
                if bin_ := store.ids(one["on"], archived=True):
                    record = bin_[one["which"] % len(bin_)]
                    store.restore(one["on"], record)
                    self.unsure |= {(one["on"], record, field) for field in MANAGED[one["on"]]}
            case _:
                self.do_to_record(one)

    def do_to_record(self, one: Doing) -> None:
        store, name = self.store, one.get("on", "contacts")
        record = self.pick(name, one["which"])
        if record is None:
            return
        match one["do"]:
            case "type":
                store.update(name, record, dict([one["what"]]), source=PERSON)
            case "readdress":
                store.update(name, record, {"email": one["email"]})
            case "swap" | "merge":
                self.do_to_two(one["do"], name, record, self.pick(name, one["other"]), one.get("then"))
            case "share":
                store.update(name, record, {"email": ""})
                with store.lock:  # a CRM less strict than HubSpot
                    store.need(name, record).values["email"] = one["email"]
            case "archive" if one["for_good"]:
                shelf = store.shelf(name)
                self.ghosts |= {(name, str(old)) for old in shelf.moved if str(shelf.resolve(old)) == record}
                self.ghosts.add((name, record))
                store.erase(name, record)
            case "archive":
                store.archive(name, record)

    def do_to_two(self, do: str, name: str, one: str, other: str | None, then: str | None) -> None:
        if other is None or other == one:
            return
        if do == "merge":
            carried = [(field, self.written(name, record, field)) for record in (one, other) for field in MANAGED[name]]
            survivor = self.store.merge(name, one, other)
            for field, texts in carried:
                self.carried.setdefault((name, survivor, field), set()).update(texts)
            if then == "archive":
                self.store.archive(name, survivor)
            doubted = {field for object_, record, field in self.unsure if object_ == name and record in (one, other)}
            self.unsure |= {(name, survivor, field) for field in doubted}
            return
        first, second = (self.store.values(name, record).get("email", "") for record in (one, other))
        for record, email in ((one, ""), (other, first), (one, second)):
            self.store.update(name, record, {"email": email})

    def written(self, name: str, record: str, field: str) -> set[str]:
        """Give what we ever wrote to a field, of this record and of those that were merged into it, or agreed with."""
        place = (name, record, field)
        edits = [edit for edit in self.store.edits(name, record) if edit.property == field]
        ours = {edit.after or "" for edit in edits if edit.source.startswith("INTEGRATION")}
        return ours | self.carried.get(place, set()) | self.agreed.get(place, set())

    def pick(self, name: str, which: int) -> str | None:
        records = [record for record in self.store.ids(name) if record not in self.fillers or name != "contacts"]
        return records[which % len(records)] if records else None

    def messages(self, one: Doing) -> list[dict[str, Any]]:
        user = one["user"]
        match one["do"]:
            case "track":
                return [
                    self.project.track(user, one["event"], days=one["days"] + n / 1000) for n in range(one["times"])
                ]
            case "identify":
                return [self.project.identify(user, email=one["email"])]
            case "deactivate":
                return [self.project.identify(user, deactivatedAt=self.project.at() if one["off"] else None)]
            case "group":
                traits = {"domain": one["domain"], "seats": one["seats"]}
                return [self.project.group(user, one["account"], **traits)]
        return [{"type": "alias", "userId": user, "previousId": one["previous"], "timestamp": self.project.at()}]

    def product_is_used(self, told: list[Doing]) -> None:
        self.tell([body for one in told for body in self.messages(one)])

    def tell(self, bodies: list[dict[str, Any]]) -> None:
        self.project.tell(*bodies)
        self.bodies += bodies

    # --- the product ---

    @rule(runs=st.lists(rounds, min_size=1, max_size=4), wait=st.sampled_from([0.0, 0.001, 1.0]))
    def pulls(self, runs: list[Doing], wait: float) -> None:
        """Pull now and then, with trouble; two pulls without any leave nothing out: one may only end another."""
        for one in runs:
            self.clock.advance(one["wait"])
            self.work(one["done"], one["late"])
            self.pull(one)
        self.pull()
        self.index_catches_up()
        self.clock.advance(wait)
        self.pull()
        self.check_mirror()

    def pull(self, one: Doing | None = None) -> None:
        """Run one pull: a clean one, or one with what happens to it."""
        one = one or {"meanwhile": [], "struck": None, "dies": None}
        if one["struck"] is not None:
            self.project.crm.faults.add(one["struck"])
        bystander = Bystander([partial(self.work, done) for done in one["meanwhile"]])
        clean = one["struck"] is one["dies"] is None
        with self.project.open(death=None if one["dies"] is None else Death(one["dies"])) as workspace, suppress(Died):
            report = cycle.pull(workspace, None, clock=self.clock, progress=bystander)
            assert report.exit == 0 or not clean, report.errors
        self.project.crm.faults.clear()

    @rule(how=edits, wait=st.sampled_from([0.001, 1.0]), many=st.booleans())
    def edits_close_together(self, how: tuple[float, float, bool], wait: float, many: bool) -> None:
        """Edit a record, pull, and edit it or another one in the same millisecond, or so that the index shows the first
        edit only after a pull has seen the second."""
        late, gap, same = how
        self.touches += 1
        if self.pick("contacts", 0) == self.pick("contacts", 1):
            self.project.contact()
        self.clock.advance(1 - self.clock().microsecond / 1e6)  # a whole second, as the Date of an answer is
        self.work([TYPING | {"which": 0, "what": ("jobtitle", f"first {self.touches}")}], late)
        self.pull()
        self.clock.advance(gap)
        self.work([TYPING | {"which": 0 if same else 1, "what": ("jobtitle", f"second {self.touches}")}])
        self.pull()
        self.index_catches_up()
        self.clock.advance(wait)
        self.work([TOUCH] if many else [])
        self.pulls([], wait)

    @rule(one=cycles)
    def troubled_cycle(self, one: Doing) -> None:
        """Run a cycle in which calls fail, or the process dies, some time after the last one; then perhaps a clean one.

        A filler is touched last, so that the cursor moves on past what the others have waited for.
        """
        if one["first"] == "load again":
            self.load_again()
        elif one["first"] == "lose the state":
            self.project.lose_state()
            with self.project.open():
                pass
            self.unsure |= set(self.places())
        self.clock.advance(one["wait"])
        self.product_is_used(one["told"])
        if one["all work"]:
            self.tell([self.project.track(user) for user in USERS])
        self.work([*one["done"], TOUCH | {"count": 1}], one["late"])
        for fault in one["trouble"]["struck"]:
            self.project.crm.faults.add(fault)
        before, foreign = self.crm(), self.foreign()
        clean = self.run(one["how"], one["trouble"]["dies"])
        self.project.crm.faults.clear()
        assert self.foreign() == foreign
        after = self.crm()
        assert one["how"] != "plan" or after == before
        if not clean:
            self.unsure |= {place for place in self.places() if self.text(after, place) != self.text(before, place)}
        if one["then"]:
            self.settle(1.0, one["then"])

    def run(self, how: str, dies: tuple[str, int] | None) -> bool:
        """Run a cycle, or a part of it, and tell whether it came to a good end."""
        bystander = Bystander()
        clean = False
        with self.project.open(death=self.death(dies, bystander)) as workspace, suppress(Died):
            if how == "plan":
                report = cycle.plan(workspace, None, self.clock(), clock=self.clock, progress=bystander)
            else:
                report = cycle.sync(
                    workspace, None, self.clock(), clock=self.clock, pulling=how == "sync", progress=bystander
                )
            clean = report.exit == 0
        return clean

    def death(self, dies: tuple[str, int] | None, bystander: Bystander) -> Death | None:
        if dies is None:
            return None
        calls = self.project.crm.calls
        writes = calls.count("write")
        armed = {
            "pull": lambda: True,
            "compute": lambda: bystander.computing,
            "write": lambda: calls.count("write") > writes,
        }
        return Death(dies[1], armed[dies[0]])

    def load_again(self) -> None:
        with self.project.remembered() as state:
            for name in MANAGED:
                state.drop_cursor("hubspot", name)
        self.ghosts.clear()

    def places(self) -> list[Place]:
        """Give all managed fields of all records, archived ones too."""
        return [
            (name, record, field)
            for name, fields in MANAGED.items()
            for archived in (False, True)
            for record in self.store.ids(name, archived=archived)
            for field in fields
        ]

    @staticmethod
    def text(crm: Mapping[str, Mapping[str, Mapping[str, str]]], place: Place) -> str:
        name, record, field = place
        return crm[name].get(record, {}).get(field, "")

    def settle(self, wait: float, then: str) -> None:
        """Run a clean cycle, and another one that has nothing to do."""
        self.index_catches_up()
        later = [row["next_at"] for row in self.failures() if row["next_at"] is not None]
        until = max(later, default=self.clock()) - self.clock()  # what the CRM refused is left alone so long
        self.clock.advance(max(wait, until.total_seconds()))
        if self.ghosts:  # a record deleted for good shows in no increment; only a load from the beginning misses it
            self.load_again()
        stored = self.stored_links()
        before, edits = self.crm(), self.last_editors()
        report = self.project.sync(after=0)
        after = self.crm()
        expected = self.expected(before, stored)
        self.check_report(report, expected, self.taken(expected, after))
        self.check_crm(expected, before, after, edits)
        self.check_mirror()
        CycleMachine.judged += 1
        for (name, record), wanted in expected.wanted.items():
            for field, text in wanted.items():
                if meaning(field, self.text(after, (name, record, field))) == meaning(field, text):
                    self.unsure.discard((name, record, field))
        if then in ("sync", "plan"):
            writes = self.project.crm.calls.count("write")
            again = self.project.plan() if then == "plan" else self.project.sync(after=0)
            assert again.writes == 0, again.changes.to_dicts()
            assert self.project.crm.calls.count("write") == writes
            assert self.crm() == after

    # --- looking ---

    def crm(self) -> dict[str, dict[str, dict[str, str]]]:
        """Give all set values of all live records but the one that changes with every touch."""
        found: dict[str, dict[str, dict[str, str]]] = {}
        for name in MANAGED:
            stamp = self.store.type(name).modified
            records = {record: self.store.values(name, record) for record in self.store.ids(name)}
            found[name] = {record: {k: v for k, v in held.items() if k != stamp} for record, held in records.items()}
        return found

    def foreign(self) -> dict[str, dict[str, dict[str, str]]]:
        """Give the values that are not ours."""
        return {
            name: {
                record: {k: v for k, v in held.items() if k not in MANAGED[name]} for record, held in records.items()
            }
            for name, records in self.crm().items()
        }

    def last_editors(self) -> dict[Place, list[tuple[str, str | None]]]:
        """Give who set each managed field of each record to what, oldest first."""
        made: dict[Place, list[tuple[str, str | None]]] = {}
        for name, fields in MANAGED.items():
            for record in self.store.ids(name):
                for edit in self.store.edits(name, record):
                    if edit.property in fields:
                        made.setdefault((name, record, edit.property), []).append((edit.source, edit.after))
        return made

    def stored_links(self) -> dict[str, list[tuple[str, str]]]:
        with self.project.remembered() as state:
            return {name: state.links("hubspot", name).select("record", "external_id").rows() for name in MANAGED}

    def expected(self, before: Mapping[str, Any], stored: Mapping[str, list[tuple[str, str]]]) -> Expected:
        moved = {name: {str(old): str(new) for old, new in self.store.shelf(name).moved.items()} for name in MANAGED}
        return expect(reading.of(*self.bodies), MODEL, self.clock(), before, stored, moved)

    # --- judging ---

    def check_mirror(self) -> None:
        """Check that the mirror holds exactly the live records, with the values that the CRM shows."""
        with self.project.remembered() as state:
            for name, fields in MIRRORED.items():
                rows = state.records("hubspot", name, fields).rows(named=True)
                # one that was deleted for good shows in no increment
                mirrored = {
                    row["record"]: {field: meaning(field, row[f"crm.{field}"] or "") for field in fields}
                    for row in rows
                    if (name, row["record"]) not in self.ghosts
                }
                held = {
                    record: {field: meaning(field, self.store.values(name, record).get(field, "")) for field in fields}
                    for record in self.store.ids(name)
                }
                wrong = {record: (mirrored.get(record), held.get(record)) for record in mirrored.keys() | held.keys()}
                wrong = {record: both for record, both in wrong.items() if both[0] != both[1]}
                assert not wrong, (name, wrong)

    def check_report(self, report: Report, expected: Expected, taken: set[Place]) -> None:
        assert report.exit == (1 if taken else 0), (report.errors, report.connectors, self.failures())
        with self.project.remembered() as state:
            for name, found in (("contacts", expected.contacts), ("companies", expected.companies)):
                buckets = report.connectors["hubspot"][name]
                live = state.records("hubspot", name, ())["record"]
                gone = state.gone("hubspot", name)
                assert set(live) == set(self.store.ids(name))
                assert sum(buckets.values()) - buckets["gone"] == live.len()
                assert buckets["gone"] <= gone.height
                assert buckets["ambiguous"] == len(found.ambiguous)
                assert buckets["unlinked"] == live.len() - len(found.links) - len(found.ambiguous)
                assert buckets["refused"] == sum(object_ == name for object_, *_ in taken)
                assert buckets["failed"] == buckets["held"] == 0
                links = state.links("hubspot", name).rows(named=True)
                assert {row["record"]: row["external_id"] for row in links if row["level"] != CONTESTED} == found.links

    def taken(self, expected: Expected, after: Mapping[str, Any]) -> set[Place]:
        """Give the places that want an id which another record holds and keeps: the CRM does not take it twice."""
        return {
            (name, record, "engage_external_id")
            for (name, record), wanted in expected.wanted.items()
            for other, held in after[name].items()
            if other != record and held.get("engage_external_id") == wanted["engage_external_id"] != ""
        }

    def failures(self) -> list[dict[str, Any]]:
        with self.project.remembered() as state:
            return state.failures().to_dicts()

    def check_crm(
        self,
        expected: Expected,
        before: Mapping[str, Mapping[str, Mapping[str, str]]],
        after: Mapping[str, Mapping[str, Mapping[str, str]]],
        edits: Mapping[Place, list[tuple[str, str | None]]],
    ) -> None:
        taken = self.taken(expected, after)
        for name, fields in MANAGED.items():
            found = expected.contacts if name == "contacts" else expected.companies
            assert after[name].keys() == before[name].keys()
            for record, held in after[name].items():
                was = before[name][record]
                assert {k: v for k, v in held.items() if k not in fields} == {
                    k: v for k, v in was.items() if k not in fields
                }
                for field in fields:
                    old, new = was.get(field, ""), held.get(field, "")
                    place = (name, record, field)
                    if record in found.ambiguous or place in taken:
                        assert new == old, place
                    elif record in found.links:
                        wanted = expected.wanted[name, record][field]
                        self.check_linked(place, wanted, old, new, edits.get(place, []))
                    else:
                        self.check_unlinked(place, old, new, edits.get(place, []))

    def check_linked(self, place: Place, want: str, old: str, new: str, edits: list[tuple[str, str | None]]) -> None:
        field = place[2]
        typed = old and all(after != old for source, after in edits if source != PERSON)
        if field == RESPECTED and typed and old not in self.agreed.get(place, ()):
            assert new == old, (place, want, old, new, edits)
        if meaning(field, new) == meaning(field, want):
            self.agreed.setdefault(place, set()).add(new)
            return
        assert field == RESPECTED, (place, want, old, new)
        assert old == new != "", (place, want, old, new)
        ours = not edits or edits[-1][0].startswith("INTEGRATION")
        assert not ours or place in self.unsure, (place, want, old, new, edits)

    def check_unlinked(self, place: Place, old: str, new: str, edits: list[tuple[str, str | None]]) -> None:
        assert new in (old, ""), (place, old, new)
        ours = {text for source, text in edits if source.startswith("INTEGRATION")}
        if old in self.carried.get(place, ()):
            return
        if old not in ours:
            assert new == old, (place, old, new, edits)
        elif edits[-1][0].startswith("INTEGRATION") and place not in self.unsure:
            assert new == "", (place, old, edits)


def test_cycles() -> None:
    CycleMachine.judged = 0
    chosen = settings(
        max_examples=SOAK or 3,
        stateful_step_count=30 if SOAK else 12,
        deadline=None,
        derandomize=not SOAK,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(CycleMachine, settings=chosen)
    assert CycleMachine.judged >= 10
