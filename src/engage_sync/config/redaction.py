"""A project's files without the secrets that are written out in them: each is replaced by a reference like
`${HUBSPOT_ACCESS_TOKEN}`, everything else stays as it is, comments too. A secret within a comment is not seen, unless
it is the password of a URL.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

import yaml

from engage_sync.config.yaml_lines import decoded
from engage_sync.core.secrecy import in_address, is_written_out

Location = tuple[str, ...]


class Hides(Enum):
    """What of a value is secret: what any text may hide (the password of an address, a token in its query), the whole
    login and query of an address, or all of it."""

    LITTLE = "little"
    QUERY = "query"
    ALL = "all"


Secret = Callable[[Location, str], Hides]
"""Tells by a value's keys, and by the value, what of it is secret."""

_PROPERTIES: Final = re.compile(r"(?:[&!]\S*\s+)*")
"""An anchor or a tag, which belongs to a value for the parser: an alias elsewhere needs it."""
_COMMENT: Final = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Replaced:
    """A secret that was written out, and the reference that stands for it."""

    file: str
    line: int
    key: str
    reference: str


@dataclass(frozen=True, slots=True)
class _Value:
    """A text of a file; with an alias it stands at several locations. `start` is behind its anchor."""

    locations: tuple[Location, ...]
    text: str
    start: int
    end: int


class _Redaction:
    """The secrets of one file as they are found, and what shall stand in their places."""

    def __init__(self, file: str, text: str) -> None:
        self._file, self._text = file, text
        self._cuts: list[tuple[int, int, str]] = []
        self.replaced: list[tuple[int, Replaced]] = []
        self._held: dict[str, str] = {}
        """What each reference stands for."""

    def value(self, value: _Value, secret: Secret) -> None:
        """Cut what is secret out of a value."""
        hidden = {location: secret(location, value.text) for location in value.locations}
        location = next((one for one, hides in hidden.items() if hides is Hides.ALL), value.locations[0])
        if hidden[location] is Hides.ALL:
            if is_written_out(value.text):
                name = self._reference(value.start, location, value.text, location)
                self._cut(value, json.dumps(name))
            return
        text, written = value.text, self._text[value.start : value.end]
        found = in_address(text, strictly=Hides.QUERY in hidden.values())
        names = [self._reference(value.start, location, text[a.start : a.end], (*location, a.name)) for a in found]
        for one, name in zip(reversed(found), reversed(names), strict=True):
            text = text[: one.start] + name + text[one.end :]
        if found:
            plainly = written in {f"{quote}{value.text}{quote}" for quote in ("", "'", '"')}
            self._cut(value, written.replace(value.text, text) if plainly else json.dumps(text, ensure_ascii=False))

    def comment(self, start: int, text: str) -> None:
        """Cut the secrets out of the addresses in a comment."""
        for one in in_address(text):
            name = self._reference(start, ("url",), text[one.start : one.end], ("url", one.name))
            self._cuts.append((start + one.start, start + one.end, name))

    def done(self) -> str:
        """Give the text without them."""
        text = self._text
        for start, end, shown in sorted(self._cuts, reverse=True):
            text = text[:start] + shown + text[end:]
        return text

    def _cut(self, value: _Value, shown: str) -> None:
        ending = "\n" if self._text[value.start : value.end].endswith("\n") else ""
        self._cuts.append((value.start, value.end, shown + ending))

    def _reference(self, at: int, key: Location, held: str, location: Location) -> str:
        """Name the variable that a secret is looked up by from now on; two secrets have two."""
        name, number = _variable(self._file, location), 1
        while self._held.setdefault(f"{name}_{number}" if number > 1 else name, held) != held:
            number += 1
        name = "${" + (f"{name}_{number}" if number > 1 else name) + "}"
        line = self._text.count("\n", 0, at) + 1
        self.replaced.append((at, Replaced(self._file, line, ".".join(key), name)))
        return name


def redacted_file(file: str, content: bytes, secret: Secret) -> tuple[bytes, list[Replaced]]:
    """Give a file's content without the secrets in it, and what was replaced. The file is one that can be read."""
    text = content.decode("utf-8-sig")
    root = yaml.compose(decoded(content), Loader=yaml.SafeLoader)
    found = _Redaction(file, text)
    for value in _values(root, text):
        found.value(value, secret)
    rest = list(text)
    for start, end in _scalars(root):
        rest[start:end] = " " * (end - start)
    for comment in _COMMENT.finditer("".join(rest)):
        found.comment(comment.start(), comment[0])
    return found.done().encode(), [one for _, one in sorted(found.replaced, key=lambda one: one[0])]


def with_value(content: bytes, location: Location, value: str) -> bytes:
    """Give a file's content with another text at a place of one or two keys, which is added where it is missing."""
    text = content.decode("utf-8-sig")
    written = json.dumps(value, ensure_ascii=False)
    root = yaml.compose(decoded(content), Loader=yaml.SafeLoader)
    for one in _values(root, text):
        if location in one.locations:
            return (text[: one.start] + written + text[one.end :]).encode()
    if len(location) == 2 and isinstance(root, yaml.MappingNode):
        for key, inner in root.value:
            if key.value != location[0]:
                continue
            if isinstance(inner, yaml.MappingNode) and inner.value:
                first = inner.value[0][0].start_mark
                more = f"{location[1]}: {written}" + (", " if inner.flow_style else "\n" + " " * first.column)
                return (text[: first.index] + more + text[first.index :]).encode()
            start, end = inner.start_mark.index, inner.end_mark.index  # nothing stands there, written out or not
            space = " " if start == end else ""
            return (text[:start] + f"{space}{{{location[1]}: {written}}}" + text[end:]).encode()
    line = f"{location[0]}: {written}" if len(location) == 1 else f"{location[0]}: {{{location[1]}: {written}}}"
    return (text.rstrip("\n") + f"\n{line}\n").lstrip("\n").encode()


def _variable(file: str, location: Location) -> str:
    """Name the variable of a secret: `HUBSPOT_ACCESS_TOKEN` for `auth.access_token` of the file `hubspot`."""
    stem = file.rpartition("/")[2].removesuffix(".yaml")
    parts = [*([stem] if stem not in {"engage", "model"} else []), *location]
    words = [part for part in parts if part not in {"auth", "actions", "clear_actions"}]
    return re.sub(r"[^A-Z0-9]+", "_", "_".join(words).upper()).strip("_") or "SECRET"


def _values(root: yaml.Node | None, text: str) -> list[_Value]:
    """Give every text of a file with its keys and its place; an item of a list has its number as a key."""
    found: dict[int, tuple[yaml.ScalarNode, list[Location]]] = {}
    waiting: deque[tuple[Location, yaml.Node]] = deque([] if root is None else [((), root)])
    while waiting:
        location, node = waiting.popleft()
        if isinstance(node, yaml.MappingNode):
            waiting += [((*location, _plain(key.value)), inner) for key, inner in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [((*location, str(number)), inner) for number, inner in enumerate(node.value)]
        elif isinstance(node, yaml.ScalarNode):
            found.setdefault(id(node), (node, []))[1].append(location)
    return [
        _Value(tuple(locations), _plain(node.value), _behind_properties(node, text), node.end_mark.index)
        for node, locations in found.values()
    ]


def _behind_properties(node: yaml.Node, text: str) -> int:
    start: int = node.start_mark.index
    found = _PROPERTIES.match(text, start, node.end_mark.index)
    return start if found is None else found.end()


def _scalars(root: yaml.Node | None) -> Iterator[tuple[int, int]]:
    """Give where keys and values stand; an alias gives its value's place again."""
    waiting = [] if root is None else [root]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            waiting += [one for pair in node.value for one in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        else:
            yield node.start_mark.index, node.end_mark.index


_SHIFTED: Final = {0x10FF00 + code: code for code in range(0x80)}


def _plain(shielded: object) -> str:
    return str(shielded).translate(_SHIFTED)
