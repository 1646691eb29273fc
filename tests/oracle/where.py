"""A small evaluator for the SQL expressions of the law (semantics §6 and §7): text → a function from names to true,
false or None (unknown). It knows nothing of the product's parser and checks no names or types."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.messages import instant, number

Lookup = Callable[[str], Any]
Node = Callable[[Lookup], Any]
TOKEN = re.compile(
    r"""\s*(?:(?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
    |(?P<text>'(?:[^']|'')*')
    |(?P<name>(?:[A-Za-z_]\w*|"(?:[^"]|"")*")(?:\.(?:\w+|"(?:[^"]|"")*"))*)
    |(?P<sign><>|!=|<=|>=|[=<>()+\-*/,]))""",
    re.VERBOSE,
)
WORDS = {"and", "or", "not", "in", "like", "ilike", "is", "null", "true", "false", "between"}


class Open(str):
    """The text of an undeclared property: beside a number it is read as a number, beside a boolean as that text."""

    __slots__ = ()


class Zoned:
    """Where a date meets an instant, the calendar day is that of this zone."""

    zone: ZoneInfo = ZoneInfo("UTC")


# --- values --------------------------------------------------------------------------------------------------------


def is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def numeric(value: Any) -> float | None:
    if isinstance(value, Open):
        return number(value)
    return float(value) if is_number(value) else None


def aligned(left: Any, right: Any) -> tuple[Any, Any] | None:
    """Bring two values to one type; None where they cannot be compared."""
    for one, other, turned in ((left, right, False), (right, left, True)):
        pair: tuple[Any, Any] | None = None
        if isinstance(one, Open) and is_number(other):
            pair = (number(one), other)
        elif isinstance(one, Open) and isinstance(other, bool):
            pair = (str(one), "true" if other else "false")
        elif isinstance(one, datetime) and isinstance(other, str):
            pair = (one, instant(other))
        elif isinstance(one, date) and not isinstance(one, datetime) and isinstance(other, str):
            pair = (one, a_date(other, Zoned.zone))
        if pair is not None:
            return None if None in pair else (pair[1], pair[0]) if turned else pair
    alike = (
        (is_number(left) and is_number(right))
        or (isinstance(left, bool) and isinstance(right, bool))
        or (isinstance(left, str) and isinstance(right, str))
        or (type(left) is type(right))
    )
    return (left, right) if alike else None


def a_date(text: str, zone: ZoneInfo) -> date | None:
    """Read a date alone as that day, an instant as its day in the zone (semantics §8)."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        moment = instant(text)
        return moment.astimezone(zone).date() if moment else None


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def compare(sign: str, left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    pair = aligned(left, right)
    return None if pair is None else COMPARE[sign](*pair)


def all_of(values: list[Any]) -> bool | None:
    return False if any(v is False for v in values) else None if any(v is None for v in values) else True


def any_of(values: list[Any]) -> bool | None:
    return True if any(v is True for v in values) else None if any(v is None for v in values) else False


def inverse(value: Any) -> bool | None:
    return None if value is None else not value


def like(value: Any, pattern: Any, *, fold: bool) -> bool | None:
    if not isinstance(value, str) or not isinstance(pattern, str):
        return None
    if fold:
        value, pattern = value.lower(), pattern.lower()
    expression = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return re.fullmatch(expression, value, re.DOTALL) is not None


def arithmetic(sign: str, left: Any, right: Any) -> float | None:
    a, b = numeric(left), numeric(right)
    if a is None or b is None or (sign == "/" and b == 0):
        return None
    value = {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b}[sign]()
    return value if math.isfinite(value) else None


def rounded(value: float, digits: float = 0) -> float:
    """Round a half upwards: 2.5 is 3 and −2.5 is −2."""
    upwards = ROUND_HALF_UP if value >= 0 else ROUND_HALF_DOWN
    return float(Decimal(str(value)).quantize(Decimal(1).scaleb(-int(digits)), rounding=upwards))


def beside(values: list[Any]) -> list[Any]:
    """Read undeclared text as a number where one of its neighbours is a number."""
    return [numeric(v) if isinstance(v, Open) else v for v in values] if any(map(is_number, values)) else values


def call(name: str, values: list[Any]) -> Any:  # noqa: PLR0911 - one line for each function of the law
    if name == "coalesce":
        return next((v for v in beside(values) if v is not None), None)
    if name == "nullif":
        return None if compare("=", values[0], values[1]) else values[0]
    if name in ("least", "greatest"):
        all_known = beside(values)
        return None if None in all_known else (min if name == "least" else max)(all_known)
    if name in ("lower", "upper", "length"):
        if not isinstance(values[0], str):
            return None
        return {"lower": str.lower, "upper": str.upper, "length": len}[name](values[0])
    numbers = [numeric(v) for v in values]
    if None in numbers:
        return None
    return {"abs": abs, "floor": math.floor, "ceil": math.ceil, "round": rounded}[name](*numbers)


# --- the parser ----------------------------------------------------------------------------------------------------


class Reader:
    """Recursive descent over the tokens; each method gives a node."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        at, text = 0, text.rstrip()
        while at < len(text):
            found = TOKEN.match(text, at)
            if not found:
                raise ValueError(f"column {at + 1}: {text!r}")
            kind = str(found.lastgroup)
            token = found.group(kind)
            if kind == "name" and token.lower() in WORDS:
                kind, token = "word", token.lower()
            self.tokens.append((kind, token))
            at = found.end()
        self.at = 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self, *wanted: str) -> str | None:
        kind, token = self.peek()
        if kind in ("word", "sign") and token in wanted:
            self.at += 1
            return token
        return None

    def need(self, wanted: str) -> None:
        if self.take(wanted) is None:
            raise ValueError(f"{wanted} expected, not {self.peek()}")

    def disjunction(self) -> Node:
        parts = [self.conjunction()]
        while self.take("or"):
            parts.append(self.conjunction())
        return parts[0] if len(parts) == 1 else lambda names: any_of([part(names) for part in parts])

    def conjunction(self) -> Node:
        parts = [self.negation()]
        while self.take("and"):
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else lambda names: all_of([part(names) for part in parts])

    def negation(self) -> Node:
        if self.take("not"):
            inner = self.negation()
            return lambda names: inverse(inner(names))
        return self.predicate()

    def predicate(self) -> Node:
        left = self.sum()
        sign = self.take(*COMPARE)
        if sign:
            right = self.sum()
            return lambda names: compare(sign, left(names), right(names))
        if self.take("is"):
            return self.state_of(left)
        turned = self.take("not")
        node = self.membership(left)
        if node is None:
            if turned:
                raise ValueError("not what?")
            return left
        found = node
        return (lambda names: inverse(found(names))) if turned else found

    def state_of(self, left: Node) -> Node:
        turned = bool(self.take("not"))
        value = {"null": None, "true": True, "false": False}[self.take("null", "true", "false") or "null"]
        return lambda names: (left(names) is value) is not turned

    def membership(self, left: Node) -> Node | None:
        word = self.take("in", "like", "ilike", "between")
        if word == "in":
            self.need("(")
            items = self.items()
            return lambda names: any_of([compare("=", left(names), item(names)) for item in items])
        if word == "between":
            low = self.sum()
            self.need("and")
            high = self.sum()
            return lambda names: all_of(
                [compare(">=", left(names), low(names)), compare("<=", left(names), high(names))]
            )
        if word:
            pattern = self.sum()
            return lambda names: like(left(names), pattern(names), fold=word == "ilike")
        return None

    def items(self) -> list[Node]:
        found = [self.disjunction()]
        while self.take(","):
            found.append(self.disjunction())
        self.need(")")
        return found

    def sum(self) -> Node:
        return self.chain(self.product, "+", "-")

    def product(self) -> Node:
        return self.chain(self.single, "*", "/")

    def chain(self, part: Callable[[], Node], *signs: str) -> Node:
        node = part()
        while sign := self.take(*signs):
            node = joined(sign, node, part())
        return node

    def single(self) -> Node:  # noqa: PLR0911 - one for each kind of token
        if self.take("-"):
            inner = self.single()
            return lambda names: arithmetic("-", 0, inner(names))
        if self.take("("):
            node = self.disjunction()
            self.need(")")
            return node
        kind, token = self.peek()
        self.at += 1
        if kind == "word" and token in ("true", "false", "null"):
            value = {"true": True, "false": False, "null": None}[token]
            return lambda _: value
        if kind == "number":
            return lambda _: float(token)
        if kind == "text":
            return lambda _: token[1:-1].replace("''", "'")
        if kind == "name" and self.take("("):
            items = self.items()
            return lambda names: call(token.lower(), [item(names) for item in items])
        if kind != "name":
            raise ValueError(f"not expected: {token!r}")
        name = unquoted(token)
        return lambda names: names(name)


def joined(sign: str, left: Node, right: Node) -> Node:
    return lambda names: arithmetic(sign, left(names), right(names))


def names_in(text: str) -> set[str]:
    """Give the names that an expression reads."""
    tokens = [*Reader(text).tokens, ("end", "")]
    return {unquoted(token) for (kind, token), after in pairwise(tokens) if kind == "name" and after != ("sign", "(")}


def unquoted(name: str) -> str:
    return re.sub(r'"((?:[^"]|"")*)"', lambda quoted: quoted[1].replace('""', '"'), name)


@cache
def compiled(text: str) -> Node:
    """Give the function of one expression."""
    reader = Reader(text)
    node = reader.disjunction()
    if reader.peek()[0] != "end":
        raise ValueError(f"left over: {reader.peek()}")
    return node


def holds(text: str, names: Lookup, *, timezone: str = "UTC") -> bool:
    """Tell whether the rule is matched; unknown is not matched."""
    Zoned.zone = ZoneInfo(timezone)
    return compiled(text)(names) is True
