"""The type rules of expressions (semantics §7): which operands fit each other, and what is converted where they fit
only after a conversion. It builds typed nodes or raises `BadExpression`; it knows no SQL syntax and no engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from engage_sync.core.expressions import BadExpression, Call, Literal, Name, Node, Op, Type

_TEMPORAL: Final = (Type.DATE, Type.DATETIME)
_ORDERED: Final = (Op.LT, Op.LE, Op.GT, Op.GE)


def compared(op: Op, left: Node, right: Node, column: int) -> Node:
    """Compare two operands after converting them to what they share."""
    if op in _ORDERED and Type.BOOLEAN in (left.type, right.type):
        raise BadExpression(f"true and false have no order; use = or <> instead of {op}", column)
    return Call(op, tuple(shared([left, right], column)), Type.BOOLEAN)


def shared(operands: Sequence[Node], column: int) -> list[Node]:
    """Convert operands to the one type in which they can be compared or stand for each other."""
    types = {node.type for node in operands if not is_null(node)}
    if not types:
        return list(operands)
    if types & set(_TEMPORAL):
        return [_as_instant(node, column) for node in operands] if types != {Type.DATE} else list(operands)
    if Type.NUMBER in types:
        return [number(node, column) for node in operands]
    if Type.BOOLEAN in types:
        if Type.TEXT in types:
            raise BadExpression(f"{named(operands)}: text and a boolean do not compare", column)
        return (
            [_as_text(node) for node in operands] if Type.UNKNOWN in types else [boolean(n, column) for n in operands]
        )
    return list(operands)


def number(node: Node, column: int) -> Node:
    """Give the operand as a number; text of unknown type is read as one, null where it is none."""
    if is_null(node):
        return Literal(None, Type.NUMBER)
    if node.type is Type.NUMBER:
        return node
    if node.type is Type.UNKNOWN:
        return Call(Op.TO_NUMBER, (node,), Type.NUMBER)
    raise BadExpression(f"{shown(node)} is {_article(node.type)}, where a number is needed", column)


def text(node: Node, column: int) -> Node:
    """Give the operand as text."""
    if is_null(node):
        return Literal(None, Type.TEXT)
    if node.type in (Type.TEXT, Type.UNKNOWN):
        return node
    raise BadExpression(f"{shown(node)} is {_article(node.type)}, where text is needed", column)


def boolean(node: Node, column: int) -> Node:
    """Give the operand as true, false or unknown."""
    if is_null(node):
        return Literal(None, Type.BOOLEAN)
    if node.type is Type.BOOLEAN:
        return node
    if node.type is Type.UNKNOWN:
        what = f"{shown(node)} is text, where true or false is needed; compare it: {shown(node)} = true"
        raise BadExpression(what, column)
    what = f"{shown(node)} is {_article(node.type)}, where true or false is needed; compare it with something"
    raise BadExpression(what, column)


def arithmetic(op: Op, operands: Sequence[Node], column: int) -> Node:
    """Compute a number from numbers."""
    return Call(op, tuple(number(node, column) for node in operands), Type.NUMBER)


def alternatives(op: Op, operands: Sequence[Node], column: int) -> Node:
    """`coalesce`, `least` and `greatest`: one of several operands of a shared type."""
    converted = shared(operands, column)
    types = {node.type for node in converted if not is_null(node)}
    if op is not Op.COALESCE and Type.BOOLEAN in types:
        raise BadExpression(f"true and false have no order, {op} cannot choose between them", column)
    return Call(op, tuple(converted), _one(types))


def null_where_equal(value: Node, other: Node, column: int) -> Node:
    """`nullif(value, other)`: null where both are equal, else `value` as it is."""
    return Call(Op.NULL_WHERE, (value, compared(Op.EQ, value, other, column)), value.type)


def is_null(node: Node) -> bool:
    """Whether the node is the constant null."""
    return isinstance(node, Literal) and node.value is None


def shown(node: Node) -> str:
    """Name an operand in a sentence."""
    match node:
        case Name(name=name):
            return name
        case Literal(value=bool() as value):
            return str(value).lower()
        case Literal(value=float() as value):
            return f"{value:g}"
        case Literal(value=value):
            return f"'{value}'"
        case Call(op=Op.TO_NUMBER | Op.TO_TEXT | Op.TO_INSTANT, args=(inner,)):
            return shown(inner)
        case Call(op=op):
            return f"the result of {op}"


def named(operands: Sequence[Node]) -> str:
    """Name several operands in a sentence."""
    return " and ".join(shown(node) for node in operands[:3])


def _one(types: set[Type]) -> Type:
    if len(types) == 1:
        return next(iter(types))
    return Type.TEXT if types == {Type.TEXT, Type.UNKNOWN} else Type.UNKNOWN


def _article(kind: Type) -> str:
    return "text" if kind in (Type.TEXT, Type.UNKNOWN) else f"a {kind}"


def _as_text(node: Node) -> Node:
    if is_null(node):
        return Literal(None, Type.UNKNOWN)
    if isinstance(node, Literal) and node.type is Type.BOOLEAN:
        return Literal(str(node.value).lower(), Type.UNKNOWN)
    return Call(Op.TO_TEXT, (node,), Type.UNKNOWN) if node.type is Type.BOOLEAN else node


def _as_instant(node: Node, column: int) -> Node:
    if is_null(node):
        return Literal(None, Type.DATETIME)
    if node.type is Type.DATETIME:
        return node
    if node.type is Type.DATE:
        return Call(Op.TO_INSTANT, (node,), Type.DATETIME)
    if isinstance(node, Literal) and isinstance(node.value, str):
        return Literal(_instant(node.value, column), Type.DATETIME)
    raise BadExpression(f"{shown(node)} is {_article(node.type)}; a date is compared with a date or ISO text", column)


def _instant(value: str, column: int) -> datetime:
    """Read ISO text by semantics §1: without a zone UTC, a date alone its midnight UTC, digits below µs are cut."""
    try:
        read = datetime.fromisoformat(value)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        what = f"'{value}' is no ISO date; write it like '2026-01-31' or '2026-01-31T12:00:00Z'"
        raise BadExpression(what, column) from None


def literal_number(value: str, column: int) -> Literal:
    """Read a numeric constant."""
    read = float(value)
    if not math.isfinite(read):
        raise BadExpression(f"{value} is too large for a number", column)
    return Literal(read, Type.NUMBER)
