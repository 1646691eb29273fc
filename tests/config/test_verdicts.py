"""The verdicts after the user types: rules read only what comes before them, and their shapes are checked."""

from pathlib import Path

import pytest

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
  account: {monotonic: true, steps: [{name: Trial, when: "days_to_renewal < 9"}, {name: won, when: "active_share > 0"}]}
health:
  user: {default: {good: ["stage = 'new'"]}, precedence: bad_first, grace: 14d, confirm: 2}
  account: {stages: {Trial: {bad: ["not active"]}}}
scores:
  engagement: {entity: user, kind: weighted, weights: {"report_*": 10, login: 0}}
  fit: {entity: user, kind: rules, rules: [{name: a, when: "health = 'good' and scores.engagement_trend > 0"}]}
  adoption: {entity: account, kind: rules, rules: [{name: a, when: "scores.engagement_sum > scores.engagement"}]}
segments:
  keen: {entity: user, where: "scores.fit > 50 and scores.fit_band = 'high' and lapsed_influencer is not true"}
  keen_power: {entity: user, where: "segments.keen and types.power and primary_user_type = 'power'"}
signals:
  up: {entity: user, when: segments.keen_power, actions: [{field: {connector: hubspot, field: f, value: 1}}]}
  upper: {entity: user, when: signals.up, cooldown: 1d, clear_actions: [{crm_task: call}]}
"""


def test_rules_read_all_that_comes_before_them(tmp_path: Path) -> None:
    model = loaded(tmp_path, model=EVERYTHING, hubspot=HUBSPOT).model
    assert model.options["stage"] == ("new", "trial", "won")
    assert model.options["segments"] == ("keen", "keen_power")


@pytest.mark.parametrize(("model", "names"), mistakes("reach"))
def test_rules_read_nothing_else(tmp_path: Path, model: str, names: list[str]) -> None:
    (problem,) = refused(tmp_path, model=model, hubspot=HUBSPOT)
    assert f"unknown name {names[0]}" in problem


@pytest.mark.parametrize(("model", "expected"), mistakes("verdicts"))
def test_mistakes(tmp_path: Path, model: str, expected: list[str]) -> None:
    assert refused(tmp_path, model=model, hubspot=HUBSPOT) == [f"config/model.yaml:{problem}" for problem in expected]
