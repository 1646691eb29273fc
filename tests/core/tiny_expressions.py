"""A tiny, slow interpreter of expressions for the tests, written from semantics §7: each part of a drawn expression is
its text beside what it computes from a row. None is null or unknown."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date

from hypothesis import strategies as st

Row = dict[str, object]
Part = tuple[str, Callable[[Row], object]]
NUMBERS = st.sampled_from([None, 0.0, 1.0, -1.0, 2.5, -2.5, 0.5, 1e6, 7.0])
TEXTS = st.sampled_from([None, "", "a", "B", "Ab", "a%", "ä", "1"])
TRUTHS = st.sampled_from([None, True, False])
DAYS = st.sampled_from([None, date(2026, 1, 1), date(2026, 2, 1), date(1999, 12, 31)])
KINDS = {"a": NUMBERS, "b": NUMBERS, "plan": TEXTS, "role": TEXTS, "active": TRUTHS, "types.power": TRUTHS}
ROWS = st.fixed_dictionaries({**KINDS, "renewal_date": DAYS})


def strict(compute: Callable[..., object]) -> Callable[..., object]:
    return lambda *values: None if any(one is None for one in values) else compute(*values)


def apply(template: str, compute: Callable[..., object], *parts: Part) -> Part:
    return template.format(*(text for text, _ in parts)), lambda row: compute(*(read(row) for _, read in parts))


def both(one: object, other: object) -> object:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def either(one: object, other: object) -> object:
    if one is True or other is True:
        return True
    return None if one is None or other is None else False


def first(*values: object) -> object:
    return next((one for one in values if one is not None), None)


def half_up(number: float) -> float:
    whole = math.floor(number)
    return float(whole + 1 if number - whole >= 0.5 else whole)


def like(text: str, pattern: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(text[skip:], pattern[1:]) for skip in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and like(text[1:], pattern[1:])


LESS = strict(lambda one, other: one < other)
SAME = strict(lambda one, other: one == other)
NOT = strict(lambda one: not one)


def named(*names: str) -> st.SearchStrategy[Part]:
    return st.sampled_from([(name, lambda row, name=name: row[name]) for name in names])


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def numbers() -> st.SearchStrategy[Part]:
    literals = st.sampled_from([0.0, 1.0, 2.5, 10.0]).map(lambda number: (repr(number), lambda row: number))
    return st.recursive(named("a", "b") | literals, more_numbers, max_leaves=4)


def more_numbers(inner: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    divide = strict(lambda one, other: None if other == 0 else one / other)
    return st.one_of(
        st.builds(lambda x, y: apply("({} + {})", strict(lambda p, q: p + q), x, y), inner, inner),
        st.builds(lambda x, y: apply("({} - {})", strict(lambda p, q: p - q), x, y), inner, inner),
        st.builds(lambda x, y: apply("({} * {})", strict(lambda p, q: p * q), x, y), inner, inner),
        st.builds(lambda x, y: apply("({} / {})", divide, x, y), inner, inner),
        st.builds(lambda x: apply("(- {})", strict(lambda p: -p), x), inner),
        st.builds(lambda x: apply("abs({})", strict(abs), x), inner),
        st.builds(lambda x: apply("round({})", strict(half_up), x), inner),
        st.builds(lambda x: apply("floor({})", strict(math.floor), x), inner),
        st.builds(lambda x: apply("ceil({})", strict(math.ceil), x), inner),
        st.builds(lambda x, y: apply("coalesce({}, {})", first, x, y), inner, inner),
        st.builds(lambda x, y: apply("nullif({}, {})", lambda p, q: None if SAME(p, q) else p, x, y), inner, inner),
        st.builds(lambda x, y: apply("least({}, {})", strict(min), x, y), inner, inner),
        st.builds(lambda x, y: apply("greatest({}, {})", strict(max), x, y), inner, inner),
        st.builds(lambda x: apply("length({})", strict(len), x), texts()),
    )


def texts() -> st.SearchStrategy[Part]:
    plain = named("plan", "role") | st.sampled_from(["", "a", "B%", "it's"]).map(
        lambda text: (quoted(text), lambda row: text)
    )
    return plain | st.one_of(
        st.builds(lambda x: apply("lower({})", strict(str.lower), x), plain),
        st.builds(lambda x: apply("upper({})", strict(str.upper), x), plain),
        st.builds(lambda x, y: apply("coalesce({}, {})", first, x, y), plain, plain),
    )


def compared(one: Part, other: Part) -> st.SearchStrategy[Part]:
    return st.sampled_from(
        [
            apply("({} < {})", LESS, one, other),
            apply("({} > {})", lambda p, q: LESS(q, p), one, other),
            apply("({} <= {})", lambda p, q: NOT(LESS(q, p)), one, other),
            apply("({} >= {})", lambda p, q: NOT(LESS(p, q)), one, other),
            apply("({} = {})", SAME, one, other),
            apply("({} <> {})", lambda p, q: NOT(SAME(p, q)), one, other),
            apply("({} in ({}, {}))", lambda p, q, r: either(SAME(p, q), SAME(p, r)), one, other, one),
            apply("({} between {} and {})", lambda p, q, r: both(NOT(LESS(p, q)), NOT(LESS(r, p))), one, other, one),
            apply("({} is null)", lambda p: p is None, one),
            apply("({} is not null)", lambda p: p is not None, one),
        ]
    )


def liked(subject: Part, pattern: str) -> st.SearchStrategy[Part]:
    return st.sampled_from(
        [
            apply(f"({{}} like {quoted(pattern)})", strict(lambda text: like(text, pattern)), subject),
            apply(f"({{}} not like {quoted(pattern)})", strict(lambda text: not like(text, pattern)), subject),
            apply(f"({{}} ilike {quoted(pattern)})", strict(lambda text: like(text.lower(), pattern.lower())), subject),
        ]
    )


def truths() -> st.SearchStrategy[Part]:
    days = named("renewal_date") | st.sampled_from(["2026-01-01", "2026-01-15"]).map(
        lambda text: (quoted(text), lambda row: date.fromisoformat(text))
    )
    dated = st.tuples(named("renewal_date"), days).flatmap(lambda pair: compared(*pair))
    leaves = st.one_of(
        named("active", "types.power"),
        st.tuples(numbers(), numbers()).flatmap(lambda pair: compared(*pair)),
        st.tuples(texts(), texts()).flatmap(lambda pair: compared(*pair)),
        st.tuples(texts(), st.sampled_from(["a%", "%", "_", "%b", "A_", ""])).flatmap(lambda pair: liked(*pair)),
        dated,
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(lambda x, y: apply("({} and {})", both, x, y), inner, inner),
            st.builds(lambda x, y: apply("({} or {})", either, x, y), inner, inner),
            st.builds(lambda x: apply("(not {})", NOT, x), inner),
            st.builds(lambda x: apply("({} is true)", lambda p: p is True, x), inner),
            st.builds(lambda x: apply("({} is not false)", lambda p: p is not False, x), inner),
            st.builds(lambda x, y: apply("({} = {})", SAME, x, y), inner, inner),
            st.builds(lambda x: apply("({} is null)", lambda p: p is None, x), inner),
        ),
        max_leaves=5,
    )
