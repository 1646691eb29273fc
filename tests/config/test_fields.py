"""What a field map may name, and constants and templates beside it; mistakes stand in mistakes/connector.txt."""

from pathlib import Path

import pytest

from engage_sync.config.fields import template
from engage_sync.core.definitions import ManagedField, OnDrift, ValueType
from tests.config.projects import HUBSPOT, loaded

MODEL = """
stages: {user: [{name: New, when: events > 1}], account: [{name: Trial, when: users > 1}]}
scores:
  use: {entity: user, kind: weighted, weights: {a: 1}}
  fit: {entity: account, kind: rules, rules: [{name: a, when: users > 1}]}
segments: {Keen: {entity: user, where: events > 1}, big: {entity: account, where: users > 1}}
signals: {up: {entity: user, when: events > 1}, down: {entity: account, when: users > 1}}
"""
N, B, S, M = ValueType.NUMBER, ValueType.BOOLEAN, ValueType.SELECT, ValueType.MULTISELECT
BANDS = ("high", "medium", "low", "minimal")


def managed(root: Path, where: str, write: str, model: str = MODEL) -> tuple[ManagedField, ...]:
    """Give the fields of contacts or companies that a field map in flow style makes."""
    match = "{email: email}" if where == "contacts" else "{domain: domain}"
    text = HUBSPOT.replace(f"match: {match}", f"match: {match}, write: {write}")
    users, accounts = loaded(root, model=model, hubspot=text).connectors[0].objects
    return (users if where == "contacts" else accounts).write


@pytest.mark.parametrize(
    ("where", "source", "kind", "options"),
    [
        ("contacts", "user_types", M, ("power", "influencer", "active", "inactive", "zombie")),
        ("contacts", "primary_user_type", S, ("power", "influencer", "active", "inactive", "zombie")),
        ("contacts", "lapsed_influencer", B, ()),
        ("contacts", "health", S, ("good", "normal", "bad")),
        ("contacts", "stage", S, ("new",)),
        ("companies", "stage", S, ("trial",)),
        ("contacts", "scores.use", N, ()),
        ("contacts", "scores.use_band", S, BANDS),
        ("contacts", "scores.use_trend", N, ()),
        ("contacts", "scores.use_heat", S, ("hot", "steady", "cold")),
        ("companies", "scores.use", N, ()),
        ("companies", "scores.use_sum", N, ()),
        ("companies", "scores.use_heat", S, ("hot", "steady", "cold")),
        ("companies", "scores.fit_band", S, BANDS),
        ("contacts", "segments", M, ("keen",)),
        ("companies", "segments", M, ("big",)),
        ("contacts", "segments.Keen", B, ()),
        ("contacts", "signals", M, ("up",)),
        ("companies", "signals.down", B, ()),
        ("contacts", "reasons", ValueType.LONG_TEXT, ()),
        ("companies", "last_active_at", ValueType.DATETIME, ()),
        ("companies", "active_users", N, ()),
        ("companies", "seat_use", N, ()),
        ("companies", "mrr", N, ()),
        ("companies", "renewal_date", ValueType.DATE, ()),
        ("contacts", "mrr", N, ()),
        ("contacts", "renewal_date", ValueType.DATE, ()),
        ("contacts", "external_id", ValueType.TEXT, ()),
        ("companies", "link", ValueType.URL, ()),
        ("companies", "as_of", ValueType.DATETIME, ()),
    ],
)
def test_every_value_of_the_contract(
    tmp_path: Path, where: str, source: str, kind: ValueType, options: tuple[str, ...]
) -> None:
    assert managed(tmp_path, where, f"{{f: {source}}}") == (ManagedField("f", source, kind, options=options),)


def test_reasons_may_be_text(tmp_path: Path) -> None:
    (field,) = managed(tmp_path, "contacts", "{f: {from: reasons, type: text}}")
    assert field.type is ValueType.TEXT


def test_a_declared_renewal_date_keeps_its_type(tmp_path: Path) -> None:
    model = "properties: {account: {renewal_date: {from: traits.r, type: datetime}}}"
    (field,) = managed(tmp_path, "companies", "{f: renewal_date}", model)
    assert field.type is ValueType.DATETIME


@pytest.mark.parametrize(
    ("written", "text", "kind", "options"),
    [
        ("{value: engage-sync}", "engage-sync", ValueType.TEXT, ()),
        ("{value: events}", "events", ValueType.TEXT, ()),
        ("{value: true}", "true", B, ()),
        ("{value: 5.0}", "5", N, ()),
        ("{value: 0.25}", "0.25", N, ()),
        ("{value: '5'}", "5", ValueType.TEXT, ()),
        ("{value: 5, type: text}", "5", ValueType.TEXT, ()),
        ("{value: '5', type: number}", "5", N, ()),
        ("{value: Gold, type: select}", "Gold", S, ("Gold",)),
        ("{value: 2026-06-01, type: date}", "2026-06-01", ValueType.DATE, ()),
        ("{value: https://x.example, type: url}", "https://x.example", ValueType.URL, ()),
    ],
)
def test_constants(tmp_path: Path, written: str, text: str, kind: ValueType, options: tuple[str, ...]) -> None:
    assert managed(tmp_path, "contacts", f"{{f: {written}}}") == (
        ManagedField("f", text, kind, options=options, parts=(text,)),
    )


def test_a_template_is_taken_apart(tmp_path: Path) -> None:
    written = "{template: '{name}: {stage}, in {segments}', on_drift: respect, type: long_text}"
    assert managed(tmp_path, "contacts", f"{{f: {written}}}") == (
        ManagedField(
            "f",
            "{name}: {stage}, in {segments}",
            ValueType.LONG_TEXT,
            OnDrift.RESPECT,
            parts=("", "name", ": ", "stage", ", in ", "segments", ""),
        ),
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain", ("plain",)),
        ("{name}", ("", "name", "")),
        ("{ name }{stage}", ("", "name", "", "stage", "")),
        ("a {{name}} b", ("a {name} b",)),
        ("{{{name}}}", ("{", "name", "}")),
        ("{scores.use_band}%", ("", "scores.use_band", "%")),
        ("{{}}", ("{}",)),
    ],
)
def test_braces(text: str, parts: tuple[str, ...]) -> None:
    assert template(text) == parts


@pytest.mark.parametrize(("text", "brace"), [("{name", "{"), ("name}", "}"), ("{na{me}", "{"), ("{{name}", "}")])
def test_a_brace_alone_is_refused(text: str, brace: str) -> None:
    with pytest.raises(ValueError, match=f"a `[{brace}]` stands alone in the template"):
        template(text)
