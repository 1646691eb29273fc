"""Rules and values in plain words, for people who read reasons and have never seen the model. Decides nothing."""

from __future__ import annotations

import re

import polars as pl

from engage_sync.core.expression_text import full
from engage_sync.core.expressions import Literal, Node
from engage_sync.core.values import number_text
from engage_sync.core.verdict_rules import Rule

DIGITS = 2
"""Digits after the point that a person is shown."""
NOTHING = "unknown"

_SPOKEN = {
    "=": "is", "<>": "is not", "<": "below", "<=": "at most", ">": "above", ">=": "at least", "*": "×", "/": "÷",
    "-": "−", "is null": "is unknown", "is not null": "is known", "ilike": "like",
}  # fmt: skip
_KEPT = frozenset({"and", "or", "not", "is", "true", "false", "null", "like"})
_TOKEN = re.compile(
    r"'(?:[^']|'')*'|is not null|is null|<>|<=|>=|[<>=*/-]|[0-9][0-9.e+]*|(?:\"[^\"]*\"|[^\W\d]\w*)(?:\.\S+)?\(?"
)


def plain(name: str) -> str:
    """Give a name as people say it: `segments.at_risk` is "in at risk", `scores.use_trend` "use trend"."""
    kind, _, rest = name.partition(".")
    spoken = {"segments": f"in {rest}", "signals": f"{rest} is on", "scores": f"{rest} score", "types": rest}
    text = spoken.get(kind, name) if rest else name
    if kind == "scores":
        text = re.sub(r"_(trend|band|heat|sum) score$", r" score \1", text)
    return text.replace("_", " ").replace(".", " ")


def in_words(node: Node) -> str:
    """Give an expression as people read it: the same parentheses, names and operators in words."""
    if isinstance(node, Literal):
        return "always"
    return _TOKEN.sub(lambda found: _spoken(found[0]), full(node))


def _spoken(token: str) -> str:
    if token.startswith("'"):
        text = token[1:-1].replace("''", "'")
        return f'"{text}"'
    if token in _SPOKEN:
        return _SPOKEN[token]
    if token in _KEPT or token.endswith("(") or token[0].isdigit():
        return token
    return plain(token.replace('"', ""))


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
