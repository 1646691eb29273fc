"""Writes the reference page of the model's words (`docs/reference/model.md`): every name a rule may read and every
value a field map may write, from the same tables that the files are checked with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from engage_sync.config.names import (
    ACCOUNT_MONEY,
    SCORE_FORMS,
    TYPE_TERMS,
    VERDICTS,
    Term,
    built_ins,
    identity,
    rule_type,
)
from engage_sync.config.reach import score_forms
from engage_sync.core.definitions import Entity, ValueType
from engage_sync.core.expressions import FUNCTIONS

_INTRODUCTION = """# The words of a model

Generated from the definitions; do not edit. Which keys a file has is in [configuration.md](configuration.md).

A model is decided in this order: **user types → stage → health → scores → segments → signals**. A rule reads only what
is decided before it, and inside one kind what is written above it. `config/model.yaml` may be split: the files of
`config/model/` go together with it, in the order of their names; what two files both give is refused.

## Rules

A rule is an SQL condition: names, numbers, `'text'`, `true`, `false`, `null`; `and`, `or`, `not`; `=`, `<>`, `<`, `<=`,
`>`, `>=`; `+`, `-`, `*`, `/`; `between … and …`, `in (…)`, `like`, `ilike`, `is [not] null`, `is [not] true`; and the
functions FUNCTIONS.

A comparison with null is unknown, and unknown is not matched. Dividing by zero gives null. A date is compared with ISO
text like `'2026-06-01'`. `like` is case-sensitive, `ilike` is not; `%` is any text, `_` one character.
`round` is half up.

A rule that can never hold is refused: `1 = 2`, `events < 0`, `events > 5 and events < 3`, `health = 'god'`,
`plan = null`.
"""

_WRITE = """## Values in `write`

`FIELD: VALUE`, or in the long form with `from:`, `type:` and `on_drift:`. The type of the field follows from the value
unless `type:` is given. Two more forms write something of your own:

- `{value: engage-sync}`: the same for all, a text, a number, `true` or `false`.
- `{template: "{name}: {stage}, {health}"}`: text with values in it; `{{` and `}}` are braces.

A value is empty where nothing is known, and then clears the field. Options of choices are the model's names in lower
case.
"""

Row: TypeAlias = tuple[str, str, str]

_DECLARED: tuple[Row, ...] = (
    ("NAME", "as declared", "Any declared property or metric, by its name."),
    ("days_to_NAME", "number", "For each date property: calendar days from today until then, negative when past."),
)
_MEMBERS: tuple[Row, ...] = (
    ("segments.NAME", "boolean", "Whether it is in the segment."),
    ("signals.NAME", "boolean", "Whether the signal is on."),
)
_KINDS: Mapping[ValueType, str] = {
    ValueType.SELECT: "one choice",
    ValueType.MULTISELECT: "several choices",
    ValueType.LONG_TEXT: "long text",
    ValueType.URL: "address",
}


def vocabulary() -> str:
    """Give the whole page as Markdown."""
    introduction = _INTRODUCTION.replace("FUNCTIONS", ", ".join(f"`{name}`" for name in FUNCTIONS))
    names = [f"### Names in rules of {entity}s\n\n{_names(entity)}" for entity in Entity]
    values = [f"### Values of {entity}s\n\n{_values(entity)}" for entity in Entity]
    return "\n".join([introduction, *names, _WRITE, *values]).rstrip() + "\n"


def _names(entity: Entity) -> str:
    user = entity is Entity.USER
    before: dict[str, Term] = {**built_ins(entity), **(TYPE_TERMS if user else {})}
    decided: dict[str, Term] = {"stage": VERDICTS["stage"], "health": VERDICTS["health"], **_scores(entity)}
    account = (
        "account.NAME",
        "as there",
        "A property, metric, built-in or roll-up of the user's only account, or null.",
    )
    rows = [*_DECLARED, *_in_rules(before), *([account] if user else []), *_in_rules(decided), *_MEMBERS]
    return _table(("name", "type", "meaning"), rows)


def _values(entity: Entity) -> str:
    own = TYPE_TERMS if entity is Entity.USER else ACCOUNT_MONEY
    terms: dict[str, Term] = {**identity(entity), **own, **built_ins(entity), **VERDICTS, **_scores(entity)}
    rows = [(name, _KINDS.get(term.type, str(term.type)), term.meaning) for name, term in terms.items()]
    return _table(("value", "field", "meaning"), [*_DECLARED, *rows, *_MEMBERS])


def _scores(entity: Entity) -> Mapping[str, Term]:
    return {f"scores.NAME{form}": SCORE_FORMS[form] for form in score_forms("weighted", Entity.USER, entity)}


def _in_rules(terms: Mapping[str, Term]) -> list[Row]:
    return [(name, str(rule_type(term.type)), term.meaning) for name, term in terms.items()]


def _table(heads: Row, rows: Iterable[Row]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in rows]
    return "\n".join(lines) + "\n"
