"""Telling of what fails, to a real receiver and a real mail server on loopback that refuse, drop and stall: each change
once, repeated until it is taken, and nothing held up or given away on the way."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from engage_sync.core.alerting import Condition
from engage_sync.errors import Mistake, Unreachable
from engage_sync.state.store import State
from engage_sync.sync.alert_channels import NotTold, Unusable, channels
from engage_sync.sync.alert_line import FIRST_PAUSE, LONGEST_PAUSE, OVERDUE, STUCK
from engage_sync.sync.teller import Teller, try_channels
from engage_sync.sync.worked import AlertSettings
from tests.sync.mailbox import Mailbox, mailbox
from tests.sync.mortal import Death, Died, MortalDatabase
from tests.sync.receiver import PATIENCE, Inbox, receiver
from tests.sync.test_webhooks import certificate

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PUSH = Condition("failing:push:hubspot", "the push to hubspot failed (run 7, exit 5): <no answer>\nwait")
PULL = Condition("failing:pull:hubspot", "the pull from hubspot failed\nwait")
AWAY = Condition("state", "the state database has not answered\nsee to it")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "engage.db"
    State.open(f"sqlite:///{path}", key_file=path.with_name("key")).close()
    return path


@pytest.fixture
def url(template: Path, tmp_path: Path) -> str:
    shutil.copy(template, tmp_path / "engage.db")
    return f"sqlite:///{tmp_path / 'engage.db'}"


@pytest.fixture
def state(url: str, tmp_path: Path) -> Iterator[State]:
    with State.open(url, key_file=tmp_path / "key") as opened:
        yield opened


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with receiver() as made:
        yield made


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as made:
        yield made


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """Hear all that is logged: the other tests hear errors only."""
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
    with structlog.testing.capture_logs() as found:
        yield found
    structlog.configure(wrapper_class=before)


def settings_for(inbox: Inbox | str | None, box: Mailbox | str | None = None) -> AlertSettings:
    smtp = f"smtp://ops:p%40ss%2Fword@127.0.0.1:{box.port}" if isinstance(box, Mailbox) else box
    return {
        "webhook": inbox.url + "/T0/B0/s3cret" if isinstance(inbox, Inbox) else inbox,
        "mail": None if smtp is None else {"smtp": smtp, "sender": "sync@x.io", "to": ["a@x.io", "Bé <b@x.io>"]},
        "missed": 3600.0,
    }


class Telling:
    """A teller whose clock stands until it is put forward, one look of which waits for what it has sent."""

    def __init__(self, state: State | None, settings: AlertSettings | None, seconds: float = 5.0) -> None:
        self.passed = 0.0
        self.teller = Teller(state, "acme", settings, monotonic=lambda: self.passed, seconds=seconds)

    def look(self, *observed: Condition, minutes: float = 0, seconds: float = 0.0) -> None:
        self.passed += seconds
        self.teller.tell(observed, NOW + timedelta(minutes=minutes))
        self.end()

    def end(self) -> None:
        for line in self.teller._lines.values():
            for attempt in line.attempts:
                assert attempt.thread is not None
                attempt.thread.join(PATIENCE)
                assert attempt.over


def texts(inbox: Inbox) -> list[str]:
    return [json.loads(one.body)["text"] for one in inbox.got]


def test_a_failure_and_its_recovery_are_told_once_to_each_channel(state: State, inbox: Inbox, box: Mailbox) -> None:
    telling = Telling(state, settings_for(inbox, box))
    for minute in range(4):
        telling.look(PUSH, PULL, minutes=minute)
    for minute in range(134, 138):
        telling.look(minutes=minute)
    begun, ended = texts(inbox)
    assert begun.startswith("engage-sync acme: 2 failing\n")
    assert "FAILING since 2026-06-01 12:00 UTC: the push to hubspot failed (run 7, exit 5): &lt;no answer&gt;" in begun
    assert ended.count("RECOVERED (after 2 hours 14 minutes") == 2
    assert "What to do" not in ended
    first, second = box.got
    assert first["Subject"] == "engage-sync acme: 2 failing"
    assert "<no answer>" in first.get_content()
    assert first["Auto-Submitted"] == "auto-generated"
    assert box.recipients == [["a@x.io", "b@x.io"]] * 2
    assert box.logins == ["\0ops\0p@ss/word"] * 2
    keys = [one.key for one in inbox.got]
    assert [one["Message-ID"] for one in (first, second)] == [f"<{key}@engage-sync.invalid>" for key in keys]
    assert f"(message {keys[0]})" in begun
    assert all(not alert.untold and not alert.active for alert in state.alerts())


@pytest.mark.parametrize("answer", [500, 404, 302, 429, "drop"])
def test_a_webhook_that_fails_is_tried_again_with_growing_pauses(state: State, inbox: Inbox, answer: int | str) -> None:
    inbox.answers = [answer] * 3
    telling = Telling(state, settings_for(inbox))
    telling.look(PUSH)
    for number, pause in enumerate([FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]):
        telling.look(PUSH, seconds=pause - 1)  # the failure is seen now: the pause begins
        assert len(inbox.got) == number + 1
        telling.look(PUSH, seconds=pause)
        assert len(inbox.got) == number + 2
    telling.look(PUSH, seconds=LONGEST_PAUSE)
    assert [*inbox.keys().values()] == [4]
    assert state.alerts()[0].untold == ()


def test_a_pause_that_is_asked_for_is_kept(state: State, inbox: Inbox) -> None:
    inbox.answers, inbox.headers = [429], {"Retry-After": "120"}
    telling = Telling(state, settings_for(inbox))
    telling.look(PUSH)
    telling.look(PUSH)
    telling.look(PUSH, seconds=119)
    assert len(inbox.got) == 1
    telling.look(PUSH, seconds=1)
    assert len(inbox.got) == 2


@pytest.mark.parametrize("behaviour", ["login", "recipients", "drop", "451", "554"])
def test_a_mail_that_fails_is_tried_again_and_the_webhook_goes_out(
    state: State, inbox: Inbox, box: Mailbox, logs: list[MutableMapping[str, Any]], behaviour: str
) -> None:
    box.answers = [behaviour]
    telling = Telling(state, settings_for(inbox, box))
    telling.look(PUSH)
    telling.look(PUSH)
    assert [change.left for change in state.alerts()[0].untold] == [("mail",)]
    telling.look(PUSH, seconds=FIRST_PAUSE)
    telling.look(PUSH)
    assert len(inbox.got) == 1
    assert box.taken.is_set()
    assert len({one["Message-ID"] for one in box.got}) == 1
    assert state.alerts()[0].untold == ()
    assert [line["log_level"] for line in logs] == ["warning", "info"]
    assert box.name in logs[0]["because"]
    assert "ss/word" not in str(logs)


def test_a_dead_receiver_is_logged_once_and_holds_nothing_up(
    state: State, box: Mailbox, logs: list[MutableMapping[str, Any]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    telling = Telling(state, settings_for(f"http://u:pw@127.0.0.1:{port}/s3cret?token=t", box))
    for minute in range(30):
        telling.look(*([PUSH] if minute % 10 < 5 else []), minutes=minute, seconds=60)
    assert [(line["log_level"], line["channel"]) for line in logs] == [("warning", "webhook")]
    assert logs[0]["because"] == f"127.0.0.1:{port}: no connection (Connection refused)"
    assert len(box.got) == 6
    with receiver() as inbox:
        telling.teller.configure(settings_for(inbox, box))
        for _ in range(8):
            telling.look(minutes=30)
        assert len(inbox.got) == 6
        assert ["FAILING" in text for text in texts(inbox)] == [True, False] * 3
    assert len(box.got) == 6
    assert state.alerts()[0].untold == ()


def test_receivers_that_stall_hold_up_neither_the_daemon_nor_each_other(
    state: State, logs: list[MutableMapping[str, Any]]
) -> None:
    with receiver() as inbox, mailbox() as box:
        inbox.answers, box.answers = ["hang"] * 10, ["stall"] * 10
        telling = Telling(state, settings_for(inbox, box), seconds=PATIENCE)
        begun = time.monotonic()
        for step in range(10):
            telling.passed += OVERDUE
            telling.teller.tell([PUSH], NOW + step * timedelta(minutes=1))
        assert time.monotonic() - begun < PATIENCE / 3
        assert inbox.hanging.wait(PATIENCE)
        assert box.stalling.wait(PATIENCE)
        assert [len(line.attempts) for line in telling.teller._lines.values()] == [3, 3]
        assert [(line["log_level"], line["channel"]) for line in logs] == [("warning", "webhook"), ("warning", "mail")]
        assert "has not ended within 60 seconds" in logs[0]["because"]
        assert not telling.teller.settle(0)
        inbox.answers, box.answers = [], []
        inbox.ending.set()
        box.ending.set()
        telling.end()
        telling.look(PUSH)  # sees them fail
        telling.look(PUSH, seconds=LONGEST_PAUSE)
        assert telling.teller.settle(PATIENCE)
    assert len(inbox.keys()) == len({one["Message-ID"] for one in box.got}) == 1


def test_what_an_address_that_is_not_used_any_more_does_holds_up_no_other(state: State, inbox: Inbox) -> None:
    with receiver() as before:
        before.answers = ["hang"]
        telling = Telling(state, settings_for(before), seconds=PATIENCE)
        telling.teller.tell([PUSH], NOW)
        assert before.hanging.wait(PATIENCE)
        telling.teller.configure(settings_for(inbox))
        telling.passed += OVERDUE
        telling.teller.tell([PUSH], NOW)
        telling.teller._lines["webhook"].attempts[-1].thread.join(PATIENCE)  # type: ignore[union-attr]
        assert len(inbox.got) == 1


def test_no_answer_in_time_is_a_failure(state: State, inbox: Inbox, box: Mailbox) -> None:
    inbox.answers, box.answers = ["hang"], ["stall"]
    found = try_channels(settings_for(inbox, box), "acme", 0.1)
    assert found == [
        (f"webhook: not told: {inbox.name}: no answer within 0.1 seconds", False),
        (f"mail: not told: {box.name}: no answer within 0.1 seconds", False),
    ]


def test_an_answer_that_never_ends_is_a_failure(
    state: State, inbox: Inbox, box: Mailbox, logs: list[MutableMapping[str, Any]]
) -> None:
    """Each byte comes in time; the whole does not."""
    inbox.answers, box.answers = ["drip"], ["drip"]
    telling = Telling(state, settings_for(inbox, box), seconds=0.1)
    telling.look(PUSH)  # ends in time, or this would wait for long
    telling.look(PUSH)
    assert [(line["log_level"], line["channel"]) for line in logs] == [("warning", "webhook"), ("warning", "mail")]
    assert all(re.search("no (whole )?answer within", line["because"]) for line in logs)  # a busy machine stalls, too
    telling.look(PUSH, seconds=FIRST_PAUSE)
    telling.look(PUSH)
    assert state.alerts()[0].untold == ()
    assert [*inbox.keys().values()] == [2]


def test_an_alert_that_is_refused_holds_up_no_other(
    state: State, inbox: Inbox, box: Mailbox, logs: list[MutableMapping[str, Any]]
) -> None:
    inbox.unwanted, box.answers = {"the pull": 400}, ["554", "take", "554", "take"]
    telling = Telling(state, settings_for(inbox, box))
    telling.look(PULL)
    for _ in range(3):
        telling.look(PULL, PUSH, minutes=1)
    assert ["the pull" in text for text in texts(inbox)] == [True, False]
    assert ["the pull" in one.get_content() for one in box.got] == [True, False]
    telling.look(PUSH, seconds=FIRST_PAUSE, minutes=2)  # it goes well again, which is as little wanted
    for _ in range(3):
        telling.look(PUSH, seconds=1)
    assert [(line["channel"], line["event"][:20]) for line in logs][:2] == [
        *(("webhook", "an alert was refused"), ("mail", "an alert was refused"))
    ]
    inbox.unwanted = {}
    for _ in range(4):
        telling.look(PUSH, seconds=LONGEST_PAUSE)
    assert all(not alert.untold for alert in state.alerts())


def test_an_alert_that_only_fails_is_passed_over_by_what_is_about_something_else(state: State, inbox: Inbox) -> None:
    """The receiver breaks over one message; what comes later about the same waits, so that a recovery is told last."""
    inbox.unwanted = {"FAILING since 2026-06-01 12:00 UTC: the pull": 500}
    telling = Telling(state, settings_for(inbox))
    telling.look(PULL)
    telling.look()
    telling.look(PUSH, minutes=1)
    for _ in range(2 * STUCK):  # one look begins an attempt, the next sees how it ended
        telling.look(PUSH, minutes=2, seconds=LONGEST_PAUSE)
    assert ["the push" in text for text in texts(inbox)[: STUCK + 1]] == [False] * STUCK + [True]
    assert not any("RECOVERED" in text for text in texts(inbox))
    inbox.unwanted = {}
    for _ in range(6):
        telling.look(PUSH, minutes=2, seconds=LONGEST_PAUSE)
    assert ["RECOVERED" in text for text in texts(inbox)[-2:]] == [False, True]
    assert all(not alert.untold for alert in state.alerts())


def test_certificates_that_are_not_there_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/at/all")
    ((sentence, delivered),) = try_channels(settings_for("https://127.0.0.1:1/s3cret"), "acme")
    assert (delivered, "REQUESTS_CA_BUNDLE" in sentence, "s3cret" in sentence) == (False, True, False)


def test_a_process_that_dies_before_it_notes_sends_again_under_the_same_key(
    url: str, tmp_path: Path, inbox: Inbox, box: Mailbox
) -> None:
    """Dies at every step of a failure and a recovery, and the next one goes on."""
    for steps in range(40):
        mortal = State(MortalDatabase(url, Death(steps)), tmp_path / "key")
        telling = Telling(mortal, settings_for(inbox, box))
        observed = [PUSH] if steps % 2 else []
        with suppress(Died):
            for minute in range(4):
                telling.look(*observed, minutes=steps * 10 + minute)
        mortal.close()
    with State.open(url, key_file=tmp_path / "key") as state:
        telling = Telling(state, settings_for(inbox, box))
        for minute in range(8):
            telling.look(minutes=500 + minute)
        assert all(not alert.untold for alert in state.alerts())
    keys = [one.key for one in inbox.got]
    by_key = {
        key: [text for one, text in zip(inbox.got, texts(inbox), strict=True) if one.key == key] for key in set(keys)
    }
    assert all(len(set(found)) == 1 for found in by_key.values())
    assert max(inbox.keys().values()) > 1
    order = ["FAILING" in by_key[key][0] for key in dict.fromkeys(keys)]
    assert order == [number % 2 == 0 for number in range(len(order))]
    assert {one["Message-ID"] for one in box.got} == {f"<{key}@engage-sync.invalid>" for key in by_key}


def test_the_state_that_is_away_is_told_of_and_nothing_else_is(state: State, inbox: Inbox) -> None:
    telling = Telling(state, settings_for(inbox))
    telling.look(PULL)
    telling.look(PULL)
    telling.teller.store = None
    telling.look(PUSH)
    telling.look(PUSH, AWAY, minutes=1)
    telling.look(AWAY, minutes=2)
    assert [alert.name for alert in telling.teller.active] == [PULL.name, AWAY.name]
    telling.teller.store = state
    for minute in range(3, 6):
        telling.look(PULL, minutes=minute)
    first, away, back = texts(inbox)
    assert "the pull" in first
    assert "FAILING since 2026-06-01 12:01 UTC: the state database" in away
    assert "RECOVERED (after 2 minutes" in back
    assert [(alert.name, alert.active, alert.untold) for alert in state.alerts()] == [
        (PULL.name, True, ()),
        (AWAY.name, False, ()),
    ]


def test_a_state_that_is_away_from_the_start_is_told_of_and_handed_over(state: State, inbox: Inbox) -> None:
    telling = Telling(None, settings_for(inbox))
    telling.look(PUSH, AWAY)
    telling.look(AWAY)
    telling.teller.store = state
    telling.teller.hand_over()
    assert [(alert.name, alert.untold) for alert in state.alerts()] == [(AWAY.name, ())]
    other = Telling(state, settings_for(inbox))
    other.look(minutes=1)
    assert ["FAILING" in text for text in texts(inbox)] == [True, False]


class Broken:
    """A store that answers nothing."""

    def alerts(self) -> list[object]:
        raise Unreachable("the state database does not answer")

    change_alerts = alerts


def test_a_store_that_raises_is_one_that_is_away(inbox: Inbox) -> None:
    telling = Telling(Broken(), settings_for(inbox))  # type: ignore[arg-type]
    telling.look(PUSH)
    telling.look(AWAY)
    telling.look(AWAY)
    assert len(inbox.got) == 1
    assert not telling.teller.settle(0)


def test_changes_wait_until_it_is_known_whom_to_tell(state: State, inbox: Inbox) -> None:
    telling = Telling(state, None)
    telling.look(PUSH)
    telling.teller.configure(settings_for(inbox))
    telling.look(minutes=5)
    telling.look(minutes=5)
    assert ["FAILING" in text for text in texts(inbox)] == [True, False]
    telling.teller.configure(settings_for(None))
    telling.look(PUSH, minutes=6)
    assert len(inbox.got) == 2
    assert [alert.untold for alert in state.alerts()] == [()]
    assert [alert.name for alert in telling.teller.active] == [PUSH.name]


def test_mail_over_tls_is_checked(state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, context = certificate(tmp_path)
    for scheme, at_once in (("smtps", True), ("smtp+starttls", False)):
        with mailbox(context, at_once=at_once) as box:
            wanted = settings_for(None, f"{scheme}://ops:pw@127.0.0.1:{box.port}")
            monkeypatch.delenv("SSL_CERT_FILE", raising=False)
            ((sentence, delivered),) = try_channels(wanted, "acme")
            assert (delivered, sentence) == (
                False,
                f"mail: not told: {box.name}: no TLS connection (CERTIFICATE_VERIFY_FAILED)",
            )
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
            assert try_channels(wanted, "acme") == [(f"mail: {box.name} took it", True)]
            assert (box.secured, box.logins) == ([True], ["\0ops\0pw"])


def test_a_server_without_starttls_gets_no_login(box: Mailbox) -> None:
    ((sentence, delivered),) = try_channels(settings_for(None, f"smtp+starttls://u:pw@127.0.0.1:{box.port}"), "acme")
    assert (delivered, "offers no STARTTLS" in sentence, box.got) == (False, True, [])


def test_trying_the_channels(inbox: Inbox, box: Mailbox) -> None:
    assert try_channels(settings_for(inbox, box), "acme") == [
        (f"webhook: {inbox.name} took it", True),
        (f"mail: {box.name} took it", True),
    ]
    assert "this is a test of the alerts" in texts(inbox)[0]
    with pytest.raises(Mistake, match="no channel is configured"):
        try_channels(settings_for(None), "acme")


@pytest.mark.parametrize(
    ("webhook", "smtp", "to"),
    [
        ("ftp://s3cret@host/", None, ""),
        ("https://ho st/s3cret", None, ""),
        (None, "mail.example.com s3cret", ""),
        (None, "smtp://s3cret", ""),
        (None, "imap://u:s3cret@host", ""),
        (None, "smtp+starttls://u:s3cret@host:99999", ""),
        (None, "smtp+starttls://u:s3c/ret@host:587", ""),
        (None, "smtp://u:s3cret@mail.example.com:25", ""),
        (None, "smtps://u:s3cret@host", "nobody"),
        (None, "smtps://u:s3cret@host", "a@x.io\nBcc: c@x.io"),
    ],
)
def test_wrong_settings_are_told_without_secrets(webhook: str | None, smtp: str | None, to: str) -> None:
    wanted = settings_for(webhook, smtp)
    if to and wanted["mail"] is not None:
        wanted["mail"]["to"] = [to]
    if smtp == "smtp://s3cret":
        assert not isinstance(channels(wanted)["mail"], Unusable)  # a host may be called so
        return
    (channel,) = channels(wanted).values()
    assert isinstance(channel, Unusable)
    ((sentence, delivered),) = try_channels(wanted, "acme")
    assert not delivered
    assert "s3c" not in sentence.replace("nobody", "")
    with pytest.raises(NotTold):
        channel.send(None, "")  # type: ignore[arg-type]


def test_a_place_with_line_breaks_makes_one_subject(box: Mailbox) -> None:
    assert try_channels(settings_for(None, box), "ac\nme\r\nBcc: c@x.io")[0][1]
    assert box.recipients == [["a@x.io", "b@x.io"]]
    assert box.got[0]["Subject"].strip().startswith("engage-sync ac me Bcc: c@x.io: failing")
