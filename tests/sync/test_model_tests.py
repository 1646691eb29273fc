"""The model's tests: what is compared with what, and what a failure says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engage_sync.sync.expectations import same
from engage_sync.sync.model_tests import Failure, Result, results_json, run_tests
from engage_sync.sync.wiring import load_project

MODEL = """\
properties:
  user: {title: crm.hubspot.jobtitle, left: traits.left}
  account: {mrr: {from: traits.mrr, type: number}}
deactivated: "left = 'yes'"
user_types: {influencer: {where: "title ilike '%head%'"}}
metrics:
  account: {logins: {count: login, window: 7d}}
stages:
  account: [{name: trial, when: "mrr is null"}, {name: customer, when: "mrr > 0"}]
health:
  account: {default: {good: ["logins >= 2"], bad: ["logins = 0"]}}
scores:
  engagement: {entity: user, kind: weighted, weights: {login: 1}, window: 30d}
segments:
  quiet: {entity: account, where: "logins = 0"}
  paying: {entity: account, where: "mrr > 0"}
signals:
  silence: {entity: account, when: "logins = 0", cooldown: 7d}
tests:
"""
MESSAGES = """
    messages:
      - {type: group, userId: u1, groupId: acme, timestamp: 2026-05-01T00:00:00Z, traits: {mrr: 1200}}
      - {type: track, userId: u1, event: login, timestamp: 2026-05-20T10:00:00Z, messageId: once}
      - {type: track, userId: u1, event: login, timestamp: 2026-05-20T10:00:00Z, messageId: once}
      - {type: identify, userId: gone, timestamp: 2026-05-20T10:00:00Z, traits: {left: "yes"}}
      - {type: track, userId: u1, event: login, timestamp: 2099-05-20T10:00:00Z}
"""
BEGIN = "  - name: NAME\n    as_of: 2026-06-01T00:00:00Z"
CONNECTOR = """\
connector: hubspot
auth: {access_token: "${NOBODY_SETS_THIS}"}
objects:
  contacts: {entity: user, match: {external_id: engage_external_id}, read: [jobtitle]}
"""


def write(root: Path, *tests: str) -> Path:
    for name, text in (
        ("config/engage.yaml", "database: postgresql+psycopg://nobody:${NOBODY_SETS_THIS}@127.0.0.1:1/none\n"),
        ("config/model.yaml", MODEL + "".join(tests)),
        ("connectors/hubspot.yaml", CONNECTOR),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def example(name: str, *lines: str, messages: str = MESSAGES) -> str:
    return BEGIN.replace("NAME", name) + messages + "".join(f"    {line}\n" for line in lines)


PASSING = example(
    "everything",
    "expect:",
    "  users:",
    "    u1: {user_types: [power, active], last_active_at: 2026-05-20T12:00:00+02:00, metrics: {events: 1},",
    "         scores.engagement: 100.0, scores.engagement_band: high, types.influencer: false, accounts: [acme]}",
    "    gone: {user_types: [], primary_user_type: null, scores: {engagement: null}}",
    "  accounts:",
    "    acme: {health: bad, stage: customer, segments: [quiet, paying], signals: [silence], mrr: 1200.0, logins: 0,",
    "           users_by_type: {power: 1}, segments.quiet: true, scores: {engagement: 100}, properties.mrr: 1200}",
)
FAILING = example(
    "nothing",
    "expect:",
    "  users: {nobody: {user_types: [zombie]}, u1: {primary_user_type: zombie, scores: {engagement: 3}}}",
    "  accounts: {acme: {health: good, segments: [paying], logins: 2}}",
    messages=MESSAGES + "      - {type: trak, userId: u1}\n",
)
LINKED = example(
    "linked",
    "crm: {hubspot: {users: {u1: {jobtitle: Head of Ops}}}}",
    "expect: {users: {u1: {user_types: [influencer, power, active], properties.title: Head of Ops}}}",
)
ALONE = example("alone", "expect: {}", messages="\n")


def test_examples_pass_and_fail_with_the_reason(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, PASSING, FAILING, LINKED, ALONE))
    everything, nothing, linked, alone = run_tests(project)
    assert everything.failures == ()
    assert linked.failures == ()
    assert alone.failures == ()
    assert (nothing.name, nothing.file) == ("nothing", "config/model.yaml")
    lines = (tmp_path / "config" / "model.yaml").read_text().splitlines()
    assert lines[(nothing.line or 0) - 1] == "  - name: nothing"
    told = {(one.external_id, one.field): (one.expected, one.got, "; ".join(one.why)) for one in nothing.failures}
    unknown = 'the type "trak" is unknown; did you mean track?'
    assert told[None, "messages.6"] == ("a message", unknown, f"message 6 is refused: {unknown}")
    assert told["nobody", "external_id"] == ("nobody", None, "there is no user 'nobody' among 2")
    asked = "good: `logins >= 2` does not match (logins = 0); bad: `logins = 0` matches (logins = 0)"
    assert told["acme", "health"][:2] == ("good", "bad")
    assert told["acme", "health"][2].endswith(asked)
    assert told["acme", "segments"][:2] == (["paying"], ["paying", "quiet"])
    assert "`logins = 0` matches (logins = 0)" in told["acme", "segments"][2]
    assert told["acme", "logins"][:2] == (2, 0)
    assert told["u1", "primary_user_type"][:2] == ("zombie", "power")
    assert "power: 1 active user has events ≥ 1, within ceil" in told["u1", "primary_user_type"][2]
    assert told["u1", "scores.engagement"][:2] == (3, 100)
    assert "100 × 1 ÷ 1" in told["u1", "scores.engagement"][2]
    assert len(told) == 7


def test_the_answer_of_the_command() -> None:
    failure = Failure("user", "u1", "health", "bad", None, ("because", "so"))
    found: Any = results_json([Result("a", "f.yaml", 3, (failure,)), Result("b", "f.yaml", None, ())])
    assert (found["passed"], found["failed"]) == (1, 1)
    keys = {
        "entity": "user",
        "external_id": "u1",
        "field": "health",
        "expected": "bad",
        "got": None,
        "why": "because; so",
    }
    assert found["tests"] == [
        {"name": "a", "file": "f.yaml", "line": 3, "passed": False, "failures": [keys]},
        {"name": "b", "file": "f.yaml", "line": None, "passed": True, "failures": []},
    ]


@pytest.mark.parametrize(
    ("expected", "got", "equal"),
    [
        (1, 1.0, True),
        (0.1 + 0.2, 0.3, True),
        (0.33, 1 / 3, False),
        (0, 0.0, True),
        (1, True, False),
        (True, True, True),
        (False, 0, False),
        ("5", 5, False),
        (None, None, True),
        (None, 0, False),
        (["b", "a"], ["a", "b"], True),
        (["a"], ["a", "b"], False),
        ([], [], True),
        ("a", ["a"], False),
        ("2026-06-01", "2026-06-01T00:00:00Z", True),
        ("2026-06-01T02:00:00+02:00", "2026-06-01T00:00:00Z", True),
        ("2026-06-01T00:00:00.5Z", "2026-06-01T00:00:00.500Z", True),
        ("2026-06-02", "2026-06-01T00:00:00Z", False),
        ("soon", "2026-06-01T00:00:00Z", False),
        ("2026-06-01", "2026-06-01", True),
    ],
)
def test_what_is_the_same(expected: object, got: object, equal: bool) -> None:
    assert same(expected, got) is equal
