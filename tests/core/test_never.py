"""Rules that can never hold are refused with the nearest right thing, and no other rule is."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import islice, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.expressions import Type, parse
from engage_sync.core.never import Known, refusal
from tests.core.tiny_expressions import NOT, Part, Row, apply, both, compared, either, first, strict, truths

NAMES = {
    **dict.fromkeys(("a", "b", "events", "scores.use", "scores.use_trend", "share"), Type.NUMBER),
    **dict.fromkeys(("plan", "role", "health", "stage"), Type.TEXT),
    **dict.fromkeys(("active", "types.power"), Type.BOOLEAN),
    "renewal_date": Type.DATE,
    "seen": Type.DATETIME,
}
KNOWN = {
    "events": Known(low=0),
    "scores.use": Known(low=0, high=100),
    "scores.use_trend": Known(low=-100, high=100),
    "share": Known(low=0, high=1),
    "health": Known(("good", "normal", "bad", "unknown")),
    "stage": Known(()),
}
BOTH = "can never both hold; did you mean"


@pytest.mark.parametrize(
    ("rule", "column", "what"),
    [
        ("1 = 2", 1, "`1 = 2` is always false, so it can never hold; compare a name with a value, or leave it out"),
        ("false", 1, "`false` is always false, so it can never hold; compare a name with a value, or leave it out"),
        ("1 = null", 1, "`1 = null` is always unknown, so it can never hold; compare a name with a value, or leave it"),
        ("1 = 1 and 'a' > 'b'", 11, "`'a' > 'b'` is always false"),
        ("lower('A') = 'b'", 1, "`lower('A') = 'b'` is always false"),
        ("plan = null", 1, "a comparison with null is always unknown; write `plan is null`"),
        ("a > 1 and plan <> null", 11, "a comparison with null is always unknown; write `plan is not null`"),
        ("null < a", 8, "a comparison with null is always unknown; compare `a` with a value"),
        ("plan in (null)", 1, "a comparison with null is always unknown; write `plan is null`"),
        ("a > 5 and a < 3", 11, f"`a > 5` and `a < 3` {BOTH} `or`?"),
        ("a > 5 and a < 5", 11, f"`a > 5` and `a < 5` {BOTH} `or`?"),
        ("a >= 5 and 5 > a", 12, f"`a >= 5` and `5 > a` {BOTH} `or`?"),
        ("a > 2 * 5 and plan = 'a' and a < 3 + 1", 30, f"`a > 2 * 5` and `a < 3 + 1` {BOTH} `or`?"),
        ("a + b > 5 and a + b < 3", 15, f"`a + b > 5` and `a + b < 3` {BOTH} `or`?"),
        ("plan = 'a' and plan = 'b'", 16, f"`plan = 'a'` and `plan = 'b'` {BOTH} `plan in ('a', 'b')`?"),
        ("plan = 'a' and plan <> 'a'", 16, f"`plan = 'a'` and `plan <> 'a'` {BOTH} `or`?"),
        ("a in (1, 2) and a in (3, 4)", 17, f"`a = 1 or a = 2` and `a = 3 or a = 4` {BOTH} `or`?"),
        ("a <> 1 and a <> 2 and a in (1, 2)", 23, "`a <> 1`, `a <> 2`, `a = 1 or a = 2` can never all hold; did you"),
        ("a is null and a > 1", 15, f"`a is null` and `a > 1` {BOTH} `or`?"),
        ("active and not active", 16, f"`active` and `not (active)` {BOTH} `or`?"),
        ("active is true and active = false", 20, f"`active` and `not (active)` {BOTH} `or`?"),
        ("not (a > 5 or a <= 5)", 15, f"`not (a > 5)` and `not (a <= 5)` {BOTH} `or`?"),
        ("seen > '2026-02-01' and seen < '2026-01-01'", 25, f"`seen > '2026-02-01'` and `seen < '2026-01-01'` {BOTH}"),
        ("(a = 1 or a = 2) and a = 3", 22, f"`a = 1 or a = 2` and `a = 3` {BOTH}"),
        ("a between 5 and 3", 1, "`a` is never between 5 and 3; did you mean `a between 3 and 5`?"),
        ("active and a between 5 and 3", 12, "`a` is never between 5 and 3; did you mean `a between 3 and 5`?"),
        ("a < a", 1, "`a < a` can never hold, both sides are the same"),
        ("health = 'god'", 1, "`health` is never 'god'; did you mean 'good'?"),
        ("active and health in ('bad', 'god')", 12, "`health` is never 'god'; did you mean 'good'?"),
        ("health = 'vip'", 1, "`health` is never 'vip'; it is 'good', 'normal', 'bad' or 'unknown'"),
        ("stage = 'trial'", 1, "`stage` is never 'trial'; the model defines none"),
        ("a > 1 or active and health = 'Good'", 21, "`health` is never 'Good'; did you mean 'good'?"),
        ("health like 'x%'", 1, "`health like 'x%'` can never hold; `health` is 'bad', 'good', 'normal' or 'unknown'"),
        ("events < 0", 1, "`events < 0` can never hold, `events` is at least 0; did you mean `events = 0`?"),
        ("events = -1", 1, "`events = -1` can never hold, `events` is at least 0; did you mean `events = 0`?"),
        ("scores.use > 100", 1, "`scores.use` is between 0 and 100; did you mean `scores.use = 100`?"),
        ("scores.use between 101 and 200", 1, "`scores.use` is between 0 and 100; did you mean `scores.use = 100`?"),
        ("scores.use_trend <= -200", 1, "is between -100 and 100; did you mean `scores.use_trend = -100`?"),
        ("share >= 1.5 and active", 1, "`share` is between 0 and 1; did you mean `share = 1`?"),
        ("abs(a) < 0", 1, "`abs(a)` is at least 0"),
        ("coalesce(a, 0) is null", 1, "`coalesce(a, 0) is null` can never hold; `coalesce(a, 0)` is never null"),
        ("a < 0 and a > 1 or plan = 'x' and plan = 'y'", 11, f"`a < 0` and `a > 1` {BOTH}"),
        ("a / 0 > 1", 1, "`a / 0` divides by zero, which is always null; divide by something else"),
        ("active or coalesce(a / (2 - 2), 1) = 1", 20, "`a / (2 - 2)` divides by zero"),
    ],
)
def test_what_can_never_hold(rule: str, column: int, what: str) -> None:
    found = refusal(parse(rule, NAMES), KNOWN)
    assert found is not None
    assert what in found.what
    assert found.column == column


@pytest.mark.parametrize(
    "rule",
    [
        "1 = 1",
        "true",
        "events >= 0",
        "scores.use <= 100 and scores.use >= 0",
        "a > 5 or a < 3",
        "a >= 5 and a <= 5",
        "a between 5 and 5",
        "plan = 'a' or plan = 'b'",
        "a in (1, null)",
        "a = 1 or plan = null",
        "not (health = 'god')",
        "health <> 'god'",
        "health not in ('bad', 'god')",
        "health is null",
        "stage is null",
        "plan = 'god'",
        "plan like 'a%' and plan like '%b'",
        "a > b and a < b",  # nothing is known of either
        "nullif(a, 0) is null",
        "events - a < 0",
        "(a > 5 and a < 3) or active",
        "not (a > 5 and a < 3)",
        "(a > 5 and a < 3) is not true",
        "a * 1e308 > 5 and a * 1e308 < 6",
        "lower(health) = 'good'",
        "'ß' ilike 'SS'",  # engines differ
    ],
)
def test_what_could_hold_is_let_through(rule: str) -> None:
    assert refusal(parse(rule, NAMES), KNOWN) is None


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("\"my name\" = 'it''s' and 1 > 2", "1 > 2"),
        ("(a + 1) * 2 > 3 and (a + 1) * 2 < 3", "(a + 1) * 2 > 3"),
        ("a - (b - 1) > 3 and a - (b - 1) < 3", "a - (b - 1) < 3"),
        ("-a > 1.5 and -a < 1.5", "-a > 1.5"),
        ("nullif(a, 2) > 1 and nullif(a, 2) < 1", "nullif(a, 2) > 1"),
        ("(active and a > 1) is true and (active and a > 1) is false", "active"),
        ("seen > '2026-01-01T12:00:00+01:00' and seen is null", "seen > '2026-01-01T11:00:00Z'"),
        ("(renewal_date > '2026-01-01') is null and 1 = 2", "1 = 2"),
    ],
)
def test_rules_are_told_in_their_own_words(rule: str, text: str) -> None:
    found = refusal(parse(rule, {**NAMES, "my name": Type.TEXT}), {})
    assert found is not None
    assert f"`{text}`" in found.what


def test_long_rules_are_searched_in_little_time() -> None:
    chain = " and ".join(f"(a > {number} or plan = 'x{number}')" for number in range(400))
    assert refusal(parse(chain, NAMES), KNOWN) is None
    deep = "(" * 45 + "a > 1" + " and (b > 0 or active))" * 45
    assert refusal(parse(deep, NAMES), KNOWN) is None


VALUES: Mapping[str, list[object]] = {
    "a": [None, 0.0, 1.0, 2.5, 0.5, 7.0],
    "b": [None, 0.0, 1.0, -1.0, 2.5, -2.5, 10.0, 1e6],
    "plan": [None, "", "a", "B%", "Ab", "it's", "ä"],
    "role": [None, "a", "B"],
    "active": [None, True, False],
    "types.power": [None, True, False],
    "renewal_date": [None, date(2026, 1, 1), date(2026, 1, 15), date(2026, 2, 1)],
}
DOMAINS = {"a": Known(low=0, high=7), "role": Known(("a", "B"))}


def rows(names: frozenset[str]) -> Iterator[Row]:
    """Give every row there is of these names, most of them where there are very many."""
    plain = dict.fromkeys(VALUES)
    used = sorted(names)
    for values in islice(product(*(VALUES[name] for name in used)), 1500):
        yield plain | dict(zip(used, values, strict=True))


@settings(max_examples=150)
@given(truths())
def test_a_refused_rule_holds_for_nobody(part: Part) -> None:
    text, read = part
    rule = parse(text, NAMES)
    found = refusal(rule, DOMAINS)
    if found is None or "divides by zero" in found.what:
        return
    if mistyped := re.search(r"is never '([^']*)'", found.what):
        assert mistyped[1] not in VALUES["role"]  # wherever it stands, it is taken for a mistyped name
        return
    assert [row for row in rows(rule.names) if read(row) is True] == [], found.what


PLUS, TIMES, MINUS = (strict(compute) for compute in (operator.add, operator.mul, operator.sub))
A, B = ("a", lambda row: row["a"]), ("b", lambda row: row["b"])
TERMS: list[Part] = [
    A,
    B,
    apply("abs({})", strict(abs), B),
    apply("({} + {})", PLUS, A, B),
    apply("({} - {})", MINUS, B, A),
    apply("({} * {})", TIMES, A, A),
    apply("least({}, {})", strict(min), A, B),
    apply("coalesce({}, {})", first, B, A),
]
CONSTANTS: list[Part] = [(text, lambda row, text=text: float(text)) for text in ("0", "1", "2.5", "-1", "7")]


@settings(max_examples=150)
@given(st.data())
def test_a_refused_conjunction_holds_for_nobody(data: st.DataObject) -> None:
    """Comparisons of few parts with few constants, so that many contradict each other."""
    pairs = st.tuples(st.sampled_from(TERMS), st.sampled_from(CONSTANTS))
    comparison = pairs.flatmap(lambda pair: compared(*pair))
    comparison = comparison | comparison.map(lambda one: apply("(not {})", NOT, one))
    one, two, three, four = (data.draw(comparison) for _ in range(4))
    text, read = apply("({} and {})", both, one, two)
    if data.draw(st.booleans()):
        text, read = apply("({} or {} and {})", lambda p, q, r: either(p, both(q, r)), (text, read), three, four)
    rule = parse(text, NAMES)
    found = refusal(rule, DOMAINS)
    if found is not None:
        assert [row for row in rows(rule.names) if read(row) is True] == [], found.what
