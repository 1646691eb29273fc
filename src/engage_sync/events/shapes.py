"""What a shape of lines means. One line stands for all of its shape: it is read with the places of its values instead
of their text, which tells for each key what its value is: a column, a property or a trait. A shape that is not plainly
a message has no meaning here, and its lines go through the exact way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, NoReturn

import numpy as np

from engage_sync.events.message import NAMED_KINDS, number_text
from engage_sync.events.schema import KINDS
from engage_sync.events.slices import Ints

Node = None | bool | int | float | str | list["Node"] | dict[str, tuple[int, "Node"]]


class Role(IntEnum):
    """What the value of a key is to a message, beside properties and traits."""

    MESSAGE_ID = 0
    USER = 1
    GROUP = 2
    CONTEXT_GROUP = 3
    PREVIOUS = 4
    EVENT = 5
    TIMESTAMP = 6
    RECEIVED = 7
    SOURCE = 8
    MEDIUM = 9
    NAME = 10


class Mode(IntEnum):
    """How the text of a value is found: the next string; the number; a text that all lines of the shape share (the
    argument; negative is null); an array up to `argument` strings on plus `extent` bytes, as it stands or written anew.
    """

    STRING = 0
    NUMBER = 1
    SHARED = 2
    ARRAY = 3
    ARRAY_ANEW = 4


class Slot(NamedTuple):
    """The meaning of one key, by its place in the line. `key` and `path` are numbers of texts."""

    token: int
    mode: Mode
    argument: int = 0
    extent: int = 0
    key: int = -1
    path: int = -1


_NO_SLOT: Final = Slot(-1, Mode.STRING)


@dataclass(frozen=True, slots=True)
class Shape:
    """The meaning of all lines of a shape. `single` has a row per Role, its token -1 where there is none, `bag` a row
    per property or trait; the columns are those of Slot."""

    kind: int
    misshapen: bool
    single: Ints
    bag: Ints


NOTHING: Final = Shape(
    0, misshapen=False, single=np.array([_NO_SLOT] * len(Role)), bag=np.zeros((0, 6), dtype=np.int64)
)
"""The shape of lines that are read the exact way."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a shape: its text, and its strings with places from the start of the line. `number` tells the keys
    whose value is a number."""

    line: bytes
    start: Sequence[int]
    end: Sequence[int]
    is_key: Sequence[bool]
    number: Sequence[bool]
    value_at: Sequence[int]
    tail: Sequence[int]


class Texts:
    """Texts with a number each, in order of first use."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """Give the number of a text."""
        if text not in self._numbers:
            self.all.append(text)
            self._numbers[text] = len(self.all) - 1
        return self._numbers[text]


class _NotPlainError(Exception):
    """The shape must be read the exact way."""


def meaning(sample: Sample, texts: Texts) -> Shape | None:
    """Find what a shape means, None where it must be read the exact way. `texts` collects all paths and texts."""
    try:
        tree = _PLACES.decode(_with_places(sample))
        if not isinstance(tree, dict):
            return None
        return _Reader(sample, texts).read(tree)
    except (_NotPlainError, ValueError, RecursionError):
        return None


def _with_places(sample: Sample) -> str:
    """Write the line with `place|key` for each key, and "@place" or "#place" for each string and number."""
    parts: list[bytes] = []
    done = 0
    for token, (start, end) in enumerate(zip(sample.start, sample.end, strict=True)):
        parts.append(sample.line[done:start])
        parts.append(b"%d|%b" % (token, sample.line[start:end]) if sample.is_key[token] else b"@%d" % token)
        done = end
        if sample.number[token]:
            parts += [sample.line[end : sample.value_at[token]], b'"#%d"' % token]
            done = sample.tail[token]
    return b"".join([*parts, sample.line[done:]]).decode()


def _object(pairs: list[tuple[str, Node]]) -> dict[str, tuple[int, Node]]:
    value = {}
    for name, item in pairs:
        token, bar, key = name.partition("|")
        if not bar or name.startswith("@"):
            raise _NotPlainError
        value[key] = (int(token), item)
    return value


def _refuse_constant(_: str) -> NoReturn:
    raise _NotPlainError


_PLACES: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


class _Reader:
    """Reads one sample; the checks are those of `message.read_object`, and whatever they would refuse is not plain."""

    def __init__(self, sample: Sample, texts: Texts) -> None:
        self.sample: Final = sample
        self.texts: Final = texts
        self.single: list[Slot] = [_NO_SLOT] * len(Role)
        self.bag: list[Slot] = []

    def read(self, tree: dict[str, tuple[int, Node]]) -> Shape:
        kind = self._kind(tree)
        self._id(tree, "messageId", Role.MESSAGE_ID)
        self._id(tree, "userId", Role.USER)
        self._id(tree, "groupId", Role.GROUP)
        self._context(tree)
        self._instants(tree)
        if kind == "alias":
            self._id(tree, "previousId", Role.PREVIOUS)
        elif kind in NAMED_KINDS:
            self._event(tree, kind)
        misshapen = self._bags(tree, kind)
        bag = np.array(self.bag, dtype=np.int64).reshape(-1, len(_NO_SLOT))
        return Shape(KINDS.index(kind), misshapen, np.array(self.single, dtype=np.int64), bag)

    def _kind(self, tree: dict[str, tuple[int, Node]]) -> str:
        key, value = tree.get("type", (0, None))
        if not isinstance(value, str) or not value.startswith("@"):
            raise _NotPlainError
        token = int(value[1:])
        if self.sample.value_at[key] != self.sample.start[token] - 1:
            raise _NotPlainError  # the kind took no part in the shape
        kind = self.sample.line[self.sample.start[token] : self.sample.end[token]].decode()
        if kind not in KINDS:
            raise _NotPlainError
        return kind

    def _id(self, tree: dict[str, tuple[int, Node]], name: str, role: Role) -> None:
        token, value = tree.get(name, (0, None))
        if value is None:
            return
        if not isinstance(value, str):
            raise _NotPlainError
        self.single[role] = Slot(token, Mode.STRING if value.startswith("@") else Mode.NUMBER)

    def _context(self, tree: dict[str, tuple[int, Node]]) -> None:
        _, context = tree.get("context", (0, None))
        if not isinstance(context, dict):
            return
        self._id(context, "groupId", Role.CONTEXT_GROUP)
        _, campaign = context.get("campaign", (0, None))
        if not isinstance(campaign, dict):
            return
        for name, role in (("source", Role.SOURCE), ("medium", Role.MEDIUM), ("name", Role.NAME)):
            token, value = campaign.get(name, (0, None))
            if value is not None and not isinstance(value, (list, dict)):
                self.single[role] = self._value(token, value)

    def _instants(self, tree: dict[str, tuple[int, Node]]) -> None:
        for name, role in (("timestamp", Role.TIMESTAMP), ("receivedAt", Role.RECEIVED)):
            token, value = tree.get(name, (0, None))
            if value is None:
                continue
            if not isinstance(value, str) or value.startswith("#"):
                raise _NotPlainError
            self.single[role] = Slot(token, Mode.STRING)

    def _event(self, tree: dict[str, tuple[int, Node]], kind: str) -> None:
        token, value = tree.get("event" if kind == "track" else "name", (0, None))
        if isinstance(value, str) and value.startswith("@"):
            self.single[Role.EVENT] = Slot(token, Mode.STRING)
        elif kind == "track":
            raise _NotPlainError

    def _bags(self, tree: dict[str, tuple[int, Node]], kind: str) -> bool:
        """Read properties or traits; true where they are there but no object."""
        if kind == "alias":
            return False
        _, bag = tree.get("properties" if kind in NAMED_KINDS else "traits", (0, None))
        if not isinstance(bag, dict):
            return bag is not None
        if kind in NAMED_KINDS:
            found: dict[str, Slot] = {}
            self._flatten(bag, "", found)
            self._keep(found)
        else:
            for key, (token, value) in bag.items():
                self._trait(key, token, value)
        return False

    def _trait(self, key: str, token: int, value: Node) -> None:
        found: dict[str, Slot] = {}
        if isinstance(value, dict):
            self._flatten(value, f"{key}.", found)
        elif value is not None:
            found[key] = self._value(token, value)
        if not found:
            found[key] = Slot(token, Mode.SHARED, argument=-1)
        self._keep(found, key)

    def _keep(self, found: dict[str, Slot], key: str | None = None) -> None:
        for path, slot in found.items():
            number = -1 if key is None else self.texts.number(key)
            self.bag.append(slot._replace(key=number, path=self.texts.number(path)))

    def _flatten(self, value: dict[str, tuple[int, Node]], prefix: str, found: dict[str, Slot]) -> None:
        for key, (token, item) in value.items():
            if isinstance(item, dict):
                self._flatten(item, f"{prefix}{key}.", found)
            elif item is not None:
                found[prefix + key] = self._value(token, item)

    def _value(self, token: int, value: Node) -> Slot:
        if isinstance(value, str):
            return Slot(token, Mode.STRING if value.startswith("@") else Mode.NUMBER)
        if isinstance(value, list):
            return self._array(token)
        if isinstance(value, bool):
            return Slot(token, Mode.SHARED, self.texts.number("true" if value else "false"))
        if isinstance(value, (int, float)):
            return Slot(token, Mode.SHARED, self.texts.number(number_text(value)))
        raise _NotPlainError

    def _array(self, token: int) -> Slot:
        sample = self.sample
        begin = sample.value_at[token]
        text = sample.line[begin:].decode()
        value, size = json.JSONDecoder().raw_decode(text)
        stop = begin + len(text[:size].encode())
        anew = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        ahead = 0
        while token + ahead + 1 < len(sample.end) and sample.end[token + ahead + 1] < stop:
            ahead += 1
        if not ahead:
            return Slot(token, Mode.SHARED, self.texts.number(anew))
        last = token + ahead
        plain = anew == text[:size] and not any(sample.number[token + 1 : last + 1])
        return Slot(token, Mode.ARRAY if plain else Mode.ARRAY_ANEW, ahead, stop - sample.tail[last])
