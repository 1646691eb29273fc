"""What the parts of an expression can be, as far as that is certain: constants folded, and for everything else the
least, the greatest, the only possible values and whether it may be null. Where it is not certain it says that anything
is possible. It reads trees and never a value of a user or an account.

The order of numbers is that of the engine: infinity below not-a-number, which is equal to itself. So a part whose
greatest value is known can be neither, and one whose greatest is not known may be both.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias

from engage_sync.core.expressions import NUMERIC_TEXT, Call, Literal, Name, Node, Op, Type

Scalar: TypeAlias = "str | float | bool | datetime"

OPPOSITE: Final = {
    Op.EQ: Op.NE, Op.NE: Op.EQ, Op.LT: Op.GE, Op.GE: Op.LT, Op.GT: Op.LE, Op.LE: Op.GT,
}  # fmt: skip
"""What holds where a comparison is false."""
MIRRORED: Final = {
    Op.EQ: Op.EQ, Op.NE: Op.NE, Op.LT: Op.GT, Op.GT: Op.LT, Op.LE: Op.GE, Op.GE: Op.LE,
}  # fmt: skip
"""The comparison with its sides exchanged."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a name beside its type: the only texts it can be, or its least and greatest number."""

    options: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """The values a part can have. `only` None means any within the bounds; an open bound is not a value itself."""

    low: Scalar | None = None
    high: Scalar | None = None
    low_open: bool = False
    high_open: bool = False
    only: frozenset[Scalar] | None = None
    without: frozenset[Scalar] = frozenset()
    null: bool = True
    known: bool = True
    """False when it can only be null."""

    def limited(self, op: Op, value: Scalar) -> Range:
        """Keep the values for which the comparison with `value` holds; null never is."""
        if op is Op.NE:
            return replace(self, null=False, without=self.without | {value})
        low, low_open, high, high_open = self.low, self.low_open, self.high, self.high_open
        if op in (Op.EQ, Op.GT, Op.GE) and (low is None or low < value or (low == value and not low_open)):  # type: ignore[operator]  # one type
            low, low_open = value, op is Op.GT
        if op in (Op.EQ, Op.LT, Op.LE) and (high is None or high > value or (high == value and not high_open)):  # type: ignore[operator]  # one type
            high, high_open = value, op is Op.LT
        return replace(self, null=False, low=low, low_open=low_open, high=high, high_open=high_open)

    def within(self, values: frozenset[Scalar]) -> Range:
        """Keep those of `values`."""
        return replace(self, null=False, only=values if self.only is None else self.only & values)

    def absent(self) -> Range:
        """Keep null alone."""
        return replace(self, known=False)

    def present(self) -> Range:
        """Keep all but null."""
        return replace(self, null=False)

    @property
    def empty(self) -> bool:
        """Whether nothing at all is left."""
        return not self.null and not self._any()

    def _any(self) -> bool:
        if not self.known:
            return False
        if self.only is not None:
            return any(self._holds(value) for value in self.only)
        if self.low is None or self.high is None:
            return True
        if self.low == self.high:
            return not self.low_open and not self.high_open and self.low not in self.without
        return self.low < self.high  # type: ignore[operator]  # the types fit, the reader saw to that

    def _holds(self, value: Scalar) -> bool:
        above = self.low is None or value > self.low or (value == self.low and not self.low_open)  # type: ignore[operator]  # one type
        below = self.high is None or value < self.high or (value == self.high and not self.high_open)  # type: ignore[operator]  # one type
        return above and below and value not in self.without


ANYTHING: Final = Range()
_CASED: Final = (Op.ILIKE, Op.LOWER, Op.UPPER)
_TRUTHS: Final[frozenset[Scalar]] = frozenset({True, False})


def folded(node: Node) -> Literal | None:
    """Give the constant that a part without names is; None where it reads a name or is no finite number."""
    if isinstance(node, Literal):
        return node
    if isinstance(node, Name):
        return None
    args = []
    for one in node.args:
        constant = folded(one)
        if constant is None:
            return None
        args.append(constant.value)
    if node.op in _CASED and not all(one.isascii() for one in args if isinstance(one, str)):
        return None  # engines differ in what the other case of a letter is
    value = _computed(node.op, args)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return Literal(value, node.type, node.column)


def _computed(op: Op, args: Sequence[Scalar | None]) -> Scalar | None:
    if op in _LENIENT:
        return _LENIENT[op](args)
    if any(one is None for one in args):
        return None
    try:
        found: Scalar | None = _STRICT[op](*args)
    except OverflowError:
        return math.inf
    return found


def _every(args: Sequence[Scalar | None]) -> bool | None:
    return False if False in args else None if None in args else True


def _some(args: Sequence[Scalar | None]) -> bool | None:
    return True if True in args else None if None in args else False


def _first(args: Sequence[Scalar | None]) -> Scalar | None:
    return next((one for one in args if one is not None), None)


def _divided(dividend: float, divisor: float) -> float | None:
    return None if divisor == 0 else dividend / divisor


def _half_up(value: float) -> float:
    whole = math.floor(value)
    return float(whole + (value - whole >= 0.5))


def _rounded(value: float, digits: float = 0.0) -> float:
    scale = float(10.0**digits)
    scaled = value * scale
    return _half_up(scaled) / scale if math.isfinite(scaled) else scaled


def _number(text: str) -> float | None:
    found = float(text) if re.fullmatch(NUMERIC_TEXT, text) and not text.endswith("\n") else None
    return found if found is not None and math.isfinite(found) else None


def pattern_matches(pattern: str, text: str, *, ignore_case: bool) -> bool:
    """Tell whether a text is like a pattern: `%` is any text, `_` any one character."""
    parts = {"%": ".*", "_": "."}
    body = "".join(parts.get(char) or re.escape(char) for char in pattern)
    return re.fullmatch(body, text, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


_LENIENT: Final[Mapping[Op, Callable[[Sequence[Scalar | None]], Scalar | None]]] = {
    Op.AND: _every,
    Op.OR: _some,
    Op.IS_NULL: lambda args: args[0] is None,
    Op.COALESCE: _first,
    Op.NULL_WHERE: lambda args: None if args[1] is True else args[0],
}
_STRICT: Final[Mapping[Op, Callable[..., Scalar | None]]] = {
    Op.NOT: operator.not_,
    Op.EQ: operator.eq,
    Op.NE: operator.ne,
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
    Op.ADD: operator.add,
    Op.SUB: operator.sub,
    Op.MUL: operator.mul,
    Op.DIV: _divided,
    Op.NEG: operator.neg,
    Op.LIKE: lambda text, pattern: pattern_matches(pattern, text, ignore_case=False),
    Op.ILIKE: lambda text, pattern: pattern_matches(pattern, text, ignore_case=True),
    Op.ABS: abs,
    Op.ROUND: _rounded,
    Op.FLOOR: lambda value: float(math.floor(value)),
    Op.CEIL: lambda value: float(math.ceil(value)),
    Op.LEAST: min,
    Op.GREATEST: max,
    Op.LOWER: str.lower,
    Op.UPPER: str.upper,
    Op.LENGTH: lambda text: float(len(text)),
    Op.TO_NUMBER: _number,
    Op.TO_TEXT: lambda value: "true" if value else "false",
    Op.TO_INSTANT: lambda value: value,
}


def range_of(node: Node, known: Mapping[str, Known]) -> Range:
    """Give what a part can be."""
    match node:
        case Literal(value=value):
            return ANYTHING.absent() if value is None else ANYTHING.limited(Op.EQ, value)
        case Name(name=name, type=kind):
            return _named(known.get(name, Known()), kind)
        case Call(op=op, args=args):
            if node.type is Type.BOOLEAN:
                return Range(only=_TRUTHS, null=op is not Op.IS_NULL)
            return _RANGES[op]([range_of(one, known) for one in args]) if op in _RANGES else ANYTHING


def _named(known: Known, kind: Type) -> Range:
    if kind is Type.BOOLEAN:
        return Range(only=_TRUTHS)
    if known.options is not None:
        return Range(only=frozenset(known.options))
    return Range(low=known.low, high=known.high)


def _low(one: Range) -> float | None:
    """Give the least number, None where it is not known."""
    return one.low if isinstance(one.low, float | int) else None


def _high(one: Range) -> float | None:
    return one.high if isinstance(one.high, float | int) else None


def _sum(args: Sequence[Range]) -> Range:
    lows, highs = [_low(one) for one in args], [_high(one) for one in args]
    low = None if None in lows else sum(one for one in lows if one is not None)
    high = None if None in highs else sum(one for one in highs if one is not None)
    return Range(low=low, high=high)


def _negative(args: Sequence[Range]) -> Range:
    high = _high(args[0])
    low = _low(args[0])
    # Without a greatest value it may be not-a-number, and so is its negative.
    return ANYTHING if high is None else Range(low=-high, high=None if low is None else -low)


def _not_negative(args: Sequence[Range]) -> Range:
    """Products and quotients of what is not negative are not negative."""
    lows = [_low(one) for one in args]
    return Range(low=0.0) if all(low is not None and low >= 0 for low in lows) else ANYTHING


def _whole(args: Sequence[Range]) -> Range:
    """`round`, `floor` and `ceil` stay between the whole numbers around."""
    low, high = _low(args[0]), _high(args[0])
    if len(args) > 1:
        return ANYTHING
    return Range(
        low=None if low is None else float(math.floor(low)), high=None if high is None else float(math.ceil(high))
    )


def _any_of(args: Sequence[Range]) -> Range:
    """One of several: between the least and the greatest of all."""
    given = [one for one in args if one.known]
    lows, highs = [_low(one) for one in given], [_high(one) for one in given]
    low = None if not given or None in lows else min(one for one in lows if one is not None)
    high = None if not given or None in highs else max(one for one in highs if one is not None)
    return Range(low=low, high=high, null=all(one.null for one in args))


_RANGES: Final[Mapping[Op, Callable[[Sequence[Range]], Range]]] = {
    Op.ADD: _sum,
    Op.SUB: lambda args: _sum([args[0], _negative(args[1:])]),
    Op.NEG: _negative,
    Op.MUL: _not_negative,
    Op.DIV: _not_negative,
    Op.ABS: lambda _: Range(low=0.0),
    Op.LENGTH: lambda _: Range(low=0.0),
    Op.ROUND: _whole,
    Op.FLOOR: _whole,
    Op.CEIL: _whole,
    Op.COALESCE: _any_of,
    Op.LEAST: lambda args: replace(_any_of(args), null=True),
    Op.GREATEST: lambda args: replace(_any_of(args), null=True),
    Op.NULL_WHERE: lambda args: replace(args[0], null=True),
}
