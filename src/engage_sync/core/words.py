"""Rules and values in plain words, for people who read reasons and have never seen the model. Decides nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from engage_sync.core.expressions import Call, Literal, Name, Node, Op
from engage_sync.core.values import number_text
from engage_sync.core.verdict_rules import Rule

DIGITS = 2
"""Digits after the point that a person is shown."""
NOTHING = "unknown"

_BETWEEN = {
    Op.EQ: "is", Op.NE: "is not", Op.LT: "below", Op.LE: "at most", Op.GT: "above", Op.GE: "at least",
    Op.ADD: "+", Op.SUB: "−", Op.MUL: "×", Op.DIV: "÷", Op.LIKE: "like", Op.ILIKE: "like",
}  # fmt: skip
_PASSED_ON = (Op.TO_NUMBER, Op.TO_TEXT, Op.TO_INSTANT)


def plain(name: str) -> str:
    """Give a name as people say it: `segments.at_risk` is "in at risk", `scores.use_trend` "use trend"."""
    kind, _, rest = name.partition(".")
    spoken = {"segments": f"in {rest}", "signals": f"{rest} is on", "scores": f"{rest} score", "types": rest}
    text = spoken.get(kind, name) if rest else name
    if kind == "scores":
        text = re.sub(r"_(trend|band|heat|sum) score$", r" score \1", text)
    return text.replace("_", " ").replace(".", " ")


def in_words(node: Node) -> str:
    """Give an expression as people read it."""
    match node:
        case Name(name=name):
            return plain(name)
        case Literal(value=value):
            return _literal(value)
        case Call(op=Op.AND | Op.OR as op, args=args):
            return f" {op} ".join(f"({in_words(one)})" if _connects(one) else in_words(one) for one in args)
        case Call(op=op, args=(left, right)) if op in _BETWEEN:
            return f"{in_words(left)} {_BETWEEN[op]} {in_words(right)}"
        case Call(op=op, args=args):
            return _applied(op, [in_words(one) for one in args])


def _applied(op: Op, args: Sequence[str]) -> str:
    if op in _PASSED_ON:
        return args[0]
    around = {Op.NEG: "−{}", Op.IS_NULL: "{} is unknown", Op.NOT: "not ({})"}
    return around[op].format(args[0]) if op in around else f"{op}({', '.join(args)})"


def sentence(rule: Rule) -> str:
    """Give the project's own sentence for a rule, else the rule in words."""
    return rule.why or in_words(rule.when.tree)


def told(column: str, dtype: pl.DataType) -> pl.Expr:
    """Give the values of a column as people read them; null is "unknown"."""
    value = pl.col(column)
    if dtype.is_float():
        text = number_text(value.round(DIGITS, mode="half_away_from_zero"))
    elif isinstance(dtype, pl.Boolean):
        text = pl.when(value).then(pl.lit("yes")).when(~value).then(pl.lit("no"))
    elif isinstance(dtype, pl.Datetime):
        text = value.dt.strftime("%Y-%m-%d %H:%M")
    else:
        text = value.cast(pl.String)
    return text.fill_null(NOTHING)


def _connects(node: Node) -> bool:
    return isinstance(node, Call) and node.op in (Op.AND, Op.OR)


def _literal(value: str | float | bool | datetime | None) -> str:
    match value:
        case None:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.10g}"
        case datetime():
            return f"{value:%Y-%m-%d}" if value.time() == datetime.min.time() else f"{value:%Y-%m-%d %H:%M}"
        case str():
            return f'"{value}"'
