"""What a run keeps of its changes, what a plan tells of them beforehand, and reading single fields out of documents."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage_sync.core.assess import REMEMBERED
from engage_sync.core.definitions import Entity
from engage_sync.sync import compute, cycle
from engage_sync.sync.documents import read_fields
from engage_sync.sync.explain import explain
from engage_sync.sync.moves import moved, switching
from tests.oracle.folder import Folder
from tests.oracle.telling import NOW, group, track
from tests.sync.receiver import receiver

MODEL = """
properties: {account: {mrr: {from: traits.mrr, type: number}}}
metrics: {account: {week: {count: "*", window: 7d}}}
stages: {account: [{name: Customer, when: "mrr > 0", why: Pays}]}
health: {account: {default: {good: ["week >= 2"], bad: [{when: "week = 0", why: Nobody came this week}]}}}
scores: {use: {entity: user, kind: weighted, weights: {"*": 1}, window: 7d}}
segments: {at_risk: {entity: account, where: "health = 'bad' and mrr > 10"}}
signals: {silent: {entity: account, when: "week = 0"}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.means(MODEL)
    made.tell([*group("u", "acme", days=20, mrr=50), *track("u", "go", days=1, times=3)])
    return made


def test_changes_are_kept_with_their_reasons(folder: Folder) -> None:
    later = NOW + timedelta(days=9)
    folder.run(NOW, later)
    with folder.open() as workspace:
        kept = workspace.state.transitions("account", "acme")
        told = {
            (kind, name): (before, after, json.loads(reasons))
            for kind, name, before, after, reasons in kept.select("kind", "name", "before", "after", "reasons").rows()
        }
    assert told == {
        ("health", ""): ("good", "bad", ["Nobody came this week (week 0)"]),
        ("segment", "at_risk"): (None, "in", ['health is "bad" and mrr above 10 (health bad, mrr 50)']),
        ("signal", "silent"): (None, "on", ["week is 0 (week 0)"]),
        ("band", "use"): ("high", "minimal", ["use score is 0"]),
    }


def test_a_former_id_and_a_rest_are_no_new_beginning(tmp_path: Path) -> None:
    """Neither an alias nor a time without verdicts makes a signal fire again within its cooldown."""
    folder = Folder(tmp_path, now=NOW + timedelta(days=40))
    folder.means("signals: {seen: {entity: user, when: events > 0, cooldown: 30d}}")
    folder.tell(track("c", "go", days=1))
    folder.run(NOW)
    folder.tell(
        [{"type": "alias", "previousId": "c", "userId": "d", "timestamp": (NOW + timedelta(days=1)).isoformat()}]
    )
    gone = {"type": "identify", "userId": "d", "timestamp": (NOW + timedelta(days=3)).isoformat()}
    folder.tell([{**gone, "traits": {"deactivatedAt": "yes"}}])
    back = {**gone, "timestamp": (NOW + timedelta(days=5)).isoformat(), "traits": {"deactivatedAt": None}}
    folder.tell([back])
    shown = folder.run(*(NOW + timedelta(days=days) for days in (2, 4, 6, 31)))
    assert [users.get("d", {}).get("signals") for users, _ in shown] == [["seen"], None, [], []]
    with folder.open() as workspace:
        computed = compute.compute(workspace, NOW + timedelta(days=29, hours=23))
        assert switching(computed) == {}


def test_a_metric_called_count_keeps_its_value_beside_distinct_ones(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.means("metrics: {user: {count: {count: '*'}, kinds: {distinct: event}}}")
    folder.tell([*track("u", "a", times=2), *track("u", "b")])
    ((users, _),) = folder.run(NOW)
    assert (users["u"]["metrics"]["count"], users["u"]["metrics"]["kinds"]) == (3, 2)


def test_nothing_is_kept_of_what_did_not_change(folder: Folder) -> None:
    folder.run(NOW, NOW + timedelta(seconds=1))
    with folder.open() as workspace:
        assert workspace.state.transitions("account", "acme").is_empty()


def test_a_changed_model_is_seen_before_anything_is_written(folder: Folder) -> None:
    folder.run(NOW)
    folder.means(MODEL.replace("week >= 2", "week >= 200").replace("week = 0", "week < 100"))
    with folder.open() as workspace:
        computed = compute.compute(workspace, NOW + timedelta(minutes=1))
        found = {(one.kind, one.name): one for one in moved(workspace, computed)}
        assert switching(computed) == {"silent": {"on": 1, "off": 0}}
    assert (found["health", ""].changed, found["health", ""].of) == (1, 1)
    assert found["health", ""].commonest == ("good", "bad")
    assert found["health", ""].most
    assert found["segment", "at_risk"].commonest == (None, "in")


def test_explain_tells_what_changed_since_the_last_run(folder: Folder) -> None:
    folder.run(NOW, NOW + timedelta(days=9))
    with folder.open() as workspace:
        found = explain(workspace, Entity.ACCOUNT, "acme", None)
    changes = {change.name: change for change in found.changes}
    assert (changes["health"].before, changes["health"].after) == ("good", "bad")
    assert changes["health"].why == ("Nobody came this week (week 0)",)
    assert (changes["week"].before, changes["week"].after) == (3, 0)
    nodes = {node.verdict: node for node in found.tree}
    assert nodes["stage"].value == "Customer"
    assert [(rule.part, rule.matched, rule.values) for rule in nodes["health"].rules] == [
        ("good", False, {"week": 0}),
        ("bad", True, {"week": 0}),
    ]


def test_explain_tells_what_signals_asked_for(folder: Folder) -> None:
    hook = 'when: "week = 0", actions: [{webhook: {url: "https://hooks.example"}}]}'
    folder.means(MODEL.replace('when: "week = 0"}}', hook + "}"))
    folder.run(NOW, NOW + timedelta(days=9))
    with folder.open() as workspace:
        (asked,) = explain(workspace, Entity.ACCOUNT, "acme", None).deliveries
    assert (asked["signal"], asked["phase"], asked["action"], asked["status"]) == ("silent", "on", "webhook", "pending")


def test_a_run_that_is_repeated_changes_nothing(folder: Folder) -> None:
    later = NOW + timedelta(days=9)
    folder.run(NOW, later)
    with folder.open() as workspace:
        once = workspace.state.transitions("account", "acme").drop("run")
        cycle.recompute(workspace, later, clock=lambda: later)
        again = workspace.state.transitions("account", "acme").drop("run")
    assert once.equals(again)
    assert once.height > 0


TEXT = st.text(max_size=8)
NAMES = st.lists(st.sampled_from(["a", "b_2", "Ünï"]), max_size=3)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "hostile": st.one_of(TEXT, st.just('","stage":"x"'), st.just('"stage":null')),
                "stage": st.one_of(st.none(), TEXT, st.just('quo"te\\'), st.just('{"stage":1}')),
                "health": st.sampled_from([None, "good", "bad"]),
                "health_raw": st.none(),
                "health_runs": st.one_of(st.none(), st.integers(-5, 5)),
                "signal_marks": st.lists(
                    st.fixed_dictionaries(
                        {"name": st.sampled_from(["s", "t"]), "on": st.booleans(), "fired": st.integers(0, 2**52)}
                    ),
                    max_size=2,
                ),
            }
        ),
        max_size=4,
    )
)
def test_fields_are_cut_out_of_documents_as_json_reads_them(rows: list[dict[str, object]]) -> None:
    texts = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]
    documents = pl.DataFrame(
        {"external_id": [str(place) for place in range(len(rows))], "document": texts},
        schema={"external_id": pl.String, "document": pl.String},
    )
    read = read_fields(documents, REMEMBERED)
    for name in ("stage", "health", "health_raw", "health_runs"):
        assert read[name].to_list() == [row[name] for row in rows]
    marks = read["signal_marks"].list.eval(pl.element().struct.field("name")).to_list()
    assert marks == [[mark["name"] for mark in row["signal_marks"]] for row in rows]  # type: ignore[attr-defined]


def test_a_project_without_a_crm_calls_its_webhooks(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with receiver() as inbox:
        hook = f"{{webhook: {{url: '{inbox.url}', secret: s3cret}}}}"
        folder.means(f"signals: {{seen: {{entity: user, when: events > 0, actions: [{hook}]}}}}")
        folder.tell(track("u", "go"))
        with folder.open() as workspace:
            first = cycle.sync(workspace, None, NOW, clock=lambda: NOW)
            again = cycle.sync(workspace, None, NOW + timedelta(hours=1), clock=lambda: NOW)
    assert (first.exit, first.connectors, first.signals["delivered"]) == (0, {}, 1)
    assert (again.exit, again.signals["delivered"]) == (0, 0)
    (call,) = inbox.got
    signed = hmac.new(b"s3cret", call.body, hashlib.sha256).hexdigest()
    assert call.headers["X-Engage-Signature"] == f"sha256={signed}"
    assert json.loads(call.body)["idempotency_key"] == call.key
