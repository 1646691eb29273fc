"""Finds rules that can never hold, whoever they are asked of: constants, contradictions, values that a name never has;
and divisions by zero, which are always null. It searches for one way in which a rule could be true, so that no rule is
refused that could hold for some values. It knows names only by what it is told of them and never sees data.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from engage_sync.core.expression_ranges import (
    MIRRORED,
    OPPOSITE,
    Known,
    Range,
    Scalar,
    folded,
    pattern_matches,
    range_of,
)
from engage_sync.core.expression_text import constant, written
from engage_sync.core.expressions import BadExpression, Call, Expression, Literal, Name, Node, Op, Type

__all__ = ["Known", "refusal"]

_Aim: TypeAlias = "tuple[Node, bool]"
"""A part of the rule and what it has to be for the whole to hold."""
_Trail: TypeAlias = "tuple[_Limit, _Trail] | None"


@dataclass(frozen=True, slots=True)
class _Limit:
    """One comparison that narrowed a part: `value` None asks for null, or with NE for anything else."""

    op: Op
    value: Scalar | frozenset[Scalar] | None
    aim: _Aim

    def narrowed(self, found: Range) -> Range:
        if isinstance(self.value, frozenset):
            return found.within(self.value)
        if self.value is None:
            return found.absent() if self.op is Op.EQ else found.present()
        return found.limited(self.op, self.value)


@dataclass(frozen=True, slots=True)
class _Found:
    """Why a part cannot be what it has to be. `misspelt`: it names a value that does not exist."""

    what: str
    column: int
    misspelt: bool = False


@dataclass(slots=True)
class _Case:
    """What the parts can still be in one way of making the rule true, and which comparisons said so."""

    parts: dict[Node, tuple[Range, _Trail]] = field(default_factory=dict)

    def copy(self) -> _Case:
        return _Case(dict(self.parts))


def refusal(expression: Expression, known: Mapping[str, Known]) -> BadExpression | None:
    """Say why a rule is refused: it can never hold, a part of it beside `or` names a value that does not exist, or it
    divides by zero. None for any other rule, one that always holds too. `known` maps names to what they can be."""
    found = _division(expression.tree) or _Search(known).aim((expression.tree, True), _Case())
    return BadExpression(found.what, found.column) if found else None


def _division(tree: Node) -> _Found | None:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Call):
            continue
        if node.op is Op.DIV and (divisor := folded(node.args[1])) is not None and divisor.value == 0:
            what = f"`{written(node)}` divides by zero, which is always null; divide by something else"
            return _Found(what, _column(node))
        waiting.extend(reversed(node.args))
    return None


def _column(node: Node) -> int:
    """Give where a part begins; a conversion begins with what it converts."""
    while not node.column and isinstance(node, Call):
        node = node.args[0]
    return max(node.column, 1)


class _Search:
    """Looks for a way to make a part true or false. Each answer is None, or why there is none."""

    def __init__(self, known: Mapping[str, Known]) -> None:
        self.known = known

    def aim(self, aim: _Aim, case: _Case) -> _Found | None:
        """Narrow the case to where the part is what it has to be."""
        node, wanted = aim
        if isinstance(node, Call) and node.op in (Op.AND, Op.OR, Op.NOT):
            return self._all(list(_conjuncts(aim)), case)
        if (found := folded(node)) is not None:
            return None if found.value is wanted else _never_constant(node, found)
        return self._plain(node, wanted, case)

    def _plain(self, node: Node, wanted: bool, case: _Case) -> _Found | None:
        """Aim at a part without `and`, `or` and `not` at its top that reads a name."""
        aim = node, wanted
        match node:
            case Call(op=Op.IS_NULL, args=(inner,)):
                return self._narrow(inner, _Limit(Op.EQ if wanted else Op.NE, None, aim), case)
            case Call(op=Op.LIKE | Op.ILIKE as op, args=(subject, Literal(value=str() as pattern))):
                return self._like(subject, pattern, op, aim, case)
            case Call(op=Op.COALESCE, args=args):
                return self._any([(one, wanted) for one in args], case)
            case Call(op=op, args=(left, right)) if op in OPPOSITE:
                return self._compared(left, right, op if wanted else OPPOSITE[op], aim, case)
            case Name(type=Type.BOOLEAN):
                return self._narrow(node, _Limit(Op.EQ, wanted, aim), case)
        return None

    def _all(self, aims: Sequence[_Aim], case: _Case) -> _Found | None:
        """All at once: the comparisons first, because they decide which alternatives are left."""
        alternatives = []
        for aim in aims:
            if (between := _empty_between(aim)) is not None:
                return between
            if (one_of := _one_of(aim)) is not None:
                found = self._one_of(*one_of, aim, case)
            elif _is_choice(aim):
                alternatives.append(aim)
                continue
            else:
                found = self.aim(aim, case)
            if found is not None:
                return found
        for node, wanted in alternatives:
            assert isinstance(node, Call)
            if (found := self._any([(one, wanted) for one in node.args], case)) is not None:
                return found
        return None

    def _any(self, aims: Sequence[_Aim], case: _Case) -> _Found | None:
        """At least one; where only one is left, the case is narrowed by it."""
        refused: list[_Found] = []
        ways: list[_Case] = []
        for aim in aims:
            way = case.copy()
            found = self.aim(aim, way)
            if found is None:
                ways.append(way)
            elif found.misspelt:
                return found
            else:
                refused.append(found)
        if not ways:
            return refused[0]
        if len(ways) == 1:
            case.parts = ways[0].parts
        return None

    def _compared(self, left: Node, right: Node, op: Op, aim: _Aim, case: _Case) -> _Found | None:
        first, second = folded(left), folded(right)
        for side, other in ((first, right), (second, left)):
            if side is not None and side.value is None:
                return _null_compared(other, op, aim)
        if first is not None and first.value is not None:
            return self._beside_constant(right, MIRRORED[op], first.value, aim, case)
        if second is not None and second.value is not None:
            return self._beside_constant(left, op, second.value, aim, case)
        if left == right and op in (Op.NE, Op.LT, Op.GT):
            return _Found(f"`{_said(aim)}` can never hold, both sides are the same", _column(aim[0]))
        return None

    def _beside_constant(self, part: Node, op: Op, value: Scalar, aim: _Aim, case: _Case) -> _Found | None:
        if isinstance(value, bool):
            return self.aim((part, value is (op is Op.EQ)), case)
        return self._misspelt(part, op, value, aim) or self._narrow(part, _Limit(op, value, aim), case)

    def _one_of(self, part: Node, values: Sequence[Scalar], aim: _Aim, case: _Case) -> _Found | None:
        for value in values:
            if (found := self._misspelt(part, Op.EQ, value, aim)) is not None:
                return found
        return self._narrow(part, _Limit(Op.EQ, frozenset(values), aim), case)

    def _like(self, subject: Node, pattern: str, op: Op, aim: _Aim, case: _Case) -> _Found | None:
        found, _ = case.parts.get(subject) or (range_of(subject, self.known), None)
        texts = [value for value in found.only or () if isinstance(value, str)]
        if found.only is None or (op is Op.ILIKE and not all(one.isascii() for one in (*texts, pattern))):
            return self._narrow(subject, _Limit(Op.NE, None, aim), case)
        fits = {one for one in texts if pattern_matches(pattern, one, ignore_case=op is Op.ILIKE) is aim[1]}
        return self._narrow(subject, _Limit(Op.EQ, frozenset(fits), aim), case)

    def _narrow(self, part: Node, limit: _Limit, case: _Case) -> _Found | None:
        found, trail = case.parts.get(part) or (range_of(part, self.known), None)
        narrowed = limit.narrowed(found)
        if narrowed.empty:
            return self._contradiction(part, limit, trail)
        case.parts[part] = (narrowed, (limit, trail))
        return None

    def _misspelt(self, part: Node, op: Op, value: Scalar, aim: _Aim) -> _Found | None:
        options = self.known.get(part.name, Known()).options if isinstance(part, Name) else None
        if options is None or op is not Op.EQ or value in options or not isinstance(value, str):
            return None
        what = f"`{written(part)}` is never {constant(value)}; {_nearest(value, options)}"
        return _Found(what, _column(aim[0]), misspelt=True)

    def _contradiction(self, part: Node, limit: _Limit, trail: _Trail) -> _Found:
        column = _column(limit.aim[0])
        whole = range_of(part, self.known)
        if limit.narrowed(whole).empty:
            return _Found(_outside(part, limit, whole), column)
        for other in _steps(trail):
            if limit.narrowed(other.narrowed(whole)).empty:
                first, second = _said(other.aim), _said(limit.aim)
                return _Found(f"`{first}` and `{second}` can never both hold; {_instead(part, other, limit)}", column)
        told = ", ".join(f"`{_said(one.aim)}`" for one in reversed([limit, *_steps(trail)]))
        return _Found(f"{told} can never all hold; did you mean `or` between some of them?", column)


def _steps(trail: _Trail) -> Iterator[_Limit]:
    while trail is not None:
        yield trail[0]
        trail = trail[1]


def _conjuncts(aim: _Aim) -> Iterator[_Aim]:
    """Give what all has to be as it is aimed at, through `and` and `not`; a choice is given whole."""
    waiting = [aim]
    while waiting:
        node, wanted = waiting.pop()
        if isinstance(node, Call) and node.op is Op.NOT:
            waiting.append((node.args[0], not wanted))
        elif _is_choice((node, wanted)) or _empty_between((node, wanted)) is not None:
            yield node, wanted
        elif isinstance(node, Call) and node.op in (Op.AND, Op.OR):
            waiting.extend((one, wanted) for one in reversed(node.args))
        else:
            yield node, wanted


def _is_choice(aim: _Aim) -> bool:
    """Tell whether one of several parts is enough: `or` that is to hold, `and` that is not to."""
    return isinstance(aim[0], Call) and aim[0].op is (Op.OR if aim[1] else Op.AND)


def _one_of(aim: _Aim) -> tuple[Node, list[Scalar]] | None:
    """Read `x in (…)`, or `x = … or x = …`: the part and the constants; null is equal to none of them."""
    node, wanted = aim
    if not isinstance(node, Call) or node.op is not Op.OR or not wanted:
        return None
    parts: dict[Node, None] = {}
    values: list[Scalar] = []
    for one in node.args:
        if not (isinstance(one, Call) and one.op is Op.EQ):
            return None
        value = folded(one.args[1])
        if value is None or isinstance(value.value, bool) or folded(one.args[0]) is not None:
            return None
        parts[one.args[0]] = None
        values += [] if value.value is None else [value.value]
    return (next(iter(parts)), values) if len(parts) == 1 and values else None


def _empty_between(aim: _Aim) -> _Found | None:
    """Refuse `x between 5 and 3`."""
    match aim:
        case (Call(op=Op.AND, args=(Call(op=Op.GE, args=(x, low)), Call(op=Op.LE, args=(y, high)))), True) if x == y:
            least, most = folded(low), folded(high)
        case _:
            return None
    if least is None or most is None or folded(x) is not None or least.value is None or most.value is None:
        return None
    if least.value <= most.value:  # type: ignore[operator]  # both fit x
        return None
    name, first, second = written(x), constant(least.value), constant(most.value)
    what = f"`{name}` is never between {first} and {second}; did you mean `{name} between {second} and {first}`?"
    return _Found(what, _column(aim[0]))


def _said(aim: _Aim) -> str:
    return written(aim[0]) if aim[1] else f"not ({written(aim[0])})"


def _never_constant(node: Node, found: Literal) -> _Found:
    answer = "unknown" if found.value is None else constant(found.value)
    what = f"`{written(node)}` is always {answer}, so it can never hold; compare a name with a value, or leave it out"
    return _Found(what, _column(node))


def _null_compared(part: Node, op: Op, aim: _Aim) -> _Found:
    name = written(part)
    instead = {Op.EQ: f"write `{name} is null`", Op.NE: f"write `{name} is not null`"}
    what = f"a comparison with null is always unknown; {instead.get(op, f'compare `{name}` with a value')}"
    return _Found(what, _column(aim[0]))


def _instead(part: Node, first: _Limit, second: _Limit) -> str:
    values = [one.value for one in (first, second) if one.op is Op.EQ and isinstance(one.value, str | float)]
    if len(values) == 2:
        return f"did you mean `{written(part)} in ({', '.join(constant(value) for value in values)})`?"
    return "did you mean `or`?"


def _outside(part: Node, limit: _Limit, whole: Range) -> str:
    """Tell that a part never has such values, and what it has."""
    name, said = written(part), _said(limit.aim)
    bounds = [one for one in (whole.low, whole.high) if isinstance(one, int | float)]
    if whole.only is not None and not isinstance(limit.value, bool):
        texts = [constant(one) for one in sorted(str(value) for value in whole.only)]
        return f"`{said}` can never hold; `{name}` is {_listed(texts)}"
    if limit.value is None:
        return f"`{said}` can never hold; `{name}` is never null"
    if not bounds or not isinstance(limit.value, int | float):
        return f"`{said}` can never hold"
    least = f"at least {constant(bounds[0])}" if whole.high is None else f"at most {constant(bounds[-1])}"
    span = f"between {constant(bounds[0])} and {constant(bounds[1])}" if len(bounds) == 2 else least
    asked = float(limit.value)
    nearest = min(bounds, key=lambda bound: abs(bound - asked))
    return f"`{said}` can never hold, `{name}` is {span}; did you mean `{name} = {constant(nearest)}`?"


def _nearest(value: str, options: Iterable[str]) -> str:
    names = list(options)
    folded_names = {name.lower(): name for name in reversed(names)}
    close = difflib.get_close_matches(value.lower(), folded_names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {constant(folded_names[close[0]])}?"
    return f"it is {_listed([constant(name) for name in names])}" if names else "the model defines none"


def _listed(texts: Sequence[str]) -> str:
    shown = [*texts[:8], *(["…"] if len(texts) > 8 else [])]
    return ", ".join(shown[:-1]) + f" or {shown[-1]}" if len(shown) > 1 else "".join(shown) or "always null"
