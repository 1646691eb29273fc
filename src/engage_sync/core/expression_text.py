"""Writing a part of an expression as its text again, for sentences about it. It keeps the meaning, not the spacing, and
decides nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from engage_sync.core.expressions import Call, Literal, Name, Node, Op, Type

_BARE: Final = re.compile(r"[^\W\d]\w*")
_CONVERSIONS: Final = (Op.TO_NUMBER, Op.TO_TEXT, Op.TO_INSTANT)
_BINDING: Final = {
    Op.OR: 1, Op.AND: 2, Op.NOT: 3,
    **dict.fromkeys((Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE, Op.LIKE, Op.ILIKE, Op.IS_NULL), 4),
    Op.ADD: 5, Op.SUB: 5, Op.MUL: 6, Op.DIV: 6, Op.NEG: 7,
}  # fmt: skip
"""How tightly an operator holds its operands; functions hold theirs in parentheses."""
_LONGEST: Final = 100


def written(node: Node) -> str:
    """Give a part of an expression as text, cut where it is long."""
    text = full(node)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def full(node: Node) -> str:
    """Give a part of an expression as text."""
    match node:
        case Name(name=name):
            return ".".join(part if _BARE.fullmatch(part) else f'"{part}"' for part in name.split("."))
        case Literal(value=value):
            return constant(value)
        case Call():
            return _short(node) or _call(node.op, node.args)


def _short(node: Call) -> str | None:
    """Give what the reader took apart as it was written: `is not null`, `is true`, `nullif`, and no conversions."""
    match node:
        case Call(op=op, args=(inner,)) if op in _CONVERSIONS:
            return full(inner)
        case Call(op=Op.NOT, args=(Call(op=Op.IS_NULL, args=(inner,)),)):
            return f"{_held(inner, 5)} is not null"
        case Call(op=Op.COALESCE, args=(Call(op=Op.EQ, args=(value, Literal(value=bool() as truth))), _)) if (
            value.type is Type.BOOLEAN
        ):
            return f"{_held(value, 5)} is {constant(truth)}"
        case Call(op=Op.NULL_WHERE, args=(value, Call(args=(_, other)))):
            return f"nullif({full(value)}, {full(other)})"
    return None


def _call(op: Op, args: Sequence[Node]) -> str:
    strength = _BINDING.get(op)
    if strength is None:
        return f"{op}({', '.join(full(one) for one in args)})"
    if op is Op.IS_NULL:
        return f"{_held(args[0], 5)} is null"
    if op in (Op.NOT, Op.NEG):
        return ("not " if op is Op.NOT else "-") + _held(args[0], strength + 1)
    parts = [_held(args[0], strength), *(_held(one, strength + 1) for one in args[1:])]
    return f" {op} ".join(parts)


def _held(node: Node, strength: int) -> str:
    """Give an operand, in parentheses where it would otherwise fall apart."""
    inner = node
    while isinstance(inner, Call) and inner.op in _CONVERSIONS:
        inner = inner.args[0]
    loose = isinstance(inner, Call) and _BINDING.get(inner.op, 9) < strength
    return f"({full(inner)})" if loose else full(inner)


def constant(value: str | float | bool | datetime | None) -> str:
    """Give a constant as it is written in a rule."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return "'" + value.replace("'", "''") + "'"
        case datetime():
            midnight = value.time() == datetime.min.time()
            return f"'{value:%Y-%m-%d}'" if midnight else f"'{value.isoformat().replace('+00:00', 'Z')}'"
        case _:
            return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
