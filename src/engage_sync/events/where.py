"""Turning a metric's `where` into an Ibis expression over the store's columns `event`, `kind` and `properties`. It
decides no type rule: the expression's tree already holds every conversion; unknown is null."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Final

import ibis
import ibis.expr.types as ir

from engage_sync.core.expressions import NUMERIC_TEXT, Call, Expression, Literal, Name, Node, Op, Type
from engage_sync.events.functions import ceil, floor

_PROPERTIES: Final = "properties."
_DTYPES: Final = {
    Type.TEXT: "string",
    Type.UNKNOWN: "string",
    Type.NUMBER: "float64",
    Type.BOOLEAN: "boolean",
    Type.DATE: "date",
    Type.DATETIME: "timestamp('UTC')",
}


def to_ibis(expression: Expression, table: ir.Table) -> ir.BooleanValue:
    """Give the expression over a table with the columns event, kind and properties (map); null where it is unknown."""
    return _emit(expression.tree, table)


def value_of(name: str, table: ir.Table) -> ir.StringValue:
    """Give the text that `event`, `kind` or `properties.NAME` stands for; null where a message has no such property."""
    if name.startswith(_PROPERTIES):
        return table["properties"].get(name.removeprefix(_PROPERTIES))
    return table[name]


def as_number(text: ir.StringValue) -> ir.FloatingValue:
    """Read numeric text as a double (semantics §2), anything else as null."""
    read = text.try_cast("float64")
    return ibis.ifelse(text.re_search(NUMERIC_TEXT) & ~read.isinf(), read, ibis.null("float64"))


def _emit(node: Node, table: ir.Table) -> ir.Value:
    match node:
        case Name(name=name):
            return value_of(name, table)
        case Literal(value=value, type=kind):
            return ibis.literal(value, type=_DTYPES[kind])
        case Call(op=Op.LIKE, args=(subject, Literal(value=str() as pattern))):
            return _emit(subject, table).like(pattern)
        case Call(op=Op.ILIKE, args=(subject, Literal(value=str() as pattern))):
            return _emit(subject, table).ilike(pattern)
        case Call(op=op, args=args):
            return _CALLS[op]([_emit(one, table) for one in args])


def _joined(join: Callable[[ir.Value, ir.Value], ir.Value]) -> Callable[[Sequence[ir.Value]], ir.Value]:
    """Combine many operands as a balanced tree: a long `in` list must not become a deep one."""

    def combine(args: Sequence[ir.Value]) -> ir.Value:
        if len(args) <= 2:
            return reduce(join, args)
        middle = len(args) // 2
        return join(combine(args[:middle]), combine(args[middle:]))

    return combine


def _negated(value: ir.BooleanValue) -> ir.BooleanValue:
    """Compare with false: for `(not x) is null` Ibis writes NOT x IS NULL, which SQL reads as not (x is null)."""
    return value == ibis.literal(False)


def _half_up(value: ir.FloatingValue) -> ir.FloatingValue:
    """Compare the fraction; `floor(x + 0.5)` would round up the double just below one half."""
    whole = floor(value)
    return whole + ibis.ifelse(value - whole >= 0.5, 1.0, 0.0)


def _rounded(args: Sequence[ir.Value]) -> ir.Value:
    if len(args) == 1:
        return _half_up(args[0])
    scale = ibis.literal(10.0).pow(args[1])
    return _half_up(args[0] * scale) / scale


def _chosen(pick: Callable[..., ir.Value]) -> Callable[[Sequence[ir.Value]], ir.Value]:
    """Give the least or the greatest, null when any operand is null (DuckDB's own ignore nulls)."""

    def choose(args: Sequence[ir.Value]) -> ir.Value:
        known = reduce(lambda one, other: one & other, [value.notnull() for value in args])
        return ibis.ifelse(known, pick(*args), ibis.null(args[0].type()))

    return choose


_CALLS: Final[dict[Op, Callable[[Sequence[ir.Value]], ir.Value]]] = {
    Op.AND: _joined(lambda one, other: one & other),
    Op.OR: _joined(lambda one, other: one | other),
    Op.NOT: lambda args: _negated(args[0]),
    Op.EQ: lambda args: args[0] == args[1],
    Op.NE: lambda args: args[0] != args[1],
    Op.LT: lambda args: args[0] < args[1],
    Op.LE: lambda args: args[0] <= args[1],
    Op.GT: lambda args: args[0] > args[1],
    Op.GE: lambda args: args[0] >= args[1],
    Op.ADD: lambda args: args[0] + args[1],
    Op.SUB: lambda args: args[0] - args[1],
    Op.MUL: lambda args: args[0] * args[1],
    Op.DIV: lambda args: args[0] / args[1].nullif(0.0),
    Op.NEG: lambda args: -args[0],
    Op.IS_NULL: lambda args: args[0].isnull(),
    Op.COALESCE: lambda args: ibis.coalesce(*args),
    Op.NULL_WHERE: lambda args: ibis.ifelse(args[1].fill_null(False), ibis.null(args[0].type()), args[0]),
    Op.ABS: lambda args: args[0].abs(),
    Op.ROUND: _rounded,
    Op.FLOOR: lambda args: floor(args[0]),
    Op.CEIL: lambda args: ceil(args[0]),
    Op.LEAST: _chosen(ibis.least),
    Op.GREATEST: _chosen(ibis.greatest),
    Op.LOWER: lambda args: args[0].lower(),
    Op.UPPER: lambda args: args[0].upper(),
    Op.LENGTH: lambda args: args[0].length().cast("float64"),
    Op.TO_NUMBER: lambda args: as_number(args[0]),
    Op.TO_TEXT: lambda args: ibis.cases((args[0], "true"), (_negated(args[0]), "false")),
    Op.TO_INSTANT: lambda args: args[0].cast("timestamp('UTC')"),
}
