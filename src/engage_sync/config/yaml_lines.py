"""Reads YAML so that the line of every key and value stays known, and nothing the user wrote changes its meaning.

Plain scalars are integers, decimal numbers, `true`, `false`, `null` or else text: `on`, `yes`, `2026-06-01` and `0123`
stay text. `${…}` may stand anywhere, in flow mappings too. Duplicate keys, tabs, tags, several documents, a top level
that is no mapping and malformed YAML are problems with their line. Nothing here knows what the keys mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeAlias

import yaml

from engage_sync.errors import Problem

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"
Location: TypeAlias = Sequence[str | int]

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,3})?")
_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
_REFERENCE = re.compile(r"\$\{[^{}\r\n]*\}")
_SHIELD = 0x10FF00
"""`${NAME}` is not YAML inside `{…}`. While the text is parsed, the characters of a reference stand shifted into this
private-use range, which YAML takes for ordinary letters."""
_UNSHIELD = {_SHIELD + code: code for code in range(0x80)}
_MAX_DEPTH = 50
_MAX_VALUES = 200_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value starts (1-based line), where each of its keys stands, and the places of what it holds.

    `file` is told where a document is put together from several files; a key stands in the file of its value.
    """

    line: int
    keys: Mapping[str, int] = field(default_factory=dict)
    inner: Mapping[str | int, Place] = field(default_factory=dict)
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """One file as read: plain data and its places. `readable` is false when the data is not what the file says."""

    file: str
    data: dict[str, Value] = field(default_factory=dict, repr=False)
    place: Place = field(default_factory=lambda: Place(1), repr=False)
    readable: bool = True

    def key_place(self, *location: str | int) -> tuple[str, int]:
        """Give file and line of the last key (or list item) on the way; parts that are not there are skipped."""
        place, line = self.place, self.place.line
        for part in location:
            if part in place.inner:
                line = place.keys[part] if isinstance(part, str) else place.inner[part].line
                place = place.inner[part]
        return place.file or self.file, line

    def value_place(self, *location: str | int) -> tuple[str, int]:
        """Give file and line where the value starts; parts that are not there are skipped."""
        place = self.place
        for part in location:
            place = place.inner.get(part, place)
        return place.file or self.file, place.line

    def key_line(self, *location: str | int) -> int:
        """Give the line of `key_place`, for a document of one file."""
        return self.key_place(*location)[1]

    def value_line(self, *location: str | int) -> int:
        """Give the line of `value_place`, for a document of one file."""
        return self.value_place(*location)[1]


class _UnreadableError(Exception):
    """Parsing cannot go on from here."""

    def __init__(self, what: str, line: int) -> None:
        self.what = what
        self.line = line
        super().__init__(what)


@dataclass(frozen=True, slots=True)
class _Node:
    value: Value
    place: Place
    size: int


def read_document(file: str, content: bytes) -> tuple[Document, list[Problem]]:
    """Read one file's content. With problems the document holds what could be read, perhaps nothing. What was read
    before is not parsed again."""
    document, problems = _parsed(file, content)
    return replace(document, data=deepcopy(document.data)), list(problems)


@lru_cache(maxsize=32)
def _parsed(file: str, content: bytes) -> tuple[Document, Sequence[Problem]]:
    try:
        text = decoded(content)
        reader = _Reader(file, text)
        node = reader.document()
    except _UnreadableError as error:
        return Document(file, readable=False), [Problem(error.what, file, error.line)]
    if node is None:
        return Document(file), reader.problems
    if not isinstance(node.value, dict):
        kind = "a list" if isinstance(node.value, list) else "a single value"
        what = f"the file must be a mapping (`key: value` lines), not {kind}"
        return Document(file, readable=False), [*reader.problems, Problem(what, file, node.place.line)]
    return Document(file, node.value, node.place), reader.problems


def decoded(content: bytes) -> str:
    """Give the text for the YAML parser, as long as it is: what `${…}` holds stands shifted."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _UnreadableError("the file is not UTF-8 text; save it as UTF-8", line) from None
    for position, character in enumerate(text):
        if ord(character) >= _SHIELD:
            line = text.count("\n", 0, position) + 1
            raise _UnreadableError(f"the character U+{ord(character):X} cannot be used here", line)
    return _REFERENCE.sub(lambda match: _shield(match.group()), text)


def _shield(reference: str) -> str:
    return "".join(chr(_SHIELD + ord(character)) if character < "\x80" else character for character in reference)


class _Reader:
    """Builds nodes from the events of the YAML parser, keeping problems that do not stop it."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.problems: list[Problem] = []
        self.anchors: dict[str, _Node | None] = {}
        self.events = self._events()

    def _events(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self.text, Loader=yaml.SafeLoader)
        except yaml.reader.ReaderError as error:
            line = self.text.count("\n", 0, error.position) + 1
            code = error.character if isinstance(error.character, int) else ord(error.character)
            raise _UnreadableError(f"the character U+{code:04X} cannot be used here", line) from None
        except yaml.MarkedYAMLError as error:
            raise self._malformed(error) from None

    def _malformed(self, error: yaml.MarkedYAMLError) -> _UnreadableError:
        mark = error.problem_mark or error.context_mark
        number = mark.line if mark else 0
        lines = self.text.splitlines()
        source = lines[number] if number < len(lines) else ""
        if mark and "\t" in source[: mark.column + 1]:
            return _UnreadableError("a tab cannot be used for spacing here; use spaces", number + 1)
        what = (error.problem or error.context or "it cannot be parsed").translate(_UNSHIELD)
        opened = error.context_mark
        since = f" ({error.context} that starts in line {opened.line + 1})" if opened and opened.line != number else ""
        return _UnreadableError(f"not valid YAML: {what}{since}", number + 1)

    def document(self) -> _Node | None:
        """Read the only document of the file; None when the file is empty."""
        node: _Node | None = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _UnreadableError("a file holds one document only; remove this `---`", _line(event))
                node = self.node(next(self.events), 0)
        if node is not None and node.value is None:
            return None
        return node

    def node(self, event: yaml.Event, depth: int) -> _Node:
        """Read the value that starts with `event`."""
        if depth > _MAX_DEPTH:
            raise _UnreadableError(f"values are nested more than {_MAX_DEPTH} deep", _line(event))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self.anchors[anchor] = None
        self._refuse_tag(event)
        node = self._content(event, depth)
        if node.size > _MAX_VALUES:
            raise _UnreadableError(f"the file holds more than {_MAX_VALUES:,} values", _line(event))
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def _content(self, event: yaml.Event, depth: int) -> _Node:
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            return _Node(_scalar(event), Place(_line(event)), 1)
        raise _UnreadableError("not valid YAML: a value was expected", _line(event))

    def _alias(self, event: yaml.AliasEvent) -> _Node:
        node = self.anchors.get(str(event.anchor))
        if node is None:
            raise _UnreadableError(f"`*{event.anchor}` names nothing that was written above it", _line(event))
        return node

    def _refuse_tag(self, event: yaml.Event) -> None:
        tag = getattr(event, "tag", None)
        if tag not in {None, "!"}:
            self.problems.append(Problem("tags (`!…`) are not used here; remove it", self.file, _line(event)))

    def _mapping(self, start: yaml.Event, depth: int) -> _Node:
        values: dict[str, Value] = {}
        keys: dict[str, int] = {}
        inner: dict[str | int, Place] = {}
        size = 1
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._key(event)
            node = self.node(next(self.events), depth + 1)
            size += node.size
            if key in values:
                what = f"`{key}` is given twice; the first is in line {keys[key]}"
                self.problems.append(Problem(what, self.file, _line(event)))
            elif key == "<<":
                what = "`<<` (merging mappings) is not used here; write the keys out"
                self.problems.append(Problem(what, self.file, _line(event)))
            else:
                values[key], keys[key], inner[key] = node.value, _line(event), node.place
        return _Node(values, Place(_line(start), keys, inner), size)

    def _key(self, event: yaml.Event) -> str:
        if not isinstance(event, yaml.ScalarEvent) or not event.value:
            raise _UnreadableError("a key must be text (`key: value`)", _line(event))
        self._refuse_tag(event)
        return str(event.value).translate(_UNSHIELD)

    def _sequence(self, start: yaml.Event, depth: int) -> _Node:
        values: list[Value] = []
        inner: dict[str | int, Place] = {}
        size = 1
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            node = self.node(event, depth + 1)
            size += node.size
            inner[len(values)] = node.place
            values.append(node.value)
        return _Node(values, Place(_line(start), {}, inner), size)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _scalar(event: yaml.ScalarEvent) -> Value:
    text = str(event.value).translate(_UNSHIELD)
    if event.style is not None or event.tag == "!":
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text
