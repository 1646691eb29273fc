"""The verdicts after the user types: rules read only what comes before them, and their shapes are checked."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engage_sync.core.definitions import Entity
from engage_sync.core.verdict_rules import (
    BANDS,
    Band,
    FieldAction,
    RuleScore,
    TaskAction,
    WebhookAction,
    WeightedScore,
)
from tests.config.projects import HUBSPOT, loaded, mistakes, refused

EVERYTHING = """
properties:
  user: {plan: traits.plan}
  account: {mrr: {from: traits.mrr, type: number}, renewal: {from: traits.r, type: date}}
metrics:
  user: {n: {count: a}}
  account: {n: {count: a}}
stages:
  user: [{name: new, when: "types.active and account.mrr > 0 and account.users_power > 1 and account.n > 0"}]
  account:
    monotonic: true
    steps: [{name: Trial, when: "days_to_renewal < 9"}, {name: won, when: "active_share > 0", why: They use it.}]
health:
  user:
    default: {good: ["stage = 'new'", {when: events > 1, why: Somebody is there.}]}
    precedence: bad_first
    grace: 14d
    confirm: 2
  account: {stages: {Trial: {bad: ["not active"]}}}
scores:
  engagement: {entity: user, kind: weighted, weights: {"report_*": 10, login: 0}}
  fit:
    entity: user
    kind: rules
    rules: [{name: a, when: "health = 'good' and scores.engagement_trend > 0", weight: 0.30, why: Because.}]
  adoption: {entity: account, kind: rules, rules: [{name: a, when: "scores.engagement_sum > scores.engagement"}]}
segments:
  keen: {entity: user, where: "scores.fit > 50 and scores.fit_band = 'high' and lapsed_influencer is not true"}
  keen_power: {entity: user, where: "segments.keen and types.power and primary_user_type = 'power'"}
signals:
  up:
    entity: user
    when: segments.keen_power
    why: Going up.
    actions: [{field: {connector: hubspot, field: f, value: 1}}]
    clear_actions: [{field: {connector: hubspot, field: f, value: null}}]
  upper:
    entity: user
    when: signals.up
    cooldown: 1d
    actions: [{crm_task: call}, {webhook: {url: https://x.example/a, secret: "${HOOK}"}}]
"""


def test_rules_read_all_that_comes_before_them(tmp_path: Path) -> None:
    model = loaded(tmp_path, model=EVERYTHING, hubspot=HUBSPOT).model
    assert [step.name for step in model.stages[Entity.ACCOUNT].steps] == ["Trial", "won"]
    assert [segment.name for segment in model.segments] == ["keen", "keen_power"]


def test_stages_are_built(tmp_path: Path) -> None:
    stages = loaded(tmp_path, model=EVERYTHING, hubspot=HUBSPOT).model.stages
    assert (stages[Entity.USER].monotonic, stages[Entity.ACCOUNT].monotonic) == (False, True)
    assert [(step.name, step.when.text, step.why) for step in stages[Entity.ACCOUNT].steps] == [
        ("Trial", "days_to_renewal < 9", None),
        ("won", "active_share > 0", "They use it."),
    ]
    assert stages[Entity.ACCOUNT].steps[0].when.names == {"days_to_renewal"}


def test_health_is_built(tmp_path: Path) -> None:
    health = loaded(tmp_path, model=EVERYTHING, hubspot=HUBSPOT).model.health
    user, account = health[Entity.USER], health[Entity.ACCOUNT]
    assert user.default is not None
    assert [(rule.name, rule.when.text, rule.why) for rule in user.default.good] == [
        ("stage = 'new'", "stage = 'new'", None),
        ("events > 1", "events > 1", "Somebody is there."),
    ]
    assert (user.bad_first, user.grace, user.confirm, user.stages) == (True, timedelta(days=14), 2, {})
    assert (account.default, account.bad_first, account.grace, account.confirm) == (None, False, timedelta(0), 1)
    assert [rule.name for rule in account.stages["Trial"].bad] == ["not active"]
    assert account.stages["Trial"].good == ()


def test_no_health_of_an_entity_is_none(tmp_path: Path) -> None:
    model = loaded(tmp_path, model="health: {user: {default: {good: [events > 1]}}}").model
    assert list(model.health) == [Entity.USER]
    assert model.stages == {}


def test_scores_are_built(tmp_path: Path) -> None:
    model = loaded(tmp_path, model=EVERYTHING, hubspot=HUBSPOT).model
    assert [score.name for score in model.scores] == ["engagement", "fit", "adoption"]
    engagement, fit, adoption = model.scores
    assert engagement == WeightedScore("engagement", (("report_*", 10), ("login", 0)), timedelta(days=30))
    assert isinstance(fit, RuleScore)
    assert (fit.entity, fit.rules[0].rule.name, fit.rules[0].rule.why, fit.rules[0].weight) == (
        Entity.USER,
        "a",
        "Because.",
        Decimal("0.3"),
    )
    assert isinstance(adoption, RuleScore)
    assert (adoption.entity, adoption.rules[0].weight) == (Entity.ACCOUNT, Decimal(1))


@pytest.mark.parametrize(
    ("weights", "scale", "whole"),
    [
        ("{a: 5, b: 1}", 1, (5, 1)),
        ("{a: 0.5, b: 10, c: 0}", 10, (5, 100, 0)),
        ("{a: 0.1, b: 0.25, c: 3}", 100, (10, 25, 300)),
        ("{a: 2.50}", 10, (25,)),
        ("{a: 1.123456}", 10**6, (1_123_456,)),
        ("{a: 1e-3, b: 0.3}", 1000, (1, 300)),
    ],
)
def test_weights_are_exact_whole_numbers(tmp_path: Path, weights: str, scale: int, whole: tuple[int, ...]) -> None:
    text = f"scores: {{s: {{entity: user, kind: weighted, weights: {weights}, window: 7d}}}}"
    (score,) = loaded(tmp_path, model=text).model.weighted_scores()
    assert (score.scale, tuple(weight for _, weight in score.weights), score.window) == (
        scale,
        whole,
        timedelta(days=7),
    )


def test_the_window_of_a_weighted_score_is_the_activity_window_by_default(tmp_path: Path) -> None:
    text = "activity: {window: 12h}\nscores: {s: {entity: user, kind: weighted, weights: {a: 1}}}"
    assert loaded(tmp_path, model=text).model.weighted_scores()[0].window == timedelta(hours=12)


def test_bands_are_sorted_the_highest_first(tmp_path: Path) -> None:
    model = loaded(tmp_path, model="bands: {low: 0, Top: 90.5, mid: 30}").model
    assert model.bands == (Band("Top", 90.5), Band("mid", 30), Band("low", 0))
    assert loaded(tmp_path, model="").model.bands == BANDS


def test_segments_and_signals_are_built(tmp_path: Path) -> None:
    model = loaded(tmp_path, model=EVERYTHING, hubspot=HUBSPOT).model
    assert [(item.name, item.entity, item.rule.when.text) for item in model.segments_of(Entity.USER)][1] == (
        "keen_power",
        Entity.USER,
        "segments.keen and types.power and primary_user_type = 'power'",
    )
    up, upper = model.signals
    assert (up.name, up.entity, up.cooldown, up.rule.why) == ("up", Entity.USER, timedelta(0), "Going up.")
    assert up.actions == (FieldAction("hubspot", "f", "1"),)
    assert up.clear_actions == (FieldAction("hubspot", "f", None),)
    assert upper.cooldown == timedelta(days=1)
    assert upper.actions == (TaskAction("call"), WebhookAction("https://x.example/a", "${HOOK}"))
    assert "HOOK" not in repr(upper)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("true", "true"),
        ("false", "false"),
        ("5", "5"),
        ("5.0", "5"),
        ("0.5", "0.5"),
        ("1.23456", "1.2346"),
        ("-0.00001", "0"),
        ("1e3", "1000"),
        ("1e300", "1" + "0" * 300),
        ("hot lead", "hot lead"),
        ("'5'", "5"),
        ("null", None),
        ("''", None),
    ],
)
def test_a_value_of_an_action_is_canonical_text(tmp_path: Path, written: str, canonical: str | None) -> None:
    action = f"{{field: {{connector: hubspot, field: f, value: {written}}}}}"
    text = f"signals: {{s: {{entity: user, when: events > 1, actions: [{action}]}}}}"
    (signal,) = loaded(tmp_path, model=text, hubspot=HUBSPOT).model.signals
    assert signal.actions == (FieldAction("hubspot", "f", canonical),)


def test_a_sentence_is_one_line(tmp_path: Path) -> None:
    text = "segments:\n  s:\n    entity: user\n    where: events > 1\n    why: |\n      One\n        two.\n"
    assert loaded(tmp_path, model=text).model.segments[0].rule.why == "One two."


@pytest.mark.parametrize(("model", "told"), mistakes("reach"))
def test_rules_read_nothing_else(tmp_path: Path, model: str, told: list[str]) -> None:
    """What is of the other entity, decided later or written below is refused, and why."""
    assert refused(tmp_path, model=model, hubspot=HUBSPOT) == [f"config/model.yaml:{problem}" for problem in told]


@pytest.mark.parametrize(("model", "told"), mistakes("never"))
def test_rules_that_can_never_hold(tmp_path: Path, model: str, told: list[str]) -> None:
    assert refused(tmp_path, model=model, hubspot=HUBSPOT) == [f"config/model.yaml:{problem}" for problem in told]


def test_rules_that_could_hold(tmp_path: Path) -> None:
    """Next to what is refused: a stage that a later one always hides, rules that always hold, text in other cases."""
    text = """
stages: {user: [{name: a, when: events > 5}, {name: b, when: events >= 0}]}
health: {user: {default: {good: ["1 = 1"], bad: ["stage = 'b' and stage <> 'c'"]}}}
scores: {s: {entity: user, kind: rules, rules: [{name: r, when: "health in ('good', 'unknown')"}]}}
segments: {g: {entity: user, where: "scores.s = 100 or scores.s = 0 or scores.s_band = 'high' or lower(stage) = 'b'"}}
"""
    assert [segment.name for segment in loaded(tmp_path, model=text).model.segments] == ["g"]


@pytest.mark.parametrize(("model", "expected"), mistakes("verdicts"))
def test_mistakes(tmp_path: Path, model: str, expected: list[str]) -> None:
    assert refused(tmp_path, model=model, hubspot=HUBSPOT) == [f"config/model.yaml:{problem}" for problem in expected]


@pytest.mark.parametrize(
    ("field", "place", "what"),
    [
        (
            "flag",
            7,
            "`flag` is a managed field of connectors/hubspot.yaml, which would write it again; give the signal a ",
        ),
        ("email", 7, "records are matched by `email` in connectors/hubspot.yaml; give the signal another field"),
    ],
)
def test_an_action_writes_no_field_that_is_ours(tmp_path: Path, field: str, place: int, what: str) -> None:
    hubspot = HUBSPOT.replace("match: {email: email}", "match: {email: email}, write: {flag: primary_user_type}")
    text = "signals:\n  s:\n    entity: user\n    when: events > 1\n    actions:\n      - field:\n"
    text += f"          field: {field}\n          connector: hubspot\n          value: x\n"
    (problem,) = refused(tmp_path, model=text, hubspot=hubspot)
    assert problem.startswith(f"config/model.yaml:{place}: {what}")


def test_an_action_needs_an_object_of_the_entity(tmp_path: Path) -> None:
    hubspot = HUBSPOT.replace("  companies: {entity: account, match: {domain: domain}}\n", "")
    action = "{field: {connector: hubspot, field: f, value: x}}"
    text = f"signals: {{s: {{entity: account, when: users > 1, clear_actions: [{action}]}}}}"
    assert refused(tmp_path, model=text, hubspot=hubspot) == [
        "config/model.yaml:1: connectors/hubspot.yaml has no object with `entity: account` to write `f` to"
    ]


def test_a_secret_in_clear_is_not_shown(tmp_path: Path) -> None:
    action = "{webhook: {url: 'https://x.example/hunter1', secret: hunter2}}"
    text = f"signals: {{s: {{entity: user, when: events > 1, actions: [{action}]}}}}"
    model = loaded(tmp_path, model=text, hubspot=HUBSPOT).model
    assert model.signals[0].actions[0].secret == "hunter2"  # type: ignore[union-attr]
    assert "hunter" not in repr(model)
