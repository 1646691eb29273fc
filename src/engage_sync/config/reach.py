"""What a rule of a model may read where it stands, and why it may not read a name that exists elsewhere: of the other
entity, decided later, or written below (semantics §7). It parses no rule and knows no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from engage_sync.config.names import ACCOUNT_MONEY, SCORE_FORMS, TYPE_TERMS, USER_TYPES, VERDICTS, rule_type
from engage_sync.core.definitions import Entity, ValueType
from engage_sync.core.expression_ranges import Known
from engage_sync.core.expressions import Type

ORDER = ("types", "stage", "health", "scores", "segments", "signals")
_DECIDED = {"types": "the user types", "stage": "stages"}
_READERS = {
    "types": "the influencer rule",
    "stage": "a stage",
    "health": "a health rule",
    "scores": "a score",
    "segments": "a segment",
    "signals": "a signal",
}
_ACCOUNT = "account."


def _nothing(_: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one rule may read: names with their types and what they can be; `refused` says why another may not be."""

    types: Mapping[str, Type]
    known: Mapping[str, Known] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    refused: Callable[[str], str | None] = _nothing


@dataclass(slots=True)
class Declared:
    """The verdicts one entity has: their types as values, and the options of those that hold names."""

    types: dict[str, ValueType] = field(default_factory=dict)
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)


def score_forms(kind: object, of: Entity, entity: Entity) -> tuple[str, ...]:
    """Give the forms in which an entity has a score of that kind: "" and the suffixes. An unknown kind has all."""
    if kind == "rules":
        return ("", "_band") if of is entity else ()
    if kind == "weighted" and entity is Entity.USER:
        return ("", "_trend", "_band", "_heat")
    return tuple(SCORE_FORMS)


class Reach:
    """The names of both entities, growing in the order in which a model is decided."""

    def __init__(self, data: Mapping[str, object], types: Mapping[Entity, Mapping[str, Type]]) -> None:
        self.base = types
        self.types: dict[Entity, dict[str, Type]] = {entity: dict(found) for entity, found in types.items()}
        self.known: dict[Entity, dict[str, Known]] = {entity: {} for entity in Entity}
        self.declared = {entity: Declared({name: term.type for name, term in VERDICTS.items()}) for entity in Entity}
        self.later = {entity: _verdicts(data, entity) for entity in Entity}
        """Every verdict that the model has, with the part of ORDER that decides it."""

    def know(self, known: Mapping[Entity, Mapping[str, Known]]) -> None:
        """Take over what metrics and built-ins can be."""
        for entity, found in known.items():
            self.known[entity] |= found

    def open_types(self) -> None:
        """Let users' rules read the user types and their only account."""
        users = self.types[Entity.USER]
        users |= {name: rule_type(term.type) for name, term in TYPE_TERMS.items()}
        users |= {f"{_ACCOUNT}{name}": kind for name, kind in self.base[Entity.ACCOUNT].items()}
        accounts = {f"{_ACCOUNT}{name}": known for name, known in self.known[Entity.ACCOUNT].items()}
        self.known[Entity.USER] |= {name: term.known for name, term in TYPE_TERMS.items()} | accounts

    def add(self, entity: Entity, name: str, kind: Type, known: Known | None = None) -> None:
        """Let the rules that follow read a verdict. One that is not valid itself is of unknown type."""
        self.types[entity][name] = kind
        self.known[entity][name] = known or Known()

    def value(self, entity: Entity, name: str, kind: ValueType, options: Iterable[str] | None = None) -> None:
        """Note a verdict as a value, with the options of its field."""
        self.declared[entity].types[name] = kind
        if options is not None:
            self.declared[entity].options[name] = tuple(dict.fromkeys(option.lower() for option in options))

    def reading(self, entity: Entity, reader: str, own: str | None = None) -> Reading:
        """Give what a rule may read now. `reader` is its part of ORDER, `own` the verdict that it decides."""

        def refused(name: str) -> str | None:
            return self._refused(entity, reader, own, name)

        return Reading(self.types[entity], self.known[entity], refused=refused)

    def _refused(self, entity: Entity, reader: str, own: str | None, name: str) -> str | None:
        kind = self.later[entity].get(name)
        if kind is not None:
            return _order(kind, reader, own, name)
        return self._of_accounts(reader, name) if entity is Entity.USER else self._of_users(name)

    def _of_accounts(self, reader: str, name: str) -> str | None:
        bare = name.removeprefix(_ACCOUNT)
        accounts = {**self.base[Entity.ACCOUNT], **self.later[Entity.ACCOUNT]}
        if bare not in accounts:
            return _undeclared(bare) if bare != name else None
        if reader == "types":
            return (
                f"`{name}` is of accounts; the influencer rule reads the user's own properties, metrics and built-ins"
            )
        if bare in self.later[Entity.ACCOUNT]:
            return (
                f"`{name}` is a verdict of accounts; of its account a user's rule reads properties, metrics, "
                "built-ins and roll-ups only"
            )
        return f"`{name}` is of accounts; did you mean `{_ACCOUNT}{name}`, that of the user's only account?"

    def _of_users(self, name: str) -> str | None:
        bare = name.removeprefix(_ACCOUNT)
        if bare != name and bare in {**self.base[Entity.ACCOUNT], **self.later[Entity.ACCOUNT]}:
            return f"a rule of accounts reads its own values without `{_ACCOUNT}`; did you mean `{bare}`?"
        kind = name.removeprefix("types.")
        if kind != name and kind in USER_TYPES:
            return f"`{name}` is of users; did you mean `users_{kind}`, how many of the account's users are?"
        if name in self.base[Entity.USER] and name not in ACCOUNT_MONEY:
            return f"`{name}` is of users; a rule of accounts cannot read it"
        if name in self.later[Entity.USER]:
            return f"`{name}` is a verdict of users; a rule of accounts cannot read it"
        return _undeclared(name)


def _order(kind: str, reader: str, own: str | None, name: str) -> str:
    if reader == kind == "types":
        return f"`{name}` is decided by the user types; {_READERS[reader]} reads only what comes before them"
    if own is not None and (name == own or (kind == "scores" and name in {f"{own}{form}" for form in SCORE_FORMS})):
        return f"`{name}` is what this rule decides; it reads only what is decided before"
    if kind == reader:
        return f"`{name}` stands below; a rule reads only what is written above it"
    return f"`{name}` is decided after {_DECIDED.get(reader, reader)}; {_READERS[reader]} cannot read it"


def _undeclared(name: str) -> str | None:
    if name not in ACCOUNT_MONEY:
        return None
    return f"`{name}` of an account is a property that is not declared; declare it under `properties: account:`"


def _verdicts(data: Mapping[str, object], entity: Entity) -> dict[str, str]:
    """Give the verdicts of an entity that the files name, valid or not."""
    found = {"stage": "stage", "health": "health"}
    if entity is Entity.USER:
        found |= dict.fromkeys(TYPE_TERMS, "types")
    for section in ("scores", "segments", "signals"):
        written = data.get(section)
        for name, inner in written.items() if isinstance(written, dict) else ():
            given = inner if isinstance(inner, dict) else {}
            of = [one for one in Entity if given.get("entity", one.value) == one.value] or list(Entity)
            if section == "scores":
                forms = [form for one in of for form in score_forms(given.get("kind"), one, entity)]
                found |= {f"scores.{name}{form}": section for form in forms}
            elif entity in of:
                found[f"{section}.{name}"] = section
    return found
