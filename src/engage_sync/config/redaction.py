"""A project's files without the secrets that are written out in them: each is replaced by a reference like
`${HUBSPOT_ACCESS_TOKEN}`, everything else stays as it is, comments too. A secret within a comment is not seen, unless
it is the password of a URL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from engage_sync.config.secrets import has_reference
from engage_sync.config.yaml_lines import decoded

Location = tuple[str, ...]
Secret = Callable[[Location, str], bool]
"""Tells by a value's keys, and by the value, whether the whole of it is secret."""

_PASSWORD: Final = re.compile(r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@\"']*:)(?P<secret>[^\s/\"']+)(?P<at>@)")
_NAMES: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret|token$|api_?key|private_key|session_id|credential", re.IGNORECASE
)
_LIKE_TOKEN: Final = re.compile(r"(?=[^/?&=]*[0-9])(?=[^/?&=]*[A-Za-z])[A-Za-z0-9_-]{20,}")
_PARTIAL: Final = re.compile(r"\$\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Replaced:
    """A secret that was written out, and the reference that stands for it."""

    file: str
    line: int
    key: str
    reference: str


@dataclass(frozen=True, slots=True)
class _Value:
    location: Location
    text: str
    start: int
    end: int


def named_secret(location: Location, text: str) -> bool:  # noqa: ARG001 - a `Secret`
    """Tell by its key that a value is secret."""
    return bool(location) and _NAMES.search(location[-1]) is not None


def like_token(text: str) -> bool:
    """Tell whether an address holds what only its owner knows, as the addresses of chat webhooks do."""
    return "://" in text and _LIKE_TOKEN.search(text.partition("://")[2].partition("/")[2]) is not None


def redacted_file(file: str, content: bytes, secret: Secret) -> tuple[bytes, list[Replaced]]:
    """Give a file's content without the secrets in it, and what was replaced. The file is one that can be read."""
    text = content.decode("utf-8-sig")
    cuts: list[tuple[int, int, str, Replaced]] = []
    for value in _values(decoded(content)):
        if secret(value.location, value.text) and _PARTIAL.sub("", value.text).strip():
            name = _reference(file, value.location)
            written = text[value.start : value.end]
            shown = json.dumps(name) + ("\n" if written.endswith("\n") else "")
            cuts.append((value.start, value.end, shown, _replaced(file, text, value.start, value.location, name)))
    taken = [(start, end) for start, end, _, _ in cuts]
    places = [(one.start, one.end, one.location) for one in _values(decoded(content))]
    for found in _PASSWORD.finditer(text):
        start, end = found.span("secret")
        if has_reference(found["secret"]) or any(first <= start < last for first, last in taken):
            continue
        location = next((where for first, last, where in places if first <= start < last), ("url",))
        name = _reference(file, (*location, "password"))
        cuts.append((start, end, name, _replaced(file, text, start, location, name)))
    for start, end, shown, _ in sorted(cuts, reverse=True, key=lambda cut: cut[0]):
        text = text[:start] + shown + text[end:]
    return text.encode(), [one for _, _, _, one in sorted(cuts, key=lambda cut: cut[0])]


def with_value(content: bytes, location: Location, value: str) -> bytes:
    """Give a file's content with another text at a place of one or two keys, which is added where it is missing."""
    text = content.decode("utf-8-sig")
    written = json.dumps(value, ensure_ascii=False)
    for one in _values(decoded(content)):
        if one.location == location:
            return (text[: one.start] + written + text[one.end :]).encode()
    root = yaml.compose(decoded(content), Loader=yaml.SafeLoader)
    if len(location) == 2 and isinstance(root, yaml.MappingNode):
        for key, inner in root.value:
            if key.value == location[0] and isinstance(inner, yaml.MappingNode) and inner.value:
                first = inner.value[0][0].start_mark
                more = f"{location[1]}: {written}" + (", " if inner.flow_style else "\n" + " " * first.column)
                return (text[: first.index] + more + text[first.index :]).encode()
    line = f"{location[0]}: {written}" if len(location) == 1 else f"{location[0]}: {{{location[1]}: {written}}}"
    return (text.rstrip("\n") + f"\n{line}\n").lstrip("\n").encode()


def _replaced(file: str, text: str, start: int, location: Location, name: str) -> Replaced:
    return Replaced(file, text.count("\n", 0, start) + 1, ".".join(location), name)


def _reference(file: str, location: Location) -> str:
    """Name the variable of a secret: `HUBSPOT_ACCESS_TOKEN` for `auth.access_token` of the file `hubspot`."""
    stem = file.rpartition("/")[2].removesuffix(".yaml")
    parts = [*([stem] if stem not in {"engage", "model"} else []), *location]
    words = [part for part in parts if part not in {"auth", "actions", "clear_actions"}]
    return "${" + re.sub(r"[^A-Z0-9]+", "_", "_".join(words).upper()).strip("_") + "}"


def _values(shielded: str) -> Iterator[_Value]:
    """Give every text of a file with its keys and its place; an item of a list has its number as a key."""
    root = yaml.compose(shielded, Loader=yaml.SafeLoader)
    waiting: list[tuple[Location, yaml.Node]] = [] if root is None else [((), root)]
    while waiting:
        location, node = waiting.pop(0)
        if isinstance(node, yaml.MappingNode):
            waiting += [((*location, _plain(key.value)), inner) for key, inner in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [((*location, str(number)), inner) for number, inner in enumerate(node.value)]
        elif isinstance(node, yaml.ScalarNode):
            start, end = node.start_mark.index, node.end_mark.index
            yield _Value(location, _plain(node.value), start, end)


_SHIFTED: Final = {0x10FF00 + code: code for code in range(0x80)}


def _plain(shielded: object) -> str:
    return str(shielded).translate(_SHIFTED)
