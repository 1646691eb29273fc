"""The day's quota: what a plan costs, who goes first when it is short, and a CRM that answers nothing more today."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engage_sync.connectors.base import Limits, Rate
from engage_sync.sandbox.access import OAuthApp
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.limits import Rates
from engage_sync.sync.quota import Calls, Price, costs, seconds
from engage_sync.sync.status import status_json
from engage_sync.sync.suspension import reset
from tests.sync.project import Project, project
from tests.sync.two_crms import Both, both

DAILY = 1_000
MODEL_WITH_WORTH = """\
activity: {window: 30d}
properties: {account: {mrr: {from: traits.mrr, type: number}}}
metrics: {user: {logins: {count: login, window: 1d}, alarms: {count: alarm, window: 1d}}}
health: {user: {default: {good: ["logins >= 9"], bad: ["logins = 0"]}}}
signals: {alarmed: {entity: user, when: "alarms > 0", actions: []}}
"""
CONTACTS = """\
connector: hubspot
auth: {access_token: "${ENGAGE_TEST_TOKEN}"}
base_url: BASE_URL
limits: {daily_share: SHARE, verify: none}
objects:
  contacts:
    entity: user
    match: {external_id: engage_external_id, email: email}
    write: {engage_logins: logins, engage_mrr: {from: mrr, type: number}, engage_external_id: external_id}
"""


@contextmanager
def limited(
    root: Path, *, share: str = "1.0", daily: int | None = DAILY, model: str = MODEL_WITH_WORTH, **options: Any
) -> Iterator[Project]:
    """A project whose contacts show logins and MRR, in an account with so many calls a day."""
    rates = Rates(burst=None, daily=daily, search=None)
    given = {"rates": rates, **options}
    connector = CONTACTS.replace("SHARE", share)
    with project(root, options=given, model=model, connector=connector) as made:
        yield made


def people(made: Project, names: list[str], *, logins: int = 0) -> dict[str, str]:
    """Create contacts and their users, with so many logins each."""
    made.tell(*(body for name in names for body in made.person(name, f"{name}@p.example", events=logins, days=0.01)))
    return {name: made.contact(f"{name}@p.example") for name in names}


def leave(made: Project, calls: int, *, limit: int = DAILY) -> None:
    """Let the account have used so much of the day, others' calls counted, that so many are left."""
    made.crm.meter.spend(limit - calls - made.crm.meter.used_today)


def status(made: Project) -> dict[str, Any]:
    with made.open() as workspace:
        found: dict[str, Any] = json.loads(json.dumps(status_json(workspace, made.clock())))
    return found["connectors"]["hubspot"]


def before_push(made: Project) -> int:
    """Count the calls of a run in which there is nothing to write: those before the push."""
    used = made.crm.meter.used_today
    report = made.sync()
    assert (report.exit, report.writes) == (0, 0), report.errors
    return made.crm.meter.used_today - used


@pytest.mark.lesson(3)
def test_those_that_matter_most_go_first_and_the_rest_the_next_day(tmp_path: Path) -> None:
    """There is one call for 105 records: 100 go. Fallen health is first, then signals, then MRR, then ids."""
    with limited(tmp_path) as made:
        names = [f"p{number:03}" for number in range(105)]
        records = people(made, names, logins=2)
        assert made.sync().exit == 0
        calls = before_push(made)
        made.clock.advance(3 * 86_400)  # all log in once again, but for p104, whose health falls
        made.tell(
            *(made.track(name, days=0.001) for name in names[:-1]),
            made.track("p102", "alarm"),
            made.group("p103", "rich", mrr=9_000),
            made.group("p101", "poor", mrr=10),
        )
        leave(made, calls + 1)
        report = made.sync()
        assert (report.exit, report.status, report.writes) == (5, "partial", 1)
        assert made.buckets(report) == {"written": 100, "held": 5}
        assert "100 of 105 records were sent" in report.errors["hubspot"]
        assert "until the quota resets at 00:00 (UTC)" in report.errors["hubspot"]
        waiting = {name for name, record in records.items() if made.values(record)["engage_logins"] == "2"}
        assert waiting == {"p096", "p097", "p098", "p099", "p100"}
        with made.open() as workspace:
            assert workspace.state.failures().is_empty()
        made.clock.advance(86_400)
        report = made.sync()
        assert (report.exit, report.errors, status(made)["suspended"]) == (0, {}, None)
        assert made.sync(pulling=False).writes == 0


def since(made: Project) -> dict[str, int]:
    """Give since which run each record waits for quota."""
    with made.open() as workspace:
        return dict(workspace.state.deferred("hubspot", "contacts").rows())


@pytest.mark.lesson(3)
def test_no_record_waits_for_ever_where_every_day_is_short(tmp_path: Path) -> None:
    """Each of two days all 103 change, and one call is left for 100: who waited goes first, others wait in turn."""
    with limited(tmp_path) as made:
        names = [f"p{number:03}" for number in range(103)]
        records = people(made, names, logins=2)
        assert made.sync().exit == 0
        calls = before_push(made)
        waited = []
        for logins in (1, 3):
            made.clock.advance(86_400)
            made.tell(*(made.track(name, days=0.001 * n + 0.0001) for name in names for n in range(logins)))
            leave(made, calls + 1)
            report = made.sync()
            assert made.buckets(report) == {"written": 100, "held": 3}
            left = {name for name, record in records.items() if made.values(record)["engage_logins"] != str(logins)}
            assert since(made) == {records[name]: report.run for name in left}
            waited.append(left)
        assert waited[0] == {"p100", "p101", "p102"}
        assert waited[1] == {"p097", "p098", "p099"}
        made.clock.advance(86_400)
        assert (made.sync().exit, since(made)) == (0, {})


def test_others_use_counts_and_our_share_suspends(tmp_path: Path) -> None:
    """Half of 1,000 calls is ours; others have used 499: one call sees that, and nothing else is sent that day."""
    with limited(tmp_path, share="0.5", timezone="Europe/Berlin") as made:
        people(made, ["ann"])
        assert made.sync().exit == 0
        made.tell(made.track("ann"))
        leave(made, 501)
        for _ in range(3):
            made.crm.calls.clear()
            report = made.sync()
            assert (report.exit, report.writes) == (5, 0)
            assert "00:00 (Europe/Berlin)" in report.errors["hubspot"]
            assert made.crm.calls.count() <= 2
        assert made.crm.calls.count() == 1
        found = status(made)
        assert found["suspended"]["until"] == "2026-06-01T22:00:00Z"
        assert found["suspended"]["told"].startswith("suspended until 00:00 (Europe/Berlin): our share")
        assert (found["quota"]["limit"], found["quota"]["left"]) == (1_000, 0)
        made.clock.now = datetime(2026, 6, 1, 22, 0, 1, tzinfo=UTC)
        assert status(made)["suspended"] is None
        assert made.sync().exit == 0
        assert status(made)["quota"]["left"] > 400


def test_daily_limit_is_asked_once_a_run_and_may_relent(tmp_path: Path) -> None:
    with limited(tmp_path) as made:
        record = people(made, ["ann"])["ann"]
        assert made.sync().exit == 0
        made.tell(made.track("ann"))
        made.crm.faults.add(Fault("too_many_daily", times=None))
        for pulling in (True, True, False):
            made.crm.calls.clear()
            report = made.sync(pulling=pulling)
            assert (report.exit, made.crm.calls.count()) == (5, 1)
            assert "until 00:00 (UTC)" in report.errors["hubspot"]
        assert report.status == "failed"  # nothing was planned
        assert status(made)["suspended"]["why"] == "daily limit"
        made.crm.faults.clear()
        assert made.sync().exit == 0
        assert made.values(record)["engage_logins"] == "1"
        assert status(made)["suspended"] is None


def test_a_suspended_crm_that_does_not_answer_is_not_asked_again(tmp_path: Path) -> None:
    with limited(tmp_path) as made:
        people(made, ["ann"])
        made.crm.faults.add(Fault("too_many_daily", times=None))
        assert made.sync().exit == 5
        made.crm.faults.clear()
        made.crm.faults.add(Fault("unavailable", times=None))
        made.crm.calls.clear()
        report = made.sync()
        assert (report.exit, made.crm.calls.count()) == (5, 1)
        assert status(made)["suspended"]["why"] == "daily limit"


def test_migration_suspends_for_the_told_time(tmp_path: Path) -> None:
    with limited(tmp_path) as made:
        people(made, ["ann"])
        made.sync()
        made.crm.faults.add(Fault("migration", seconds=7_200))
        report = made.sync()
        assert report.exit == 5
        found = status(made)["suspended"]
        assert found["why"] == "HubSpot is moving the account"
        assert datetime.fromisoformat(found["until"]) > made.clock()
        assert made.sync().exit == 0  # it has relented
        assert status(made)["suspended"] is None


@pytest.mark.lesson(3)
def test_limit_found_in_the_middle_holds_what_was_not_sent(tmp_path: Path) -> None:
    """Another integration takes the rest of the day after the first of three write calls, whichever that is."""
    with limited(tmp_path) as made:
        records = people(made, [f"p{number:03}" for number in range(300)])
        made.crm.faults.add(Fault("too_many_daily", kind="write", skip=1, times=None))
        report = made.sync()
        assert (report.exit, report.status) == (5, "partial")
        assert made.buckets(report) == {"written": 100, "held": 200}
        with made.open() as workspace:
            assert workspace.state.failures().is_empty()
            assert set(workspace.state.journal()["status"]) == {"written"}
        written = [name for name, record in records.items() if made.values(record).get("engage_logins") == "0"]
        assert len(written) == 100
        made.crm.faults.clear()
        report = made.sync()
        assert (report.exit, made.buckets(report)) == (0, {"written": 200, "unchanged": 100})


def test_what_comes_after_the_limit_waits_since_then_too(tmp_path: Path) -> None:
    """The day ends with the contacts: the company, which was not reached, waits since the same run."""
    with project(tmp_path) as made:
        made.contact("ann@p.example")
        company = made.company("acme.example", engage_active_users="7")
        made.tell(*made.person("ann", "ann@p.example"), made.group("ann", "acme", domain="acme.example"))
        made.crm.faults.add(Fault("too_many_daily", kind="write", times=None))
        report = made.sync()
        assert (report.exit, made.buckets(report, "companies")) == (5, {"held": 1})
        outcomes = report.drift.filter(object="companies").select("field", "outcome").rows()
        assert outcomes == [("engage_active_users", "held")]
        with made.open() as workspace:
            assert workspace.state.deferred("hubspot", "companies").rows() == [(company, report.run)]
        made.crm.faults.clear()
        assert made.sync().exit == 0
        with made.open() as workspace:
            assert workspace.state.deferred("hubspot", "companies").is_empty()


def test_plan_prices_itself(tmp_path: Path) -> None:
    with limited(tmp_path, share="0.5") as made:
        people(made, [f"p{number:03}" for number in range(150)])
        made.crm.meter.spend(300)
        report = made.plan()
        found = report.price["hubspot"]
        used = made.crm.meter.used_today
        expected = {"write_calls": 2, "verify_calls": 0, "daily_limit": DAILY, "used": used, "share": 0.5}
        assert expected.items() <= found.json().items()
        assert (found.left, found.fits) == (500 - used, True)
        assert report.writes == 2
        before = made.crm.meter.used_today
        made.plan()
        leave(made, 500 + made.crm.meter.used_today - before + 1)
        report = made.plan()
        assert (report.price["hubspot"].left, report.price["hubspot"].fits) == (1, False)
        assert "too few for all" in (report.price["hubspot"].sentence("hubspot") or "")


def test_sentence_for_people() -> None:
    found = Price(0.5, 500, 2, 0.53, 650_000, 12_400, 312_600, fits=True)
    assert found.sentence("hubspot") == (
        "hubspot: 500 write calls, about 1 minute; 12,400 of today's 650,000 calls are used by all integrations, our"
        " share is 50 %, so 312,600 are left"
    )


def test_oauth_has_no_day(tmp_path: Path) -> None:
    auth = "auth: {client_id: CLIENT, client_secret: SECRET, refresh_token: REFRESH}"
    app = OAuthApp()
    connector = CONTACTS.replace("SHARE", "0.01").replace('auth: {access_token: "${ENGAGE_TEST_TOKEN}"}', auth)
    for word, value in (("CLIENT", app.client_id), ("SECRET", app.client_secret), ("REFRESH", app.refresh_token)):
        connector = connector.replace(word, value)
    options = {"rates": Rates(burst=None, daily=1, search=None), "oauth": app}
    with project(tmp_path, options=options, model=MODEL_WITH_WORTH, connector=connector) as made:
        people(made, ["ann"])
        price = made.plan().price["hubspot"]
        assert (price.write_calls, price.daily_limit, price.used, price.left, price.fits) == (1, None, None, None, None)
        assert made.sync().exit == 0
        assert (status(made)["quota"], status(made)["suspended"]) == (None, None)


def test_swapped_ids_go_or_wait_together(tmp_path: Path) -> None:
    """Two records whose ids change places are emptied first, in a call of its own: with one call none of them goes."""
    with limited(tmp_path) as made:
        one, other = people(made, ["ann", "bob"]).values()
        made.sync()
        calls = before_push(made)
        made.crm.store.update("contacts", one, {"engage_external_id": ""})
        made.crm.store.update("contacts", other, {"engage_external_id": "ann"})
        made.crm.store.update("contacts", one, {"engage_external_id": "bob"})
        leave(made, calls + 1)
        price = made.plan().price["hubspot"]
        assert (price.write_calls, price.fits) == (2, False)
        leave(made, calls + 1)
        report = made.sync()
        held = {made.values(record)["engage_external_id"] for record in (one, other)}
        assert (report.exit, report.writes, held) == (5, 0, {"ann", "bob"})
        made.clock.advance(86_400)
        assert made.sync().exit == 0
        assert (made.values(one)["engage_external_id"], made.values(other)["engage_external_id"]) == ("ann", "bob")


def test_records_that_take_more_calls_than_a_day_has_stop_no_others(tmp_path: Path) -> None:
    """There is one call a day. Two records whose ids change places take two, so they wait; the third does not."""
    with limited(tmp_path) as made:
        one, other, third = people(made, ["ann", "bob", "cem"]).values()
        made.sync()
        calls = before_push(made)
        for record, name in ((one, ""), (other, "ann"), (one, "bob")):
            made.crm.store.update("contacts", record, {"engage_external_id": name})
        for logins in (0, 1):
            made.clock.advance(86_400)
            made.tell(*(made.track("cem", days=0.0001) for _ in range(logins)))
            leave(made, calls + 1)
            report = made.sync()
            held = {made.values(record)["engage_external_id"] for record in (one, other)}
            assert (report.exit, report.writes, held) == (5, logins, {"ann", "bob"})
        assert (made.values(third)["engage_logins"], set(since(made))) == ("1", {one, other})


def test_plan_counts_what_waiting_actions_take_as_the_push_does(tmp_path: Path) -> None:
    """Two calls are left, which all records take; one of them is for a task that waits, so that 100 of 150 go."""
    model = MODEL_WITH_WORTH.replace("actions: []", 'actions: [{crm_task: "Call them"}]')
    with limited(tmp_path, model=model) as made:
        names = [f"p{number:03}" for number in range(150)]
        people(made, names)
        assert made.sync().exit == 0
        calls = before_push(made)
        made.tell(made.track(names[0], "alarm"))
        made.crm.faults.add(Fault("drop_before", path="*tasks*", times=None))
        assert made.sync().exit != 0
        made.crm.faults.clear()
        made.tell(*(made.track(name) for name in names))
        leave(made, calls + 2)
        price = made.plan().price["hubspot"]
        assert (price.write_calls, price.left, price.for_actions, price.fits) == (2, 2, 1, False)
        assert "so 2 are left, 1 of them for the actions of signals: too few" in (price.sentence("hubspot") or "")
        leave(made, calls + 2)
        report = made.sync()
        assert (report.exit, made.buckets(report)) == (5, {"written": 100, "held": 50})


def asked(made: Both) -> int:
    """Count the calls to Salesforce that cost quota."""
    return len([call for call in made.org.calls.all() if call.kind != "login"])


def test_salesforce_share_and_limit(tmp_path: Path) -> None:
    """Half of 10,000 calls is ours. 230 contacts are two calls and one to read back; with two, 200 are written. When
    nothing is left the org is asked once a run, for an hour."""
    with both(tmp_path, daily_limit=10_000) as made:
        emails = [f"p{number:03}@p.example" for number in range(230)]
        records = [made.sales(email) for email in emails]
        made.sync()
        used = made.org.usage.used
        made.sync()
        calls = made.org.usage.used - used
        made.tell(*(body for email in emails for body in made.person(email.split("@")[0], email, events=0)))
        made.org.usage.spend(5_000 - made.org.usage.used - calls - 2)
        report = made.sync()
        assert (report.exit, made.counts(report, "salesforce", "Contact")) == (5, {"written": 200, "held": 30})
        written = [made.held(record)["Engage_External_Id__c"] for record in records]
        assert written == [email.split("@")[0] for email in emails[:200]] + [None] * 30
        for _ in range(2):
            made.org.calls.clear()
            report = made.sync()
            assert (report.exit, asked(made)) == (5, 1)
            assert "salesforce" in report.errors
        with made.open() as workspace:
            found = status_json(workspace, made.clock())["connectors"]
        assert found["hubspot"]["suspended"] is None
        assert found["salesforce"]["suspended"] is not None
        until = datetime.fromisoformat(found["salesforce"]["suspended"]["until"])
        assert timedelta(minutes=58) < until - made.clock() <= timedelta(hours=1)
        made.org.usage.spend(5_000)
        made.org.calls.clear()
        assert (made.sync().exit, asked(made)) == (5, 1)
        made.clock.advance(25 * 3600)
        assert made.sync().exit == 0
        assert [made.held(record)["Engage_External_Id__c"] for record in records[200:]] != [None] * 30


@pytest.mark.parametrize(
    ("calls", "expected"),
    [(500, 31.25), (2, 0.125), (0, 0.0), (191, 11.9375)],
)
def test_seconds_by_latency(calls: int, expected: float) -> None:
    """500 calls of half a second over 8 at once take 31.25 s; 190 in 10 s would allow them in 20 s."""
    limits = Limits(push_batch=100, in_flight=8, objects={})
    assert seconds(limits, Rate("calls", 190, 10.0), Calls(single=calls)) == pytest.approx(expected)


def test_seconds_by_rate_and_whole() -> None:
    """500 calls at 100 in 10 s: the fifth hundred goes after 40 s. 100,000 records by jobs at 500 a second: 200 s."""
    limits = Limits(push_batch=100, in_flight=8, objects={})
    assert seconds(limits, Rate("calls", 100, 10.0), Calls(single=500)) == 40.0
    whole = Limits(push_batch=200, in_flight=1, objects={}, whole_above=2_000)
    assert seconds(whole, None, Calls(single=1, whole=2, rows=100_000)) == pytest.approx(200.5)


@pytest.mark.parametrize(
    ("records", "freed", "setting", "expected"),
    [
        (0, 0, "all", Calls()),
        (7, 0, "none", Calls(single=1)),
        (7, 1, "sample", Calls(single=1 + 1, verify=1)),
        (201, 0, "all", Calls(single=2, verify=3)),
        (2_000, 0, "sample", Calls(single=10, verify=1)),
        (2_001, 0, "sample", Calls(whole=4, rows=2_001, looks=6, verify=1)),
        (100_001, 201, "none", Calls(single=2, whole=8, rows=100_001, looks=12)),
    ],
)
def test_what_records_cost(records: int, freed: int, setting: str, expected: Calls) -> None:
    """200 records a call, or more than 2,000 by jobs of 100,000, each of four calls and six looks; 100 read at once."""
    limits = Limits(push_batch=200, in_flight=1, objects={}, whole_above=2_000, whole_calls=4, whole_looks=6)
    row = pl.select(**costs(limits, setting, pl.lit(records), pl.lit(freed))).row(0)
    assert (Calls(*row), expected.need) == (expected, sum(row) - expected.rows)


@pytest.mark.parametrize(
    ("zone", "now", "expected"),
    [
        ("Europe/Berlin", datetime(2026, 6, 1, 21, 59, tzinfo=UTC), datetime(2026, 6, 1, 22, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 6, 1, 22, tzinfo=UTC), datetime(2026, 6, 2, 22, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 24, 22, 30, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)),
        ("US/Pacific", datetime(2026, 6, 1, 12, tzinfo=UTC), datetime(2026, 6, 2, 7, tzinfo=UTC)),
        ("no/where", datetime(2026, 6, 1, 12, tzinfo=UTC), datetime(2026, 6, 2, tzinfo=UTC)),
        ("../etc/passwd", datetime(2026, 6, 1, 12, tzinfo=UTC), datetime(2026, 6, 2, tzinfo=UTC)),
    ],
)
def test_day_ends_at_midnight_in_the_accounts_zone(zone: str, now: datetime, expected: datetime) -> None:
    assert reset(Limits(push_batch=1, in_flight=1, objects={}), zone, now) == expected
    assert reset(Limits(push_batch=1, in_flight=1, objects={}, day_rolls=True), zone, now) == now + timedelta(hours=1)
