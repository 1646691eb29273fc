"""The dashboard and the alert rules name metrics, labels and values that the collector has: a typing error in them
shows as an empty panel, or as an alert that never comes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from engage_sync.core.plan import Bucket
from engage_sync.server.metrics import Metrics

from .views import FULL

OPS = Path(__file__).parents[2] / "ops"
DASHBOARD = json.loads((OPS / "grafana" / "engage-sync.json").read_text())
GROUPS = yaml.safe_load((OPS / "prometheus" / "alerts.yaml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
TARGET = frozenset({"job", "instance"})
"""The labels that Prometheus gives every sample of a target."""
VALUES = {
    "which": {"limit", "used", "left"},
    "status": {"ok", "partial", "held", "failed", "unfinished", "delivered", "pending", "skipped", "expired"},
    "outcome": {"ok", "throttled", "refused", "unavailable", "unanswered", "kept", "overwritten"},
    "kind": {"read", "search", "write", "login"},
    "bucket": {bucket.value for bucket in Bucket},
}
OF_A_PROCESS = frozenset({"up", "build_info", "start_timestamp_seconds", "leader"})
"""What each daemon tells of itself: of two, two."""
SELECTOR = re.compile(r"\b(engage_sync_\w+)\s*(?:\{([^}]*)\})?")
MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def collected() -> Mapping[str, frozenset[str]]:
    """Give the labels of every metric, of a view that has all of them."""
    families = text_string_to_metric_families(Metrics(lambda: FULL).text(None)[0].decode())
    return {sample.name: frozenset(sample.labels) for family in families for sample in family.samples}


METRICS = collected()


def panels(found: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    for panel in found:
        yield panel
        yield from panels(panel.get("panels", []))  # type: ignore[arg-type]


PANELS = [panel for panel in panels(DASHBOARD["panels"]) if panel["type"] != "row"]
EXPRESSIONS = {
    **{f"rule {rule['alert']}": (rule["expr"], json.dumps(rule["annotations"])) for rule in RULES},
    **{
        f"panel {panel['title']} {target['refId']}": (target["expr"], target["legendFormat"])
        for panel in PANELS
        for target in panel["targets"]  # type: ignore[attr-defined]
    },
}


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_what_is_asked_for_is_there(where: str) -> None:
    expression, words = EXPRESSIONS[where]
    used = SELECTOR.findall(expression)
    assert used, "it asks for nothing of ours"
    labels = set(TARGET)
    for name, matchers in used:
        assert name in METRICS, f"there is no metric {name}"
        labels |= METRICS[name]
        for matcher in filter(str.strip, re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", matchers)):
            read = MATCHER.fullmatch(matcher)
            assert read, f"{matcher!r} is no matcher"
            label, _, value = read.groups()
            assert label in METRICS[name] | TARGET, f"{name} has no label {label}"
            known = VALUES.get(label)
            assert known is None or set(value.split("|")) <= known, f"{label} is never {value}"
    grouped = {label.strip() for group in GROUPING.findall(expression) for label in group.split(",") if label.strip()}
    assert grouped <= labels, f"no metric here has {grouped - labels}"
    named = {name for form in (r"\$labels\.(\w+)", r"\{\{\s*(\w+)\s*\}\}") for name in re.findall(form, words)}
    assert named <= labels, f"no metric here has {named - labels}"
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_labels_that_are_summed_away_are_not_named(where: str) -> None:
    """`sum by (connector)` leaves the connector: a legend with another label would be empty."""
    expression, words = EXPRESSIONS[where]
    groups = [set(re.split(r"[,\s]+", group.strip())) for group in re.findall(r"\bby\s*\(([^)]*)\)", expression)]
    named = {name for form in (r"\$labels\.(\w+)", r"\{\{\s*(\w+)\s*\}\}") for name in re.findall(form, words)}
    assert all(named <= group for group in groups), words


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_what_two_daemons_tell_of_one_project_is_counted_once(where: str) -> None:
    """The standby tells the leader's numbers, too: each is the larger of both before anything is made of it."""
    expression, _ = EXPRESSIONS[where]
    once = r"max(?: without \(instance\) | by \([\w, ]+\) )?\((?:(?:rate|increase)\()?"
    found = re.findall(rf"({once})?\bengage_sync_(\w+)", expression)
    assert {name for taken_once, name in found if not taken_once} <= OF_A_PROCESS


def test_every_rule_says_what_to_do() -> None:
    for rule in RULES:
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0m"))
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))


def test_every_metric_is_used() -> None:
    """What nobody looks at need not be told: all but what names the process."""
    used = {name for expression, _ in EXPRESSIONS.values() for name, _ in SELECTOR.findall(expression)}
    beside = {"build_info", "start_timestamp_seconds", "leader", "recorded_timestamp_seconds"}
    assert {name.removeprefix("engage_sync_") for name in METRICS.keys() - used} == beside


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    ids = [panel["id"] for panel in panels(DASHBOARD["panels"])]
    assert len(ids) == len(set(ids))
    assert all({"x", "y", "w", "h"} == panel["gridPos"].keys() for panel in panels(DASHBOARD["panels"]))
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in PANELS)  # type: ignore[index]
    for variable in DASHBOARD["templating"]["list"][1:]:
        name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
        assert label in METRICS[name] | TARGET
    taken = [
        (x, y)
        for panel in panels(DASHBOARD["panels"])
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])  # type: ignore[index]
        for y in range(place["y"], place["y"] + place["h"])  # type: ignore[index]
    ]
    assert len(taken) == len(set(taken)), "panels lie over one another"
    assert max(x for x, _ in taken) < 24
