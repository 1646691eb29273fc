"""The rows of the outbox: who is told, of what, under which key, with which content."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engage_sync.core.definitions import Entity
from engage_sync.core.verdict_rules import FieldAction, TaskAction, WebhookAction
from engage_sync.sync.outbox import SCHEMA
from engage_sync.sync.webhooks import signature
from tests.oracle.folder import Folder
from tests.oracle.telling import NOW, group
from tests.sync.firing import Firing, body, firing, signal
from tests.sync.project import BEGIN

HOOK = WebhookAction("https://hooks.example.com/${HIDDEN}", "${HIDDEN}")
TASK = TaskAction("Usage halved")
FIELD = FieldAction("hubspot", "engage_alert", "usage drop")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Firing]:
    signals = (
        signal("usage_drop", TASK, HOOK, FIELD, clear=[HOOK, FieldAction("hubspot", "engage_alert", None)]),
        signal("quiet", TASK, HOOK, entity=Entity.USER, why=None),
    )
    with firing(tmp_path, *signals, salesforce=True) as opened:
        yield opened


def test_nothing_switched_is_nothing_to_do(made: Firing) -> None:
    rows = made.rows("usage_drop", "on")
    assert rows.is_empty()
    assert dict(rows.schema) == SCHEMA


def test_what_each_target_gets(made: Firing) -> None:
    made.link("hubspot", "companies", ("acme", "11"))
    made.link("salesforce", "Account", ("acme", "001"), ("other", "002"))
    rows = made.rows("usage_drop", "on", "acme")
    assert rows.select("number", "action", "connector").rows() == [
        (0, "task", "hubspot"),
        (0, "task", "salesforce"),
        (1, "webhook", None),
        (2, "field", "hubspot"),
    ]
    assert rows.select("run", "at", "signal", "entity", "external_id", "phase").unique().rows() == [
        (7, BEGIN, "usage_drop", "account", "acme", "on")
    ]
    off = made.rows("usage_drop", "off", "acme", episode=BEGIN - timedelta(days=1))
    assert off.select("number", "action", "connector").rows() == [(0, "webhook", None), (1, "field", "hubspot")]
    assert body(off["payload"][1]) == {"field": "engage_alert", "value": None}


def test_who_is_not_linked_yet_is_told_of_too(made: Firing) -> None:
    """Wherever a record of such an entity may come to stand: an account in the CRMs that show accounts."""
    rows = made.rows("usage_drop", "on", "acme", "other")
    assert rows.group_by("external_id").len().sort("external_id").rows() == [("acme", 4), ("other", 4)]
    assert rows.filter(external_id="acme").select("action", "connector").rows() == [
        ("task", "hubspot"),
        ("task", "salesforce"),
        ("webhook", None),
        ("field", "hubspot"),
    ]
    assert body(rows.filter(action="webhook")["payload"][0])["links"] == {}


def test_two_objects_of_one_crm_make_one_task(made: Firing) -> None:
    made.link("salesforce", "Lead", ("u1", "00Q"))
    made.link("salesforce", "Contact", ("u1", "003"))
    rows = made.rows("quiet", "on", "u1")
    assert rows.select("action", "connector").rows() == [
        ("task", "hubspot"),
        ("task", "salesforce"),
        ("webhook", None),
    ]
    assert body(rows["payload"][2])["links"] == {"salesforce": {"object": "Contact", "id": "003", "url": None}}


@pytest.mark.parametrize(
    ("zone", "day"), [("UTC", "2026-06-01"), ("Asia/Tokyo", "2026-06-02"), ("America/Los_Angeles", "2026-06-01")]
)
def test_a_task_is_due_on_the_project_s_day(made: Firing, zone: str, day: str) -> None:
    """18:00 UTC is the next morning in Tokyo."""
    made.now = BEGIN + timedelta(hours=6)
    made.workspace = replace(made.workspace, project=replace(made.workspace.project, timezone=zone))
    payloads = made.rows("usage_drop", "on", "acme").filter(action="task")["payload"]
    assert [body(one)["due"] for one in payloads] == [f"{day}T12:00:00Z"] * 2


def test_the_body_of_a_webhook(made: Firing) -> None:
    made.workspace.state.set_note("account.hubspot", "4711")
    made.link("hubspot", "companies", ("b&b", "11"))
    made.link("salesforce", "Account", ("b&b", "001"))
    (payload,) = made.rows(
        "usage_drop", "off", "b&b", episode=BEGIN - timedelta(days=1), name='Beer & "Bed" 😀', domain="b.example"
    ).filter(action="webhook")["payload"]
    content = '["usage_drop","account","b&b","2026-05-31T12:00:00Z","off",0,null]'
    found = body(payload)
    url = found["links"]["hubspot"].pop("url")
    assert "4711" in url
    assert url.endswith("11")
    assert found == {
        "idempotency_key": hashlib.sha256(content.encode()).hexdigest(),
        "signal": "usage_drop",
        "why": "Usage halved within a week",
        "state": "off",
        "entity": "account",
        "external_id": "b&b",
        "name": 'Beer & "Bed" 😀',
        "domain": "b.example",
        "episode": "2026-05-31T12:00:00Z",
        "at": "2026-06-01T12:00:00Z",
        "as_of": "2026-06-01T12:00:00Z",
        "run": 7,
        "reasons": ["12 events in 7 days (200 before)"],
        "links": {"hubspot": {"object": "companies", "id": "11"},
                  "salesforce": {"object": "Account", "id": "001", "url": None}},
        "link": None,
    }  # fmt: skip
    assert "HIDDEN" not in payload
    assert "hooks" not in payload


def test_the_content_of_a_task(made: Firing) -> None:
    made.link("hubspot", "contacts", ("u/1", "21"))
    made.link("hubspot", "companies", ("acme", "11"))
    tasks = made.rows("quiet", "on", "u/1", email="u@a.example").filter(action="task")
    assert tasks["payload"].n_unique() == 1
    user = tasks["payload"][0]
    assert body(user) == {
        "subject": "Usage halved",
        "body": "12 events in 7 days (200 before)\nhttps://console.example.com/users/u%2F1",
        "due": "2026-06-01T12:00:00Z",
    }
    account = made.rows("usage_drop", "on", "acme").filter(action="task")["payload"][0]
    assert body(account)["body"] == "Usage halved within a week\n12 events in 7 days (200 before)"


def test_a_key_is_of_one_firing_one_target_and_one_action(made: Firing) -> None:
    """The same of a repeated run, another one of every other firing."""
    made.link("hubspot", "companies", ("acme", "11"))
    made.link("salesforce", "Account", ("acme", "001"))
    first = made.rows("usage_drop", "on", "acme", "other")
    assert made.rows("usage_drop", "on", "acme", "other")["key"].to_list() == first["key"].to_list()
    later = made.rows("usage_drop", "on", "acme", "other", episode=BEGIN + timedelta(microseconds=1))
    off = made.rows("usage_drop", "off", "acme", "other")
    keys = [*first["key"], *later["key"], *off["key"]]
    assert len(set(keys)) == len(keys) == 2 * first.height + off.height


def test_many_rows_take_little_time(made: Firing) -> None:
    ids = [f"a{number}" for number in range(5_000)]
    made.link("hubspot", "companies", *((one, f"r{one}") for one in ids))
    begun = time.process_time()  # of this process alone: the machine may be busy
    rows = made.rows("usage_drop", "on", *ids)
    assert rows.height == 20_000
    assert rows["key"].n_unique() == 20_000
    assert time.process_time() - begun < 3


SILENT = """
metrics: {account: {week: {count: "*", window: 7d}}}
signals:
  silent:
    entity: account
    when: "week RULE"
    actions: [webhook: {url: "https://hooks.example.com"}]
    clear_actions: [webhook: {url: "https://hooks.example.com"}]
"""


def test_what_a_replaced_run_told_somebody_is_taken_back(tmp_path: Path) -> None:
    """By every run at that instant in which the signal is not on, and by none in which it is."""
    folder = Folder(tmp_path)
    folder.tell([*group("u", "acme", days=20), *group("v", "other", days=20)])
    begun = NOW + timedelta(days=1)
    folder.means(SILENT.replace("RULE", "> 9"))
    folder.run(NOW)
    told: list[list[tuple[str, str, str]]] = []
    for rule in ("= 0", "> 9", "> 9", "= 0"):
        folder.means(SILENT.replace("RULE", rule))
        folder.run(begun)
        with folder.open() as workspace:
            found = workspace.state.deliveries().sort("external_id", pl.col("phase") == "off")
            told.append(found.select("external_id", "phase", "episode").rows())
            keys = found.filter(external_id="acme", phase="on")["key"].to_list()
            workspace.state.note_attempts(keys, begun)
    episode = "2026-07-01T12:00:00.000000Z"
    on = [("acme", "on", episode)]
    both, back = [*on, ("other", "on", episode)], [*on, ("acme", "off", episode)]
    assert told == [both, back, back, both]


DOCS = Path(__file__).parents[2] / "docs" / "signals.md"


def block(language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```$", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_page_shows_the_body_as_it_is(made: Firing) -> None:
    (payload,) = made.rows("usage_drop", "on", "acme").filter(action="webhook")["payload"]
    assert list(body(block("json"))) == list(body(payload))


def test_the_page_s_receiver_knows_what_is_genuine_and_what_is_new(made: Firing) -> None:
    namespace: dict[str, Any] = {}
    exec(block("python"), namespace)
    receive = namespace["receive"]
    (payload,) = made.rows("usage_drop", "on", "acme").filter(action="webhook")["payload"]
    sent = payload.encode()
    headers = {"X-Engage-Signature": signature(b"s3cret", sent)}
    with closing(sqlite3.connect(":memory:")) as database:
        assert [receive(database, "s3cret", headers, sent) for _ in range(3)] == [204] * 3
        assert receive(database, "other", headers, sent) == 401
        assert receive(database, "s3cret", headers, sent + b" ") == 401
        assert receive(database, "s3cret", {}, sent) == 401
        assert database.execute("SELECT * FROM alert").fetchall() == [("acme", "usage_drop", "on")]
