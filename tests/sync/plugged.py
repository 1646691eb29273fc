"""Connectors as strangers write them: one that keeps every promise of the seam, and many that break one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from engage_sync.connectors.base import (
    Change,
    Connector,
    Cursor,
    Field,
    FieldSpec,
    Kind,
    Limits,
    Memory,
    Outcome,
    Page,
    Provisioned,
    Record,
    Role,
    Schema,
    Status,
    Turnstile,
)
from engage_sync.core.definitions import ValueType
from engage_sync.errors import Transient

LIMITS = Limits(push_batch=10, in_flight=1, objects={"people": Role.CONTACT})


class Keys(BaseModel):
    model_config = ConfigDict(extra="forbid")

    colour: str = "blue"


class Sound(Connector):
    """One person, and a field that takes anything."""

    name: ClassVar[str] = "sound"
    Settings: ClassVar[type[BaseModel]] = Keys
    limits: ClassVar[Limits] = LIMITS

    def __init__(self, settings: Keys, memory: Memory) -> None:
        self.turnstile = Turnstile()

    def check(self) -> Schema:
        names = ("email", "engage_events")
        return Schema("1", {"people": {name: Field(name, name, ValueType.TEXT, "text") for name in names}})

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        person = Record("1", {"email": "ada@a.example", "engage_events": None}, "2026-06-01T00:00:00Z")
        return Page([person], [], {}, Cursor("end"), done=True)

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        for change in changes:
            yield Outcome(change.record, Status.WRITTEN)

    def provision(self, fields: Sequence[FieldSpec]) -> list[Provisioned]:
        return [Provisioned(spec, "exists") for spec in fields]


class Halting(Sound):
    name = "halting"

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        return Page([], [], {}, Cursor("here"), done=False)


class Numbers(Sound):
    name = "numbers"

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        return Page([Record("1", {"engage_events": 5}, "")], [], {}, Cursor("end"), done=True)  # type: ignore[dict-item]


class NoIds(Sound):
    name = "noids"

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        return Page([Record(1, {}, "")], [], {}, Cursor("end"), done=True)  # type: ignore[arg-type]


class Places(Sound):
    name = "places"

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        return Page([], [], {}, 7, done=True)  # type: ignore[arg-type]


class Forgets(Sound):
    name = "forgets"

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:  # type: ignore[return]
        """Forget to return."""


class Stumbles(Sound):
    name = "stumbles"

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        answer: dict[str, Page] = {}
        return answer["token-that-nobody-may-see"]


class Describes(Sound):
    name = "describes"

    def check(self) -> Schema:
        return {"people": ["email"]}  # type: ignore[return-value]


class Names(Sound):
    name = "names"

    def check(self) -> Schema:
        return Schema("1", {"people": ["email"]})  # type: ignore[dict-item]


class Returns(Sound):
    name = "returns"

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:  # type: ignore[return]
        """Write, and say nothing of it."""


class Repeats(Sound):
    name = "repeats"

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        for change in changes:
            yield Outcome(change.record, Status.WRITTEN)
            yield Outcome(change.record, Status.WRITTEN)


class Invents(Sound):
    name = "invents"

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        yield Outcome("another", Status.WRITTEN)


class Praises(Sound):
    name = "praises"

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        yield Outcome("1", "great")  # type: ignore[arg-type]


class Affirms(Sound):
    name = "affirms"

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        yield True  # type: ignore[misc]


class Breaks(Sound):
    name = "breaks"

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        yield Outcome("1", Status.WRITTEN)
        raise ConnectionResetError("token-that-nobody-may-see")


class Silent(Sound):
    """Leaves each second record out."""

    name = "silent"

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        for change in changes[::2] if len(changes) > 1 else ():
            yield Outcome(change.record, Status.WRITTEN)


class Idle(Sound):
    name = "idle"

    def provision(self, fields: Sequence[FieldSpec]) -> list[Provisioned]:
        return []


class Clings(Sound):
    name = "clings"

    def close(self) -> None:
        raise RuntimeError


class Busy(Sound):
    name = "busy"

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        raise Transient("busy", 2.0)


class Unbuilt(Sound):
    name = "unbuilt"

    def __init__(self) -> None:
        super().__init__(Keys(), None)  # type: ignore[arg-type]


class Half(Connector):
    """Without pull and push."""

    name = "half"
    Settings = Keys
    limits = LIMITS

    def check(self) -> Schema:
        return Schema("1", {})


class Nameless(Half):
    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        return Page([], [], {}, Cursor("end"), done=True)

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        yield from ()


class Plain(Sound):
    name = "plain"
    Settings = dict  # type: ignore[assignment]


class Limited(BaseModel):
    limits: int


class Takes(Sound):
    name = "takes"
    Settings = Limited


class Boundless(Sound):
    name = "boundless"
    limits = None  # type: ignore[assignment]


class Closed(Sound):
    name = "closed"
    limits = Limits(push_batch=0, in_flight=1, objects={"people": Role.CONTACT})


class Empty(Sound):
    name = "empty"
    limits = Limits(push_batch=1, in_flight=1, objects={})


class NoConnector:
    name = "no_connector"


class Bare(Connector):
    """Has the methods, and nothing else."""

    check = Sound.check
    pull = Sound.pull
    push = Sound.push
