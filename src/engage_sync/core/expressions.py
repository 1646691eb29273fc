"""The expressions people write in a model (rules and a metric's `where`), as small typed trees, and the one function
that reads them. It never evaluates anything: `core/expression_polars.py` and `events/where.py` turn a tree into their
engine's expressions, and no emitter has to know a type rule, because every conversion is a node of the tree.

What is allowed (semantics §7): names, numbers, 'text', true, false, null; `and or not`; `= <> != < <= > >=`; `+ - * /`;
`between`, `in (…)`, `like` and `ilike` (against a text in quotes), `is [not] null|true|false`; and `FUNCTIONS`.
Anything else (`case`, casts, sub-queries, aggregates, other functions and operators) is refused with its column.
Names are exact, case included; a name with other characters stands in "double quotes".

Where SQL leaves a choice: `least` and `greatest` with a null are null (SQL:2023); `round` is half up, towards plus
infinity (`round(-2.5)` is -2), with digits it is `round(x * 10^n) / 10^n`; `like` knows `%` and `_` and no escape; text
is ordered by code point; a date beside an instant is its midnight UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

FUNCTIONS: Final = (
    "coalesce",
    "nullif",
    "abs",
    "round",
    "floor",
    "ceil",
    "least",
    "greatest",
    "lower",
    "upper",
    "length",
)

NUMERIC_TEXT: Final = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
"""Text that reads as a number (semantics §2). A match may still overflow a double: infinity is no number."""


class BadExpression(ValueError):
    """Text that is no allowed expression. `what` is a sentence with the nearest right thing, `column` counts from 1.

    `name` is the name that is not known, where that is what is wrong.
    """

    def __init__(self, what: str, column: int, name: str | None = None) -> None:
        self.what = what
        self.column = column
        self.name = name
        super().__init__(f"column {column}: {what}")


class Type(StrEnum):
    """The type of a name or of a part of an expression.

    `UNKNOWN` is text that may stand for something else (an event property): beside a number it is read as a number,
    beside a boolean it is compared with `true` or `false` as text.
    """

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    UNKNOWN = "unknown"


class Op(StrEnum):
    """What a `Call` computes. The comparisons, `LIKE` and `ILIKE` are unknown when an operand is null."""

    AND = "and"  # any number of operands
    OR = "or"
    NOT = "not"
    EQ = "="
    NE = "<>"
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "/"
    NEG = "negative"
    IS_NULL = "is null"
    LIKE = "like"  # (text, pattern as a literal)
    ILIKE = "ilike"
    COALESCE = "coalesce"
    NULL_WHERE = "nullif"  # (value, condition): null where the condition holds, else the value
    ABS = "abs"
    ROUND = "round"
    FLOOR = "floor"
    CEIL = "ceil"
    LEAST = "least"
    GREATEST = "greatest"
    LOWER = "lower"
    UPPER = "upper"
    LENGTH = "length"
    TO_NUMBER = "to number"  # text read as a number, null where it is none
    TO_TEXT = "to text"  # boolean to `true` or `false`
    TO_INSTANT = "to instant"  # date to its midnight UTC


@dataclass(frozen=True, slots=True)
class Name:
    """A name of the vocabulary the expression was read with, dots included. `column` as in `Call`."""

    name: str
    type: Type
    column: int = field(default=0, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant. Numbers are doubles, an instant is a `datetime` in UTC, null is None of the type it stands beside.
    `column` as in `Call`."""

    value: str | float | bool | datetime | None
    type: Type
    column: int = field(default=0, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or a function over operands whose types already fit. `column` is where it begins in the text, from 1;
    0 for what stands nowhere, a conversion."""

    op: Op
    args: tuple[Node, ...]
    type: Type
    column: int = field(default=0, repr=False, compare=False)


Node = Name | Literal | Call


@dataclass(frozen=True, slots=True)
class Expression:
    """A boolean expression that was read without a mistake. Two are equal when their text and their names are."""

    text: str
    tree: Node = field(repr=False, compare=False)
    names: frozenset[str] = field(repr=False)


def parse(text: str, names: Mapping[str, Type], *, open_prefixes: tuple[str, ...] = ()) -> Expression:
    """Read a boolean expression over `names`; any name under one of `open_prefixes` is allowed too, as `Type.UNKNOWN`.

    Raises `BadExpression` at the first thing that is not allowed.
    """
    # The reader needs sqlglot, which costs most of a second, and every command imports the definitions.
    from engage_sync.core.expression_reader import read  # noqa: PLC0415

    return read(text, names, open_prefixes)
