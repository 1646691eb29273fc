from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.expression_polars import to_polars
from engage_sync.core.expressions import BadExpression, Type, parse
from tests.core.tiny_expressions import ROWS, Part, Row, truths

NAMES = {
    **dict.fromkeys(("a", "b", "events", "mrr", "account.mrr", "scores.adoption_trend", "order", "case"), Type.NUMBER),
    **dict.fromkeys(("plan", "role", "title", "my name"), Type.TEXT),
    **dict.fromkeys(("active", "types.power"), Type.BOOLEAN),
    "renewal_date": Type.DATE,
    "last_active_at": Type.DATETIME,
}
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ROW = {
    "a": 1.5,
    "b": None,
    "events": 7,
    "mrr": -2.5,
    "account.mrr": 0,
    "scores.adoption_trend": 0.5,
    "order": 3,
    "case": 4,
    "plan": "trial",
    "role": "xCHAMPIONx",
    "title": "Head of\nOps",
    "my name": None,
    "active": True,
    "types.power": None,
    "renewal_date": date(2026, 1, 31),
    "last_active_at": NOON,
}
DTYPES = {
    Type.NUMBER: pl.Float64(),
    Type.TEXT: pl.String(),
    Type.BOOLEAN: pl.Boolean(),
    Type.DATE: pl.Date(),
    Type.DATETIME: pl.Datetime("us", "UTC"),
}


def value(text: str) -> bool | None:
    frame = pl.DataFrame([ROW], schema={name: DTYPES[kind] for name, kind in NAMES.items()})
    found = frame.select(to_polars(parse(text, NAMES)).alias("it"))["it"]
    assert found.dtype == pl.Boolean
    return found.item()


@pytest.mark.parametrize(
    "text",
    [
        "role like '%CHAMPION%' or title ilike '%head of%'",
        "plan = 'trial'",
        "mrr < 0 and events >= 7 and events <> 8 and events != 8",
        "0.5 * events > 3 and events / 2 = 3.5 and 7 - 2 - 1 = 4 and 2 + 3 * 2 = 8",
        "active",
        "not not active",
        "(((active)))",
        "b is null and a is not null",
        "b / 1 is null and a / 0 is null and 0 / 0 is null",
        "(a > 1 or b > 1) and not (a < 1 and b > 1)",
        "a in (1, 1.5) and a not in (1, 2)",
        "a in (1.5, b)",
        "(a in (1, b)) is null and (a not in (1, null)) is null",
        "a between 1 and 2 and a not between 2 and 3 and (a between 1 and b) is null",
        "a between 1.5 and 1.5",
        "(a = null) is null and (null = null) is null",
        "active is true and active is not false and types.power is not true and types.power is null",
        "(a > 1) = active and active <> false",
        "coalesce(b, a) = 1.5 and coalesce(b, null, 3) = 3",
        "nullif(a, 1.5) is null and nullif(a, 2) = 1.5 and nullif(a, b) = 1.5 and nullif(b, 1) is null",
        "abs(mrr) = 2.5 and -mrr = 2.5 and - - a = 1.5",
        "round(a) = 2 and round(2.5) = 3 and round(mrr) = -2 and round(-2.6) = -3 and round(0.49999999999999994) = 0",
        "round(2.345, 2) = 2.35 and round(1234.5, 0) = 1235",
        "floor(a) = 1 and ceil(a) = 2 and floor(mrr) = -3 and ceil(mrr) = -2",
        "least(a, 2, 1) = 1 and greatest(a, 2, 1) = 2 and least(a, b) is null and greatest(a, b) is null",
        "least(plan, 'a') = 'a' and greatest(renewal_date, '2027-01-01') = '2027-01-01'",
        "lower(role) = 'xchampionx' and upper(plan) = 'TRIAL' and length(plan) = 5 and length('é🦊') = 2",
        "plan not like 'T%' and plan like 'tria_' and plan ilike 'TRI%' and plan not ilike '_'",
        "title like 'Head%Ops' and '100%' like '100%' and 'a.c' not like 'abc' and 'a\\b' like 'a\\b'",
        "renewal_date = '2026-01-31' and renewal_date > '2026-01-30T23:59:59Z' and '2026-02-01' > renewal_date",
        "renewal_date < last_active_at and last_active_at = '2026-01-31T13:00:00+01:00'",
        "last_active_at > '2026-01-31' and renewal_date in ('2026-01-31')",
        "renewal_date between '2026-01-01' and '2026-02-01'",
        "account.mrr = 0 and scores.adoption_trend = 0.5",
        'order = 3 and case = 4 and "my name" is null and "order" = 3',
        "'it''s' = 'it''s' and 'B' < 'a' and 1e3 = 1000 and .5 = 0.5",
        "(types.power and a > 2) = false",
        "true OR null",
    ],
)
def test_what_is_true_by_hand(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize(
    "text", ["types.power", "not types.power", "b > 1", "b = b", "active and types.power", "plan > null", "null"]
)
def test_what_is_unknown(text: str) -> None:
    assert value(text) is None


@pytest.mark.parametrize(
    ("text", "column", "what"),
    [
        ("evnts > 0", 1, "unknown name evnts; did you mean events?"),
        ("a > 1 and\n acount.mrr > 0", 12, "unknown name acount.mrr; did you mean account.mrr?"),
        ("Events > 0", 1, "unknown name Events; did you mean events?"),
        ('plan = "trial"', 8, "unknown name trial; text is written in single quotes: 'trial'"),
        ("a > 0 and cel(a) > 1", 11, "unknown function cel; did you mean ceil?"),
        ("sum(a) > 1", 1, "unknown function sum"),
        ("a > 1 and count(*) > 1", 11, "unknown function count"),
        ("a > now()", 5, "unknown function now"),
        ("a in (select 1)", 14, "1 is not expected here"),
        ("exists(select 1)", 1, "unknown function exists"),
        ("a::int = 1", 2, ":: is not allowed here"),
        ("plan || 'x' = 'y'", 6, "|| is not allowed here"),
        ("a % 2 = 1", 3, "% is not allowed here"),
        ("a = 1; drop", 6, "; is not allowed here"),
        ("a[1] = 1", 2, "[ is not allowed here"),
        ("case when active then 1 end = 1", 11, "active is not expected here"),
        ("a = 1 2", 7, "2 is not expected here"),
        ("a = ", 3, "something is missing beside ="),
        ("active and", 8, "something is missing beside and"),
        ("plan = 'x", 1, "a quote is opened and not closed"),
        ("plan like role", 1, "the pattern of like is a text in quotes"),
        ("plan like 'a' escape '!'", 22, "'!' is not expected here"),
        ("a", 1, "a is a number, where true or false is needed"),
        ("active and plan", 12, "plan is text, where true or false is needed"),
        ("plan = 1", 1, "plan is text, where a number is needed"),
        ("a = '1'", 1, "'1' is text, where a number is needed"),
        ("active = 'true'", 1, "active and 'true': text and a boolean do not compare"),
        ("a = true", 1, "true is a boolean, where a number is needed"),
        ("active < true", 1, "true and false have no order"),
        ("greatest(active, true)", 1, "true and false have no order"),
        ("renewal_date > 3", 1, "3 is a number; a date is compared with a date or ISO text"),
        ("renewal_date > 'tomorrow'", 1, "'tomorrow' is no ISO date"),
        ("renewal_date = plan", 1, "plan is text; a date is compared with a date or ISO text"),
        ("lower(a) = 'x'", 1, "a is a number, where text is needed"),
        ("round(a, b) > 1", 1, "round takes one number"),
        ("length(plan, 'x') > 1", 1, "the function length is not given what it takes"),
        ("a > 1e999", 5, "1e999 is too large for a number"),
        ("a in ()", 1, "the list after in is empty"),
        ("(a, b) = (1, 2)", 2, "is not allowed in an expression"),
        ("a is 3", 1, "after is comes null, true or false"),
        ("", 1, "the expression is empty"),
        ("a = 'x\x00'", 7, "a character here that no text may hold"),
        ("(" * 300 + "active" + ")" * 300, 1, "nested too deeply"),
        (" and ".join(["active"] * 5000), 20_001, "longer than"),
        ("properties.x = 1", 1, "unknown name properties.x"),
    ],
)
def test_anything_else_is_refused_with_its_column(text: str, column: int, what: str) -> None:
    with pytest.raises(BadExpression) as caught:
        parse(text, NAMES)
    assert what in caught.value.what
    assert caught.value.column == column
    assert str(caught.value) == f"column {column}: {caught.value.what}"


def test_a_long_list_and_a_long_chain_are_no_deep_ones() -> None:
    assert value(f"events in ({', '.join(map(str, range(2000)))})") is True
    assert value(" and ".join(["active"] * 1500)) is True


def test_a_constant_beside_a_coalesce_of_nothing_is_asked_of_every_row() -> None:
    frame = pl.DataFrame({"plan": [None, None]}, schema={"plan": pl.String})
    rule = parse("'' < coalesce(plan, 'x')", NAMES)
    assert frame.with_columns(to_polars(rule).alias("it"))["it"].to_list() == [True, True]


def test_names_under_an_open_prefix_are_text_of_unknown_type() -> None:
    read = parse(
        "properties.role = 'x' and properties.\"a b\".c > 1", {"event": Type.TEXT}, open_prefixes=("properties.",)
    )
    assert read.names == {"properties.role", "properties.a b.c"}
    assert read == parse(read.text, {"event": Type.TEXT}, open_prefixes=("properties.",))
    with pytest.raises(BadExpression, match=r"unknown name role; did you mean properties\.role\?"):
        parse("role = 'x'", {"event": Type.TEXT}, open_prefixes=("properties.",))
    with pytest.raises(BadExpression, match=r"compare it: properties\.flag = true"):
        parse("properties.flag", {}, open_prefixes=("properties.",))


@pytest.mark.parametrize(
    "text", ["0 < 1 / a", "1 - nullif(a, 0) > 0", "1 + least(a, b) > 0", "1 / 0 > 1", "(0 < 1 / a) is null or active"]
)
def test_every_row_gets_its_answer_where_all_are_the_same(text: str) -> None:
    rows = [{name: None if name != "a" else 0.0 for name in NAMES}] * 3
    frame = pl.DataFrame(rows, schema={name: DTYPES[kind] for name, kind in NAMES.items()})
    expected = True if "is null" in text else None
    assert frame.with_columns(to_polars(parse(text, NAMES)).alias("it"))["it"].to_list() == [expected] * 3
    assert frame.clear().with_columns(to_polars(parse(text, NAMES)).alias("it")).height == 0


@settings(max_examples=250)
@given(truths(), st.lists(ROWS, min_size=1, max_size=6))
def test_agrees_with_the_tiny_interpreter(part: Part, rows: list[Row]) -> None:
    text, read = part
    frame = pl.DataFrame(rows, schema={name: DTYPES[NAMES[name]] for name in rows[0]})
    found = frame.with_columns(to_polars(parse(text, NAMES)).alias("__found"))["__found"].to_list()
    assert found == [read(row) for row in rows], text
