"""Clashes, unknown names and wrong shapes in `config/model.yaml`, each with its line."""

from pathlib import Path

import pytest

from engage_sync.core.definitions import Entity, MetricKind, ValueType
from tests.config.projects import HUBSPOT, loaded, mistakes, refused


def problems(root: Path, model: str) -> list[str]:
    found = refused(root, model=model, hubspot=HUBSPOT)
    assert all(line.startswith("config/model.yaml:") for line in found)
    return [line.removeprefix("config/model.yaml:") for line in found]


@pytest.mark.parametrize(
    ("text", "kind", "events", "value"),
    [
        ('{count: "report_*"}', MetricKind.COUNT, "report_*", None),
        ('{active_days: "*"}', MetricKind.ACTIVE_DAYS, "*", None),
        ("{first: login}", MetricKind.FIRST, "login", None),
        ("{last: login}", MetricKind.LAST, "login", None),
        ("{distinct: event}", MetricKind.DISTINCT, "*", "event"),
        ('{distinct: properties.area, event: "report_*"}', MetricKind.DISTINCT, "report_*", "properties.area"),
        ("{sum: properties.amount, event: purchase}", MetricKind.SUM, "purchase", "properties.amount"),
        ("{min: properties.a.b}", MetricKind.MIN, "*", "properties.a.b"),
        ("{max: properties.amount}", MetricKind.MAX, "*", "properties.amount"),
        ("{avg: properties.amount}", MetricKind.AVG, "*", "properties.amount"),
        ('{active_users: "*"}', MetricKind.ACTIVE_USERS, "*", None),
    ],
)
def test_kinds_of_metric(tmp_path: Path, text: str, kind: MetricKind, events: str, value: str | None) -> None:
    metric = loaded(tmp_path, model=f"metrics: {{account: {{m: {text}}}}}").model.metrics[0]
    assert (metric.kind, metric.events, metric.value, metric.entity) == (kind, events, value, Entity.ACCOUNT)


def test_names_that_the_frames_use_may_be_declared(tmp_path: Path) -> None:
    model = "properties: {user: {email: traits.work_email, name: traits.nick, created_at: traits.c, active: traits.a}}"
    assert [item.name for item in loaded(tmp_path, model=model).model.properties] == [
        "email",
        "name",
        "created_at",
        "active",
    ]


def test_paths_of_properties(tmp_path: Path) -> None:
    model = "properties: {user: {a: traits.plan.name, b: traits.Plan Name, c: crm.hubspot.hs_a.b}}"
    found = loaded(tmp_path, model=model, hubspot=HUBSPOT).model.properties
    assert [(item.connector, item.path) for item in found] == [
        (None, "plan.name"),
        (None, "Plan Name"),
        ("hubspot", "hs_a.b"),
    ]


def test_the_rule_of_influencers_reads_metrics_built_ins_properties_and_days(tmp_path: Path) -> None:
    model = """
properties: {user: {since: {from: traits.since, type: date}}}
metrics: {user: {n: {count: x}}}
user_types: {influencer: {where: "n > 1 and events > 1 and days_to_since < 0 and since > '2026-01-01' and mrr > 0"}}
"""
    rule = loaded(tmp_path, model=model).model.influencer.where
    assert rule is not None
    assert rule.names == {"n", "events", "days_to_since", "since", "mrr"}


@pytest.mark.parametrize(("model", "expected"), mistakes("model"))
def test_mistakes(tmp_path: Path, model: str, expected: list[str]) -> None:
    assert problems(tmp_path, model) == expected


@pytest.mark.parametrize(
    ("model", "line", "name", "near"),
    [
        (
            "user_types: {influencer: {where: \"titel = 'x'\"}}\nproperties: {user: {title: traits.t}}",
            1,
            "titel",
            "title",
        ),
        ("deactivated: evnts > 1\nproperties: {user: {vents: traits.t}}", 1, "evnts", "vents"),
        (
            "metrics:\n  user:\n    n:\n      count: a\n      where: \"propertes.role = 'x'\"",
            5,
            "propertes.role",
            "properties",
        ),
        ("segments:\n  s:\n    entity: account\n    where: helth = 'bad'", 4, "helth", "health"),
        ("stages: {account: [{name: a, when: active_user > 1}]}", 1, "active_user", "active_users"),
        ("health: {user: {default: {good: [evnts > 1]}}}", 1, "evnts", "events"),
        ("signals: {s: {entity: user, when: types.pwer}}", 1, "types.pwer", "types.power"),
    ],
)
def test_unknown_names_in_rules(tmp_path: Path, model: str, line: int, name: str, near: str) -> None:
    (problem,) = problems(tmp_path, model)
    assert problem.startswith(f"{line}: ")
    assert name in problem
    assert near in problem


def test_a_rule_over_several_lines_is_told_by_its_first(tmp_path: Path) -> None:
    model = "user_types:\n  influencer:\n    where: >-\n      events > 1\n      or evnts > 1\n"
    (problem,) = problems(tmp_path, model)
    assert problem.startswith("3: `where`: ")
    assert "(column 15 of the rule)" in problem


def test_a_declaration_with_a_problem_is_still_known_to_rules(tmp_path: Path) -> None:
    model = """\
properties: {user: {plan: {from: traits.plan, typ: text}}}
metrics: {user: {n: {count: a, windw: 30d}}}
user_types: {power: {measure: n}, influencer: {where: "plan = 'pro' and n > 3"}}
scores: {s: {entity: user, kind: rules, rles: []}}
segments: {g: {entity: user, where: "scores.s > 50 and scores.s_band = 'high'"}}
"""
    assert problems(tmp_path, model) == [
        "1: unknown key `typ`; did you mean `type`?",
        "2: unknown key `windw`; did you mean `window`?",
        "4: unknown key `rles`; did you mean `rules`?",
    ]


def test_a_broken_model_is_not_held_against_the_connectors(tmp_path: Path) -> None:
    hubspot = HUBSPOT.replace("match: {email: email}", "match: {email: email}, write: {a: my_metric}")
    assert refused(tmp_path, model="metrics: [", hubspot=hubspot) == [
        "config/model.yaml:1: not valid YAML: expected the node content, but found '<stream end>'"
    ]


def test_crm_properties_need_an_object_of_the_entity_and_no_cycle(tmp_path: Path) -> None:
    hubspot = HUBSPOT.replace("match: {email: email}", "match: {email: email}, write: {engage_t: primary_user_type}")
    hubspot = hubspot.replace("  companies: {entity: account, match: {domain: domain}}\n", "")
    model = "properties:\n  user: {a: crm.hubspot.engage_t}\n  account: {b: crm.hubspot.industry}\n"
    assert refused(tmp_path, model=model, hubspot=hubspot) == [
        "config/model.yaml:2: `engage_t` is written by connectors/hubspot.yaml; reading it back here would be a cycle",
        "config/model.yaml:3: connectors/hubspot.yaml has no object with `entity: account` to read `industry` from",
    ]


def test_text_may_stand_for_money(tmp_path: Path) -> None:
    model = "properties: {account: {mrr: traits.mrr, renewal_date: traits.r}}"
    assert [item.type for item in loaded(tmp_path, model=model).model.properties] == [ValueType.TEXT, ValueType.TEXT]


def test_a_project_without_connectors_may_keep_its_crm_properties(tmp_path: Path) -> None:
    model = "properties: {user: {a: crm.hubspot.jobtitle}}\nuser_types: {influencer: {connectors: [hubspot]}}"
    assert loaded(tmp_path, model=model).model.properties[0].connector == "hubspot"
