"""Turning an expression's tree into a polars expression, for rules over verdict frames. It decides no type rule: the
tree already holds every conversion. Columns are named exactly as the names in the expression; unknown is null."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import polars as pl

from engage_sync.core.expressions import NUMERIC_TEXT, Call, Expression, Literal, Name, Node, Op, Type

_DTYPES: Final = {
    Type.TEXT: pl.String(),
    Type.UNKNOWN: pl.String(),
    Type.NUMBER: pl.Float64(),
    Type.BOOLEAN: pl.Boolean(),
    Type.DATE: pl.Date(),
    Type.DATETIME: pl.Datetime("us", "UTC"),
}

_CONDITIONAL: Final = {Op.COALESCE, Op.DIV, Op.NULL_WHERE, Op.LEAST, Op.GREATEST, Op.TO_NUMBER, Op.TO_TEXT}
_EVERY_ROW: Final = pl.repeat(value=True, n=pl.len())


def to_polars(expression: Expression) -> pl.Expr:
    """Give the expression over columns named as its names; null where it is unknown. One value per row."""
    return _emit(expression.tree) & _EVERY_ROW if _may_be_null(expression.tree) else _emit(expression.tree)


def _may_be_null(tree: Node) -> bool:
    """Tell whether an operation makes nulls by a condition.

    polars 2.1 answers one row when a condition holds nowhere and all else is constant, as in `0 < 1 / a` without any a,
    and so does a constant beside a `coalesce` of nothing but nulls.
    """
    waiting: list[Node] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Call):
            if node.op in _CONDITIONAL:
                return True
            waiting.extend(node.args)
    return False


def _emit(node: Node) -> pl.Expr:
    match node:
        case Name(name=name, type=kind):
            return pl.col(name).cast(_DTYPES[kind])
        case Literal(value=value, type=kind):
            return pl.lit(value, dtype=_DTYPES[kind])
        case Call(op=Op.LIKE | Op.ILIKE as op, args=(subject, Literal(value=str() as pattern))):
            return _emit(subject).str.contains(_regex(pattern, ignore_case=op is Op.ILIKE))
        case Call(op=op, args=args):
            return _CALLS[op]([_emit(one) for one in args])


def _regex(pattern: str, *, ignore_case: bool) -> str:
    """`%` is any text, `_` any one character, everything else itself."""
    parts = {"%": ".*", "_": "."}
    body = "".join(parts.get(char) or re.escape(char) for char in pattern)
    return f"(?s{'i' if ignore_case else ''})^{body}$"


def _all(args: Sequence[pl.Expr]) -> pl.Expr:
    return pl.all_horizontal(*args)


def _any(args: Sequence[pl.Expr]) -> pl.Expr:
    return pl.any_horizontal(*args)


def _divided(args: Sequence[pl.Expr]) -> pl.Expr:
    dividend, divisor = args
    return dividend / pl.when(divisor != 0).then(divisor)


def _rounded(args: Sequence[pl.Expr]) -> pl.Expr:
    value, digits = args[0], args[1] if len(args) > 1 else None
    if digits is None:
        return _half_up(value)
    scale = pl.lit(10.0).pow(digits)
    return _half_up(value * scale) / scale


def _half_up(value: pl.Expr) -> pl.Expr:
    """Compare the fraction; `floor(x + 0.5)` would round up the double just below one half."""
    whole = value.floor()
    return whole + (value - whole >= 0.5).cast(pl.Float64())


def _number(args: Sequence[pl.Expr]) -> pl.Expr:
    (text,) = args
    read = text.cast(pl.Float64(), strict=False)
    return pl.when(text.str.contains(NUMERIC_TEXT) & read.is_finite()).then(read)


def _chosen(pick: Callable[..., pl.Expr]) -> Callable[[Sequence[pl.Expr]], pl.Expr]:
    """Give the least or the greatest, null when any operand is null (polars' own ignore nulls)."""

    def choose(args: Sequence[pl.Expr]) -> pl.Expr:
        return pl.when(_all([one.is_not_null() for one in args])).then(pick(*args))

    return choose


_CALLS: Final[dict[Op, Callable[[Sequence[pl.Expr]], pl.Expr]]] = {
    Op.AND: _all,
    Op.OR: _any,
    Op.NOT: lambda args: ~args[0],
    Op.EQ: lambda args: args[0] == args[1],
    Op.NE: lambda args: args[0] != args[1],
    Op.LT: lambda args: args[0] < args[1],
    Op.LE: lambda args: args[0] <= args[1],
    Op.GT: lambda args: args[0] > args[1],
    Op.GE: lambda args: args[0] >= args[1],
    Op.ADD: lambda args: args[0] + args[1],
    Op.SUB: lambda args: args[0] - args[1],
    Op.MUL: lambda args: args[0] * args[1],
    Op.DIV: _divided,
    Op.NEG: lambda args: -args[0],
    Op.IS_NULL: lambda args: args[0].is_null(),
    Op.COALESCE: lambda args: pl.coalesce(*args),
    Op.NULL_WHERE: lambda args: pl.when(args[1].not_().fill_null(value=True)).then(args[0]),
    Op.ABS: lambda args: args[0].abs(),
    Op.ROUND: _rounded,
    Op.FLOOR: lambda args: args[0].floor(),
    Op.CEIL: lambda args: args[0].ceil(),
    Op.LEAST: _chosen(pl.min_horizontal),
    Op.GREATEST: _chosen(pl.max_horizontal),
    Op.LOWER: lambda args: args[0].str.to_lowercase(),
    Op.UPPER: lambda args: args[0].str.to_uppercase(),
    Op.LENGTH: lambda args: args[0].str.len_chars().cast(pl.Float64()),
    Op.TO_NUMBER: _number,
    Op.TO_TEXT: lambda args: pl.when(args[0]).then(pl.lit("true")).when(~args[0]).then(pl.lit("false")),
    Op.TO_INSTANT: lambda args: args[0].cast(pl.Datetime("us", "UTC")),
}
