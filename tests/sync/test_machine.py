"""Whole cycles in every order: people edit their fields and ours, records merge, vanish and return, calls fail before
or after taking effect, the process dies in between. After each clean cycle the CRM holds what is wanted, the next one
writes nothing, and what is not ours is as people left it.

ENGAGE_SOAK=EXAMPLES runs longer, with fresh randomness.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from engage_sync.sandbox.faults import FAULTS, Fault
from engage_sync.sandbox.refusal import Refused
from engage_sync.sandbox.store import PERSON
from engage_sync.sync import cycle
from engage_sync.sync.compute import CONTESTED
from engage_sync.sync.cycle import Report
from tests.oracle import messages as reading
from tests.sync.expectation import ACCOUNT_FIELDS, RESPECTED, USER_FIELDS, Expected, expect, meaning
from tests.sync.mortal import Died, MortalState
from tests.sync.project import MODEL, Project, project

SOAK = int(os.environ.get("ENGAGE_SOAK", "0"))

USERS = ("u1", "u2", "u3", 'O\'Neil "q" 😀')
ACCOUNTS = ("acme", "b&b")
EMAILS = ("a@x.example", "b@x.example", "c@y.example")
DOMAINS = ("x.example", "y.example")
MANAGED = {"contacts": USER_FIELDS, "companies": ACCOUNT_FIELDS}
EVENTS = ("login", "report_run", "heartbeat")
TYPED: Mapping[str, Mapping[str, Sequence[str]]] = {
    "contacts": {
        "jobtitle": ("Head of Sales", "clerk", ""),
        "firstname": ("Ann", "Bo", ""),
        "engage_user_types": ("power", "zombie;active", "influencer;power", ""),
        "engage_user_type": ("power", "zombie", "influencer", ""),
        "engage_reports": ("0", "5.0", "77", ""),
        "engage_last_active": ("2026-05-01T00:00:00Z", ""),
        "engage_external_id": (*USERS, "nobody", ""),
        "engage_link": ("https://elsewhere.example", ""),
    },
    "companies": {
        "name": ("Acme Ltd", ""),
        "engage_active_users": ("0", "1", "9", ""),
        "engage_events": ("0", "3", ""),
        "engage_external_id": (*ACCOUNTS, "nobody", ""),
    },
}
NOT_LASTING = ("hang", "hang_after", "too_many_daily")
FAULTY = [name for name in FAULTS if name not in NOT_LASTING]
FILLERS = 230

Place = tuple[str, str, str]
"""An object, a record of it and a field."""

index = st.integers(0, 7)
object_ = st.sampled_from(["contacts", "contacts", "companies"])


def deed(name: str, **parts: Any) -> Any:
    return st.fixed_dictionaries({"do": st.just(name), **parts})


def typing(on: str, *fields: str) -> Any:
    """Give deeds that type one of some values into one of some fields."""
    pairs = [(field, text) for field in fields or TYPED[on] for text in TYPED[on][field]]
    return deed("type", on=st.just(on), which=index, what=st.sampled_from(pairs))


deeds = st.one_of(
    deed(
        "create",
        email=st.sampled_from([*EMAILS, ""]),
        title=st.sampled_from(["", "Head"]),
        id=st.sampled_from(["", *USERS]),
    ),
    deed("found", domain=st.sampled_from(DOMAINS)),
    typing("contacts"),
    typing("contacts", "jobtitle", "engage_user_type"),
    typing("contacts", "engage_user_type", "engage_reports"),
    typing("companies"),
    deed("readdress", which=index, email=st.sampled_from([*EMAILS, ""])),
    deed("swap", which=index, other=index),
    deed("share", which=index, email=st.sampled_from(EMAILS)),
    deed("archive", on=object_, which=index),
    deed("restore", on=object_, which=index),
    deed("merge", on=object_, which=index, other=index),
    deed("erase", on=object_, which=index),
    deed("touch all"),
)
people = st.sampled_from(USERS)
news = st.one_of(
    deed(
        "track",
        user=people,
        event=st.sampled_from(EVENTS),
        days=st.sampled_from([0, 3, 9, 12]),
        times=st.integers(1, 3),
    ),
    deed("identify", user=people, email=st.sampled_from([*EMAILS, None])),
    deed("deactivate", user=people, off=st.booleans()),
    deed(
        "group",
        user=people,
        account=st.sampled_from(ACCOUNTS),
        domain=st.sampled_from(DOMAINS),
        seats=st.sampled_from([None, 3]),
    ),
    deed("alias", user=people, previous=people),
)
faults = st.builds(
    Fault,
    st.sampled_from(FAULTY),
    kind=st.sampled_from(["*", "read", "search", "write", "write"]),
    times=st.sampled_from([1, 2, 9, 30]),
    skip=st.integers(0, 3),
    seconds=st.just(3.0),
)


class CycleMachine(RuleBasedStateMachine):
    """`unsure` are the fields of which nobody can know whether we wrote them last: the run that did was cut short,
    or its memory is lost. `ghosts` the records deleted for good since the last load from the beginning; `stirred` tells
    that something happened since it settled; `agreed` are values that a field held when they were wanted, which makes
    them ours.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.bodies: list[dict[str, Any]] = []
        self.unsure: set[Place] = set()
        self.ghosts: set[tuple[str, str]] = set()
        self.stirred = True
        self.agreed: dict[Place, set[str]] = {}

    @initialize(
        lag=st.sampled_from([0.0, 30.0]),
        mints=st.booleans(),
        fillers=st.sampled_from([0, 0, FILLERS]),
        begun=st.booleans(),
    )
    def begin(self, lag: float, mints: bool, fillers: int, begun: bool) -> None:
        root = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="engage-machine-")))
        options = {"lag": lag, "merge_mints_id": mints}
        self.project: Project = self.stack.enter_context(project(root, options=options))
        self.store, self.clock, self.lag = self.project.crm.store, self.project.clock, lag
        self.store.create_many("contacts", [{"firstname": f"Filler {number}"} for number in range(fillers)])
        self.fillers = set(self.store.ids("contacts"))
        self.tell([*self.project.person("u1", EMAILS[0]), *self.project.person("u2", EMAILS[1], events=2, days=9)])
        self.tell([self.project.identify("u3", email=EMAILS[2]), self.project.group("u1", "acme", domain=DOMAINS[0])])
        for email in EMAILS:
            self.project.contact(email)
        self.project.company(DOMAINS[0])
        if begun:
            self.settle()

    def teardown(self) -> None:
        self.stack.close()

    # --- the world ---

    @rule(done=st.lists(deeds, min_size=4, max_size=10))
    def people_work(self, done: list[dict[str, Any]]) -> None:
        self.stirred = True
        for one in done:
            with suppress(Refused):  # what the CRM does not allow, nobody does
                self.do(one)

    def do(self, one: dict[str, Any]) -> None:
        store = self.store
        match one["do"]:
            case "create":
                typed = {"email": one["email"], "jobtitle": one["title"], "engage_external_id": one["id"]}
                store.create("contacts", {name: text for name, text in typed.items() if text})
            case "found":
                store.create("companies", {"domain": one["domain"]})
            case "touch all":
                for record in sorted(self.fillers & set(store.ids("contacts"))):
                    store.update("contacts", record, {"city": self.clock().isoformat()})
            case "restore":
                if bin_ := store.ids(one["on"], archived=True):
                    record = bin_[one["which"] % len(bin_)]
                    store.restore(one["on"], record)
                    self.unsure |= {(one["on"], record, field) for field in MANAGED[one["on"]]}
            case _:
                self.do_to_record(one)

    def do_to_record(self, one: dict[str, Any]) -> None:
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
                self.do_to_two(one["do"], name, record, self.pick(name, one["other"]))
            case "share":
                store.update(name, record, {"email": ""})
                with store.lock:  # a CRM less strict than HubSpot
                    store.need(name, record).values["email"] = one["email"]
            case "archive":
                store.archive(name, record)
            case "erase":
                store.erase(name, record)
                self.ghosts.add((name, record))

    def do_to_two(self, do: str, name: str, one: str, other: str | None) -> None:
        if other is None or other == one:
            return
        if do == "merge":
            survivor = self.store.merge(name, one, other)
            doubted = {field for object_, record, field in self.unsure if object_ == name and record in (one, other)}
            self.unsure |= {(name, survivor, field) for field in doubted}
            return
        first, second = (self.store.values(name, record).get("email", "") for record in (one, other))
        for record, email in ((one, ""), (other, first), (one, second)):
            self.store.update(name, record, {"email": email})

    def pick(self, name: str, which: int) -> str | None:
        records = [record for record in self.store.ids(name) if record not in self.fillers or name != "contacts"]
        return records[which % len(records)] if records else None

    @rule(told=st.lists(news, min_size=2, max_size=6))
    def product_is_used(self, told: list[dict[str, Any]]) -> None:
        self.stirred = True
        self.tell([body for one in told for body in self.messages(one)])

    def messages(self, one: dict[str, Any]) -> list[dict[str, Any]]:
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

    def tell(self, bodies: list[dict[str, Any]]) -> None:
        self.project.tell(*bodies)
        self.bodies += bodies

    @precondition(lambda self: self.stirred)
    @rule(seconds=st.sampled_from([0.0, 0.001, 1.0, 60.0, 601.0, 3_600.0, 86_400.0, 6 * 86_400.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # --- the product ---

    @rule(
        waited=st.sampled_from([0.0, 1.0, 700.0]),
        told=st.lists(news, max_size=3),
        struck=st.lists(faults, max_size=2),
        dies=st.none() | st.integers(0, 60),
        how=st.sampled_from(["sync", "sync", "push"]),
        then=st.sampled_from(["settle", "settle", ""]),
    )
    def troubled_sync(
        self, waited: float, told: list[dict[str, Any]], struck: list[Fault], dies: int | None, how: str, then: str
    ) -> None:
        """Run a cycle in which calls fail, or the process dies, some time after the last one."""
        self.clock.advance(waited)
        if told:
            self.tell([body for one in told for body in self.messages(one)])
        for fault in struck:
            self.project.crm.faults.add(fault)
        before, foreign = self.crm(), self.foreign()
        with self.project.open() as opened, suppress(Died):
            state: Any = opened.state if dies is None else MortalState(opened.state, dies)
            workspace = replace(opened, state=state)
            cycle.sync(workspace, None, self.clock(), clock=self.clock, pulling=how == "sync")
        self.project.crm.faults.clear()
        assert self.foreign() == foreign
        after = self.crm()
        self.unsure |= {place for place in self.places() if self.text(after, place) != self.text(before, place)}
        self.stirred = True
        if then:
            self.settle()

    @rule(what=st.sampled_from(["plan", "plan", "load again", "lose the state"]))
    def operator_works(self, what: str) -> None:
        if what == "plan":
            self.plan()
        elif what == "load again":
            self.load_again()
        else:
            self.project.lose_state()
            self.unsure |= set(self.places())
            self.stirred = True

    def plan(self) -> None:
        seen = self.crm()
        writes = self.project.crm.calls.count("write")
        self.project.plan()
        assert self.project.crm.calls.count("write") == writes
        assert self.crm() == seen

    def load_again(self) -> None:
        with self.project.open() as workspace:
            for name in MANAGED:
                workspace.state.drop_cursor("hubspot", name)
        self.ghosts.clear()
        self.stirred = True

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

    @precondition(lambda self: self.stirred)
    @rule()
    def settle(self) -> None:
        """Run a clean cycle, and another one that has nothing to do."""
        self.clock.advance(self.lag + 1)
        if self.ghosts:  # a record deleted for good shows in no increment; only a load from the beginning misses it
            self.load_again()
        stored = self.stored_links()
        before, edits = self.crm(), self.last_editors()
        report = self.project.sync(after=0)
        after = self.crm()
        expected = self.expected(before, stored)
        self.check_report(report, expected, self.taken(expected, after))
        self.check_crm(expected, before, after, edits)
        for (name, record), wanted in expected.wanted.items():
            for field, text in wanted.items():
                if meaning(field, self.text(after, (name, record, field))) == meaning(field, text):
                    self.unsure.discard((name, record, field))
        again = self.project.sync(after=0)
        assert again.writes == 0, again.changes.to_dicts()
        assert self.crm() == after
        self.stirred = False

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
        with self.project.open() as workspace:
            return {
                name: workspace.state.links("hubspot", name).select("record", "external_id").rows() for name in MANAGED
            }

    def expected(self, before: Mapping[str, Any], stored: Mapping[str, list[tuple[str, str]]]) -> Expected:
        moved = {name: {str(old): str(new) for old, new in self.store.shelf(name).moved.items()} for name in MANAGED}
        return expect(reading.of(*self.bodies), MODEL, self.clock(), before, stored, moved)

    # --- judging ---

    def check_report(self, report: Report, expected: Expected, taken: set[Place]) -> None:
        assert report.exit == (1 if taken else 0), (report.errors, report.connectors, self.failures())
        with self.project.open() as workspace:
            for name, found in (("contacts", expected.contacts), ("companies", expected.companies)):
                buckets = report.connectors["hubspot"][name]
                live = workspace.state.records("hubspot", name, ())["record"]
                gone = workspace.state.gone("hubspot", name)
                assert set(live) == set(self.store.ids(name))
                assert sum(buckets.values()) - buckets["gone"] == live.len()
                assert buckets["gone"] <= gone.height
                assert buckets["ambiguous"] == len(found.ambiguous)
                assert buckets["unlinked"] == live.len() - len(found.links) - len(found.ambiguous)
                assert buckets["refused"] == sum(object_ == name for object_, *_ in taken)
                assert buckets["failed"] == buckets["held"] == 0
                links = workspace.state.links("hubspot", name).rows(named=True)
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
        with self.project.open() as workspace:
            return workspace.state.failures().to_dicts()

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
        if old not in ours:
            assert new == old, (place, old, new, edits)
        elif edits[-1][0].startswith("INTEGRATION") and place not in self.unsure:
            assert new == "", (place, old, edits)


def test_cycles() -> None:
    chosen = settings(
        max_examples=SOAK or 10,
        stateful_step_count=30 if SOAK else 12,
        deadline=None,
        derandomize=not SOAK,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(CycleMachine, settings=chosen)
