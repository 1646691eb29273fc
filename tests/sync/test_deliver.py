"""The outbox is delivered at least once, in order, and nothing that fails keeps the rest from going."""

from __future__ import annotations

import hashlib
import hmac
import signal as signals_of_processes
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from engage_sync.connectors.base import Connector, Status
from engage_sync.core.definitions import Entity
from engage_sync.core.groups import MARKS
from engage_sync.core.verdict_rules import FieldAction, Signal, TaskAction, WebhookAction
from engage_sync.errors import LoginFailed, Unreachable
from engage_sync.sandbox.faults import Fault
from engage_sync.sync.wiring import open_connector
from tests.forks import fork
from tests.sync.firing import HOUR, Desk, Firing, body, firing, reopened, signal, variable
from tests.sync.mortal import Died
from tests.sync.receiver import PATIENCE, Inbox, receiver
from tests.sync.two_crms import Both, both

SECRET = "DELIVERY_TEST_SECRET"
PLACE = "DELIVERY_TEST_PLACE"
TASK = TaskAction("Usage halved")
NONE = {"delivered": 0, "failed": 0, "pending": 0, "skipped": 0, "expired": 0}


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with receiver() as made:
        yield made


def hook(inbox: Inbox, path: str = "") -> WebhookAction:
    return WebhookAction(inbox.url + path)


@pytest.fixture
def tasked(tmp_path: Path) -> Iterator[Firing]:
    """Accounts of which three have a company in HubSpot, and a signal that makes tasks."""
    with firing(tmp_path, signal("usage_drop", TASK, clear=[TaskAction("Back again")])) as made:
        made.link("hubspot", "companies", *((name, f"r-{name}") for name in "abc"))
        yield made


def test_nothing_to_deliver(tasked: Firing) -> None:
    assert tasked.deliver({"hubspot": Desk()}).json() == {**NONE, "signals": {}, "problems": []}


def test_tasks(tasked: Firing) -> None:
    desk = Desk()
    tasked.switch("usage_drop", "on", *"abc")
    done = tasked.deliver({"hubspot": desk})
    assert done.json() == {
        **NONE, "delivered": 3, "signals": {"usage_drop": {**NONE, "delivered": 3}}, "problems": []
    }  # fmt: skip
    (kind, changes), *_ = desk.pushes
    assert kind.object == "tasks"
    assert [change.values for change in changes] == [
        {
            "subject": "Usage halved",
            "body": "Usage halved within a week\n12 events in 7 days (200 before)",
            "due": "2026-06-01T12:00:00Z",
            "object": "companies",
            "about": f"r-{name}",
            "tried": "false",
        }
        for name in "abc"
    ]
    rows = tasked.workspace.state.deliveries()
    assert set(rows["key"]) == set(desk.tasks)
    assert sorted(rows["result"]) == ["T1", "T2", "T3"]
    assert tasked.deliver({"hubspot": desk}).counts == NONE
    assert len(desk.pushes) == 1


def test_a_task_goes_to_the_record_that_is_linked_now(tasked: Firing) -> None:
    desk = Desk()
    tasked.switch("usage_drop", "on", *"abc")
    tasked.link("hubspot", "companies", ("a", "r-new"))
    done = tasked.deliver({"hubspot": desk})
    assert [change["about"] for change in desk.tasks.values()] == ["r-new"]
    assert (done.counts, done.incomplete, done.told) == ({**NONE, "delivered": 1, "pending": 2}, False, ())


@pytest.mark.parametrize("level", [None, "contested"])
def test_who_has_no_record_of_its_own_waits_for_one(tasked: Firing, inbox: Inbox, level: str | None) -> None:
    """Without being a problem, and without an attempt. The webhook does not wait."""
    with reopened(tasked.workspace.project.root, signal("usage_drop", TASK, hook(inbox), clear=[TASK])) as made:
        desk = Desk()
        made.now = tasked.now
        made.link("hubspot", "companies", *([("new", "r-new")] if level else []), level=level or "email")
        begun = made.switch("usage_drop", "on", "new", "never")
        for count in (2, 0):
            done = made.deliver({"hubspot": desk})
            assert done.counts == {**NONE, "delivered": count, "pending": 2}
            assert (done.incomplete, done.told, desk.pushes) == (False, (), [])
        waiting = made.workspace.state.pending_deliveries()
        assert waiting.select("attempts", "message").unique().rows() == [(0, "it waits for a record in hubspot")]
        made.link("hubspot", "companies", ("new", "r-new"))
        assert made.deliver({"hubspot": desk}).counts == {**NONE, "delivered": 1, "pending": 1}
        assert [change["about"] for change in desk.tasks.values()] == ["r-new"]
        made.switch("usage_drop", "off", "new", "never", episode=begun)
        done = made.deliver({"hubspot": desk})
        assert (done.counts, done.incomplete) == ({**NONE, "delivered": 1, "skipped": 2}, False)
        assert done.told == (
            "signal usage_drop (account never and 1 more): it has no record in hubspot, and the signal is off",
        )
        assert made.deliver({"hubspot": desk}).counts == NONE


def test_a_link_that_is_only_contested_lets_the_end_wait(tmp_path: Path) -> None:
    with firing(tmp_path, signal("usage_drop", ALERT, clear=[CLEAR, TASK])) as made:
        desk = Desk()
        made.link("hubspot", "companies", ("a", "11"))
        begun = made.switch("usage_drop", "on", "a")
        made.deliver({"hubspot": desk})
        made.switch("usage_drop", "off", "a", episode=begun)
        made.link("hubspot", "companies", ("a", "11"), level="contested")
        done = made.deliver({"hubspot": desk})
        assert (done.counts, done.incomplete) == ({**NONE, "pending": 2}, False)
        made.link("hubspot", "companies", ("a", "11"))
        assert made.deliver({"hubspot": desk}).counts == {**NONE, "delivered": 2}
        assert desk.fields == {("companies", "11", "engage_alert"): None}


def mirrored(made: Firing, *records: str) -> None:
    """Let these be all companies in the mirror of HubSpot."""
    state = made.workspace.state
    rows = [(record, "{}", "2026-06-01T00:00:00Z") for record in records]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(("record", "values", "updated_at"), pl.String), orient="row")
    state.drop_cursor("hubspot", "companies")
    run = state.start_run("sync", made.now, made.now)
    state.save_page("hubspot", "companies", records=frame, vanished=[], merged={}, cursor="c", run=run, done=True)


def test_a_field_is_cleared_where_it_was_set(tmp_path: Path) -> None:
    """Also when nobody stands there any more, but neither on a record that is gone nor on one that is another's."""
    with firing(tmp_path, signal("usage_drop", ALERT, clear=[CLEAR])) as made:
        desk = Desk()
        made.link("hubspot", "companies", *((name, f"r-{name}") for name in "abcd"))
        begun = made.switch("usage_drop", "on", *"abcd")
        made.deliver({"hubspot": desk})
        made.link("hubspot", "companies", ("other", "r-c"), ("d", "r-new"))
        mirrored(made, "r-a", "r-c", "r-d", "r-new")
        made.switch("usage_drop", "off", *"abcd", episode=begun)
        done = made.deliver({"hubspot": desk})
        assert (done.counts, done.incomplete) == ({**NONE, "delivered": 2, "skipped": 2}, False)
        assert done.told == ("signal usage_drop (account b and 1 more): it has no record in hubspot any more",)
        assert {record: value for (_, record, _), value in desk.fields.items()} == {
            "r-a": None, "r-b": "usage drop", "r-c": "usage drop", "r-d": None, "r-new": None
        }  # fmt: skip


def test_a_signal_that_is_off_without_a_word_waits_no_more(tmp_path: Path) -> None:
    """Nothing is to be cleared, so only the verdicts tell that the signal is off, or on anew."""
    with firing(tmp_path, signal("usage_drop", TASK)) as made:
        begun = made.switch("usage_drop", "on", *"abc")
        marks = {"a": (True, begun), "b": (False, begun), "c": (True, begun + HOUR)}
        documents = [
            (who, marking(on=on, fired=fired)) for who, (on, fired) in marks.items()
        ]  # fmt: skip
        frame = pl.DataFrame(documents, schema=dict.fromkeys(("external_id", "document"), pl.String), orient="row")
        state = made.workspace.state
        run = state.start_run("compute", made.now + HOUR, made.now)
        state.save_verdicts(run, "account", frame)
        state.mark_recorded(run)
        assert made.deliver({"hubspot": Desk()}).counts == {**NONE, "pending": 1, "skipped": 2}
        assert made.statuses()["a", "on", "task"] == "pending"


def marking(*, on: bool, fired: datetime) -> str:
    """Give a document that knows nothing but the mark of the signal."""
    marks = pl.DataFrame({"signal_marks": [[{"name": "usage_drop", "on": on, "fired": fired}]]}).cast(
        {"signal_marks": MARKS}
    )
    frame = pl.DataFrame({"external_id": ["a"]}).hstack(marks)
    stored = frame.select(
        pl.col("signal_marks").cast(pl.List(pl.Struct({"name": pl.String, "on": pl.Boolean, "fired": pl.Int64})))
    )
    return stored.write_json()[1:-1]


def test_how_a_task_may_end(tasked: Firing) -> None:
    desk = Desk()
    desk.ends = {"r-a": Status.REFUSED, "r-b": Status.FAILED, "r-c": Status.GONE}
    tasked.switch("usage_drop", "on", *"abc")
    done = tasked.deliver({"hubspot": desk})
    assert (done.counts["failed"], done.counts["pending"], done.incomplete) == (1, 2, True)
    assert done.told[0] == "signal usage_drop (account a): hubspot refused it: NO the desk says no"
    assert done.told[1].endswith("hubspot: NO the desk says no, tried again by the next run")
    desk.ends = {}
    tasked.link("hubspot", "companies", ("a", "r-a"), ("b", "r-b"), ("c", "r-survivor"))
    assert tasked.deliver({"hubspot": desk}).counts == {**NONE, "delivered": 2}
    assert [(values["about"], values["tried"]) for values in desk.tasks.values()] == [
        ("r-b", "true"),
        ("r-survivor", "true"),
    ]
    assert tasked.statuses()["a", "on", "task"] == "failed"


def test_an_error_of_a_connector_keeps_what_was_answered(tasked: Firing) -> None:
    desk = Desk()
    desk.raises = [LoginFailed("hubspot refused the token")]
    tasked.switch("usage_drop", "on", *"abc")
    done = tasked.deliver({"hubspot": desk})
    assert done.counts == {**NONE, "delivered": 1, "pending": 2}
    assert isinstance(done.errors["hubspot"], LoginFailed)
    assert done.told == ("hubspot: hubspot refused the token; 2 more wait for the next run",)
    assert tasked.deliver({"hubspot": desk}).counts == {**NONE, "delivered": 2}
    assert len(desk.tasks) == 3


def test_an_error_before_the_first_outcome(tasked: Firing) -> None:
    class Shut(Desk):
        def push(self, kind, changes):  # type: ignore[no-untyped-def]
            raise Unreachable("hubspot does not answer")

    tasked.switch("usage_drop", "on", *"abc")
    done = tasked.deliver({"hubspot": Shut()})
    assert done.counts == {**NONE, "pending": 3}
    assert list(done.errors) == ["hubspot"]


def test_attempts_are_noted_before_the_call(tasked: Firing) -> None:
    desk = Desk()
    seen: list[list[int]] = []
    desk.before = lambda: seen.append(tasked.workspace.state.deliveries()["attempts"].to_list())
    tasked.switch("usage_drop", "on", *"abc")
    tasked.deliver({"hubspot": desk})
    assert seen == [[1, 1, 1]]


def test_large_numbers_go_in_batches(tasked: Firing) -> None:
    desk = Desk()
    names = [f"n{number}" for number in range(20)]
    tasked.link("hubspot", "companies", *((name, f"r-{name}") for name in names))
    tasked.switch("usage_drop", "on", *names)
    assert tasked.deliver({"hubspot": desk}).counts == {**NONE, "delivered": 20}
    assert [len(changes) for _, changes in desk.pushes] == [6, 6, 6, 2]


def test_who_is_held_waits_and_the_others_do_not(tmp_path: Path, inbox: Inbox) -> None:
    with firing(tmp_path, signal("usage_drop", TASK, hook(inbox)), salesforce=True) as made:
        made.link("hubspot", "companies", ("a", "11"))
        made.link("salesforce", "Account", ("a", "001"))
        made.switch("usage_drop", "on", "a")
        hubspot, salesforce = Desk(), Desk()
        done = made.deliver({"salesforce": salesforce}, webhooks=False)
        assert done.counts == {**NONE, "delivered": 1, "pending": 2}
        assert not done.incomplete
        assert (len(hubspot.tasks), len(salesforce.tasks), len(inbox.got)) == (0, 1, 0)
        assert made.deliver({}).counts == {**NONE, "delivered": 1, "pending": 1}
        assert len(inbox.got) == 1
        assert made.deliver({"hubspot": hubspot, "salesforce": salesforce}).counts == {**NONE, "delivered": 1}


# Fields

ALERT = FieldAction("hubspot", "engage_alert", "usage drop")
CLEAR = FieldAction("hubspot", "engage_alert", None)


def test_fields_are_set_and_cleared(tmp_path: Path) -> None:
    with firing(tmp_path, signal("usage_drop", ALERT, clear=[CLEAR])) as made:
        desk = Desk()
        made.link("hubspot", "companies", ("a", "11"), ("b", "12"))
        begun = made.switch("usage_drop", "on", "a", "b")
        assert made.deliver({"hubspot": desk}).counts["delivered"] == 2
        kind, changes = desk.pushes[0]
        assert (kind.object, kind.role.value, kind.fields) == ("companies", "account", ("engage_alert",))
        assert len(changes) == 2
        made.switch("usage_drop", "off", "a", episode=begun)
        made.deliver({"hubspot": desk})
        assert desk.fields == {("companies", "11", "engage_alert"): None,
                               ("companies", "12", "engage_alert"): "usage drop"}  # fmt: skip


def test_of_several_waiting_values_the_newest_stands(tmp_path: Path) -> None:
    """Two signals write one field while the CRM is held: what came last is there in the end, of refused ones too."""
    other = FieldAction("hubspot", "engage_alert", "quiet")
    with firing(tmp_path, signal("usage_drop", ALERT, clear=[CLEAR]), signal("quiet", other)) as made:
        desk = Desk()
        made.link("hubspot", "companies", ("a", "11"))
        begun = made.switch("usage_drop", "on", "a")
        made.switch("usage_drop", "off", "a", episode=begun)
        made.switch("quiet", "on", "a")
        desk.ends = {"11": Status.FAILED}
        assert made.deliver({"hubspot": desk}).counts == {**NONE, "pending": 3}
        assert len(desk.pushes) == 1
        desk.ends = {}
        assert made.deliver({"hubspot": desk}).counts == {**NONE, "delivered": 3}
        assert desk.fields == {("companies", "11", "engage_alert"): "quiet"}
        assert [changes[0].values["engage_alert"] for _, changes in desk.pushes[1:]] == ["usage drop", None, "quiet"]


def test_a_field_goes_to_the_objects_that_can_hold_it(tmp_path: Path) -> None:
    """A user stands in Contact and Lead; only the contact's field can be written. Nobody has the other field."""
    alert = FieldAction("salesforce", "Alert__c", "quiet")
    lost = FieldAction("salesforce", "Lost__c", "quiet")
    with firing(tmp_path, signal("quiet", alert, lost, entity=Entity.USER), salesforce=True) as made:
        desk = Desk("salesforce")
        made.link("salesforce", "Contact", ("u", "003"))
        made.link("salesforce", "Lead", ("u", "00Q"))
        made.switch("quiet", "on", "u")
        done = made.deliver({"salesforce": desk})
        assert desk.fields == {("Contact", "003", "Alert__c"): "quiet"}
        assert done.counts == {**NONE, "delivered": 1, "failed": 1}
        assert "none of Contact, Lead has a field Lost__c that can be written" in done.told[0]


# Webhooks


def test_a_webhook_is_signed_and_sent_as_it_was_made(tmp_path: Path, inbox: Inbox) -> None:
    action = WebhookAction(f"http://${{{PLACE}}}/hook?token=${{{SECRET}}}", f"${{{SECRET}}}")
    with (
        firing(tmp_path, signal("usage_drop", action, clear=[action])) as made,
        variable(SECRET, "hushhush"),
        variable(PLACE, inbox.name),
    ):
        begun = made.switch("usage_drop", "on", "a")
        inbox.otherwise = 500
        assert made.deliver().counts == {**NONE, "pending": 1}
        inbox.otherwise = 200
        assert made.deliver().counts == {**NONE, "delivered": 1}
        made.switch("usage_drop", "off", "a", episode=begun)
        assert made.deliver().counts == {**NONE, "delivered": 1}
        assert len({got.body for got in inbox.got[:4]}) == 1
        for got in inbox.got:
            expected = hmac.digest(b"hushhush", got.body, hashlib.sha256).hex()
            assert got.headers["X-Engage-Signature"] == f"sha256={expected}"
            assert got.key == body(got.body)["idempotency_key"]
            assert got.path == "/hook?token=hushhush"
        assert [body(got.body)["state"] for got in inbox.got] == ["on"] * 4 + ["off"]
        kept = made.workspace.state.deliveries()
        assert kept["result"].to_list() == ["HTTP 200"] * 2
        assert kept["message"].to_list() == [None, None]
        assert "hushhush" not in repr(kept.rows())


def test_a_secret_that_is_not_set_leaves_its_own_waiting(tmp_path: Path, inbox: Inbox) -> None:
    secret = WebhookAction(inbox.url, f"${{{SECRET}}}")
    wrong = WebhookAction("no-address-${HOME}")
    with firing(tmp_path, signal("usage_drop", secret, hook(inbox), wrong)) as made:
        made.switch("usage_drop", "on", "a")
        done = made.deliver()
        assert done.counts == {**NONE, "delivered": 1, "pending": 2}
        assert f"its webhook: the environment variable {SECRET} is not set" in done.told[0]
        assert "the address of the webhook must be one like https://host/path" in done.told[1]
        with variable(SECRET, "x"):
            assert made.deliver().counts == {**NONE, "delivered": 1, "pending": 1}
    assert "X-Engage-Signature" in inbox.got[1].headers


def test_an_end_never_overtakes_its_beginning(tmp_path: Path, inbox: Inbox) -> None:
    """While the one waits the other waits, and another account's do not; a refused beginning holds nothing up."""
    with firing(tmp_path, signal("usage_drop", hook(inbox), clear=[hook(inbox)])) as made:
        inbox.bad = {"a": 500}
        for number in range(2):
            begun = made.switch("usage_drop", "on", "a", "b")
            made.switch("usage_drop", "off", "a", "b", episode=begun)
            assert made.deliver().counts == {**NONE, "delivered": 2, "pending": 2 * (number + 1)}
        assert {body(got.body)["state"] for got in inbox.got if body(got.body)["external_id"] == "a"} == {"on"}
        inbox.bad = {}
        inbox.got.clear()
        assert made.deliver().counts == {**NONE, "delivered": 4}
        told = [body(got.body) for got in inbox.got]
        assert [(one["state"], one["episode"][11:13]) for one in told] == [
            ("on", "13"),
            ("off", "13"),
            ("on", "15"),
            ("off", "15"),
        ]
        inbox.bad = {"a": 400}
        begun = made.switch("usage_drop", "on", "a")
        made.switch("usage_drop", "off", "a", episode=begun)
        assert made.deliver().counts == {**NONE, "failed": 2}
        assert made.deliver().counts == NONE


@pytest.mark.parametrize("end", [["/end"], ["", "/other"]])
def test_an_end_waits_for_a_beginning_that_goes_elsewhere(tmp_path: Path, inbox: Inbox, end: list[str]) -> None:
    """It may go to another address, and another signal's call of that address may come first."""
    ends = [hook(inbox, path) for path in end]
    drop = signal("usage_drop", hook(inbox), hook(inbox, "/other"), clear=ends)
    with firing(tmp_path, signal("quiet", *ends), drop) as made:
        begun = made.switch("usage_drop", "on", "a")
        made.switch("usage_drop", "off", "a", episode=begun)
        made.switch("quiet", "on", "z")
        inbox.bad = {"a": 500}
        assert made.deliver().counts["pending"] == 2 + len(ends)
        assert {body(got.body)["state"] for got in inbox.got if body(got.body)["external_id"] == "a"} == {"on"}
        inbox.bad = {}
        inbox.got.clear()
        assert made.deliver().counts == {**NONE, "delivered": 2 + len(ends)}
        assert [body(got.body)["state"] for got in inbox.got] == ["on", "on", *("off" for _ in ends)]


def test_what_one_address_does_not_take_holds_up_no_other(tmp_path: Path, inbox: Inbox) -> None:
    """Each address gets the end after its beginning, whatever another does."""
    lost = WebhookAction(inbox.url, f"${{{SECRET}}}")
    with firing(tmp_path, signal("usage_drop", lost, hook(inbox, "/b"), clear=[lost, hook(inbox, "/b")])) as made:
        begun = made.switch("usage_drop", "on", "a")
        made.switch("usage_drop", "off", "a", episode=begun)
        assert made.deliver().counts == {**NONE, "delivered": 2, "pending": 2}
        assert [(got.path, body(got.body)["state"]) for got in inbox.got] == [("/hook/b", "on"), ("/hook/b", "off")]


def test_what_waited_for_weeks_is_no_news(tmp_path: Path, inbox: Inbox) -> None:
    """A task or a call expires by its age as of the newest run, whatever it waited for; a field says how things are."""
    with firing(tmp_path, signal("usage_drop", TASK, hook(inbox), ALERT), signal("quiet", hook(inbox, "/b"))) as made:
        made.link("hubspot", "companies", ("a", "11"))
        begun = made.switch("usage_drop", "on", "a", "b")
        inbox.otherwise = 500
        made.deliver()
        made.now = begun + timedelta(days=14) - HOUR
        made.switch("quiet", "on", "a")
        assert made.deliver().counts == {**NONE, "pending": 7}
        made.switch("quiet", "on", "b")
        desk, inbox.otherwise = Desk(), 204
        inbox.got.clear()
        done = made.deliver({"hubspot": desk})
        assert done.counts == {**NONE, "expired": 4, "delivered": 3, "pending": 1}
        assert desk.tasks == {}
        assert list(desk.fields) == [("companies", "11", "engage_alert")]
        assert [got.path for got in inbox.got] == ["/hook/b"] * 2
        assert any("waited for more than 14 days; last: " in one and "answered 500" in one for one in done.told)
        assert not done.incomplete
        shown = made.workspace.state.open_deliveries(9).filter(status="expired")
        assert sorted(shown["action"]) == ["task", "task", "webhook", "webhook"]
        assert made.deliver({"hubspot": desk}).counts == {**NONE, "pending": 1}


def test_tasks_and_fields_that_the_model_no_longer_asks_for_are_skipped(tmp_path: Path) -> None:
    with firing(tmp_path, signal("usage_drop", TASK, ALERT), signal("quiet", TASK)) as made:
        made.link("hubspot", "companies", ("a", "11"))
        made.switch("usage_drop", "on", "a")
        made.switch("quiet", "on", "a")
    desk = Desk()
    with reopened(tmp_path, signal("usage_drop", ALERT)) as made:
        done = made.deliver({"hubspot": desk})
        assert (done.counts, desk.pushes) == ({**NONE, "skipped": 3}, [])
        assert all(one.endswith(": the model no longer asks for it") for one in done.told)


def test_a_redirect_and_a_refusal_are_final(tmp_path: Path, inbox: Inbox) -> None:
    with firing(tmp_path, signal("usage_drop", hook(inbox))) as made:
        made.switch("usage_drop", "on", "a", "b")
        inbox.answers = [301, 400]
        done = made.deliver()
        assert done.counts == {**NONE, "failed": 2}
        assert sorted("redirects are not followed" in one for one in done.told) == [False, True]
        assert made.deliver().counts == NONE
        assert len(inbox.got) == 2


def test_what_the_model_no_longer_asks_for_is_skipped(tmp_path: Path, inbox: Inbox) -> None:
    with firing(tmp_path, signal("usage_drop", hook(inbox)), signal("quiet", hook(inbox))) as made:
        made.switch("usage_drop", "on", "a")
        made.switch("quiet", "on", "a")
    with reopened(tmp_path, signal("usage_drop", TASK)) as made:
        done = made.deliver()
        assert done.counts == {**NONE, "skipped": 2}
        assert all("the model no longer asks for it" in one for one in done.told)
    assert inbox.got == []


def test_a_receiver_that_is_down_costs_a_few_calls(tmp_path: Path, inbox: Inbox) -> None:
    names = [f"n{number}" for number in range(300)]
    with firing(tmp_path, signal("usage_drop", hook(inbox)), signal("quiet", hook(inbox, "/other"))) as made:
        made.switch("usage_drop", "on", *names)
        made.switch("quiet", "on", "a")
        inbox.otherwise = "drop"
        done = made.deliver()
        assert done.counts == {**NONE, "pending": 301}
        assert len(inbox.got) <= 3 * 7 + 3
        assert f"webhook: {inbox.name}: the connection ended before an answer came; " in done.told[-1]
        inbox.otherwise = 204
        inbox.got.clear()
        assert made.deliver().counts == {**NONE, "delivered": 301}
        assert set(inbox.keys().values()) == {1}


def test_one_delivery_that_never_gets_through_holds_up_no_other(tmp_path: Path, inbox: Inbox) -> None:
    """Those that were lost again and again go behind the others."""
    with firing(tmp_path, signal("usage_drop", hook(inbox))) as made:
        made.switch("usage_drop", "on", *"abcd")
        made.switch("usage_drop", "on", *"efghijk")
        inbox.bad = dict.fromkeys("abcd", "drop")
        for _ in range(3):
            assert made.deliver().counts == {**NONE, "pending": 11}
        assert made.deliver().counts == {**NONE, "delivered": 7, "pending": 4}


# Dying

MORTAL = 100


def test_dying_at_any_step_loses_nothing_and_sends_the_same(tmp_path: Path, inbox: Inbox) -> None:
    """Wherever the process dies the next one finishes: every webhook arrives, always with the same bytes; no task is
    made twice; and then nothing is left to do."""
    with firing(tmp_path, signal("usage_drop", TASK, ALERT, hook(inbox), clear=[CLEAR, hook(inbox)])) as made:
        made.link("hubspot", "companies", ("a", "r-a"))
        for steps in range(MORTAL):
            desk = Desk()
            inbox.got.clear()
            begun = made.switch("usage_drop", "on", "a")
            made.switch("usage_drop", "off", "a", episode=begun)
            dying = made.dying(steps)
            try:
                dying.deliver({"hubspot": desk})
                died = False
            except Died:
                died = True
            dying.workspace.state.close()
            made.deliver({"hubspot": desk})
            assert set(made.statuses().values()) == {"delivered"}
            assert len(desk.tasks) == 1
            assert desk.fields == {("companies", "r-a", "engage_alert"): None}
            assert len({(got.key, got.body) for got in inbox.got}) == len(inbox.keys()) == 2
            if not died:
                break
        calls = len(inbox.got)
        assert made.deliver({"hubspot": desk}).counts == NONE
        assert len(inbox.got) == calls
        assert 10 < steps < MORTAL - 1


PROGRAM = """
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from engage_sync.core.entities import Entity
from engage_sync.core.expression_reader import read
from engage_sync.core.expressions import Type
from engage_sync.core.verdict_rules import Rule, Signal, WebhookAction
from engage_sync.sync.deliver import deliver
from engage_sync.sync.wiring import open_workspace
rule = Rule("usage_drop", read("events > 0", {"events": Type.NUMBER}, ()))
with open_workspace(Path(sys.argv[1])) as found:
    model = replace(found.project.model, signals=(Signal(rule, Entity.ACCOUNT, actions=(WebhookAction(sys.argv[2]),)),))
    workspace = replace(found, project=replace(found.project, model=model))
    deliver(workspace, {}, run=1, clock=lambda: datetime.now(UTC))
"""


def test_a_process_killed_while_it_delivers(tmp_path: Path, inbox: Inbox) -> None:
    names = [f"n{number}" for number in range(20)]
    with firing(tmp_path, signal("usage_drop", hook(inbox))) as made:
        made.switch("usage_drop", "on", *names)
        inbox.answers = [204] * 7 + ["hang"]
        process = fork(PROGRAM, str(tmp_path), inbox.url)
        try:
            assert inbox.hanging.wait(PATIENCE), "the call that should hang was not made"
            process.send_signal(signals_of_processes.SIGKILL)
            assert process.wait(PATIENCE) == -signals_of_processes.SIGKILL
        finally:
            process.kill()
            process.communicate()
        inbox.answers = []
        before = inbox.keys()
        assert before.total() >= 8
        assert made.deliver().counts["pending"] == 0
        assert set(made.statuses().values()) == {"delivered"}
        assert len(inbox.keys()) == 20
        assert len({(got.key, got.body) for got in inbox.got}) == 20
        assert inbox.keys().total() <= 20 + 4
        assert pl.Series([body(got.body)["external_id"] for got in inbox.got]).n_unique() == 20


# The CRMs themselves


@contextmanager
def connected(made: Both, *signals: Signal) -> Iterator[tuple[Firing, dict[str, Connector]]]:
    """Open a project that is connected to both sandboxes, with signals, and its connectors."""
    with made.open() as found, ExitStack() as opened:
        model = replace(found.project.model, signals=signals)
        workspace = replace(found, project=replace(found.project, model=model))
        connectors: dict[str, Connector] = {
            file.name: opened.enter_context(closing(open_connector(workspace, file)))
            for file in workspace.project.connectors
        }
        yield Firing(workspace, made.clock()), connectors


LOST = ("drop_after", "*/objects/tasks/*", "*/composite/sobjects")


def test_in_both_crms_there_is_one_task_each_and_the_fields_hold_the_values(tmp_path: Path) -> None:
    """Also when every answer to a creation is lost: the next run finds the tasks that are there."""
    title = FieldAction("hubspot", "jobtitle", "watch")
    role = FieldAction("salesforce", "Title", "watch")
    with both(tmp_path) as made:
        person, sales = made.contact("u@a.example"), made.sales("u@a.example")
        quiet = signal("quiet", TASK, title, role, entity=Entity.USER)
        with connected(made, quiet) as (fired, connectors):
            fired.link("hubspot", "contacts", ("u", person))
            fired.link("salesforce", "Contact", ("u", sales))
            fired.switch("quiet", "on", "u")
            name, *paths = LOST
            for crm, path in zip((made.crm, made.org), paths, strict=True):
                crm.faults.add(Fault(name, method="POST", path=path, times=None))
            done = fired.deliver(connectors)
            waiting = fired.workspace.state.pending_deliveries()
            assert "hubspot" in waiting.filter(action="task")["connector"]
            for crm in (made.crm, made.org):
                crm.faults.clear()
            done = fired.deliver(connectors)
            assert (done.counts["pending"], done.told) == (0, ())
        assert len(made.crm.store.tasks("contacts", person)) == 1
        assert len(made.org.store.tasks("Contact", sales)) == 1
        assert made.values(person)["jobtitle"] == made.held(sales)["Title"] == "watch"


def test_a_field_that_is_not_there_is_refused_in_the_crm_s_words(tmp_path: Path) -> None:
    """And the other fields, and the other records, are written."""
    with both(tmp_path) as made:
        person, sales = made.contact("u@a.example"), made.sales("u@a.example")
        firm = made.company("a.example")
        quiet = signal("quiet", FieldAction("hubspot", "nope", "x"), FieldAction("hubspot", "jobtitle", "watch"),
                       FieldAction("salesforce", "Nope__c", "x"), FieldAction("salesforce", "Title", "watch"),
                       entity=Entity.USER)  # fmt: skip
        drop = signal("usage_drop", FieldAction("hubspot", "city", "watch"))
        with connected(made, quiet, drop) as (fired, connectors):
            fired.link("hubspot", "contacts", ("u", person))
            fired.link("hubspot", "companies", ("acme", firm))
            fired.link("salesforce", "Contact", ("u", sales))
            fired.switch("quiet", "on", "u")
            fired.switch("usage_drop", "on", "acme")
            done = fired.deliver(connectors)
        assert done.counts == {**NONE, "delivered": 3, "failed": 2}, done.told
        assert done.errors == {}
        assert made.values(person)["jobtitle"] == made.held(sales)["Title"] == "watch"
        assert made.values(firm, "companies")["city"] == "watch"
