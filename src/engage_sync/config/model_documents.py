"""Puts the files of a model together: `config/model.yaml` and `config/model/*.yaml` become one document whose places
know their file. Sections, entities and names of several files go together; what two files both give is refused with
both places. It reads no file and knows no key beyond which sections hold names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engage_sync.config.yaml_lines import Document, Place, Value
from engage_sync.errors import Problem

Path = tuple[str, ...]

_TOGETHER: tuple[Path, ...] = (
    (),
    ("*",),
    ("properties", "*"),
    ("metrics", "*"),
    ("health", "*"),
    ("health", "*", "stages"),
)
"""Where the keys of several files go together; `*` is any key."""
_JOINED: tuple[Path, ...] = (("tests",),)
"""Lists that go on in the next file."""


@dataclass(frozen=True, slots=True)
class _Part:
    value: Value
    place: Place


def together(documents: Sequence[Document], default: str) -> tuple[Document, list[Problem]]:
    """Give one document made of several, in their order, and what they both give. `default` names an empty one."""
    if not documents:
        return Document(default), []
    first, *others = documents
    if not others:
        return first, []
    problems: list[Problem] = []
    whole = _Part(first.data, _filed(first.place, first.file))
    for document in others:
        whole = _merged(whole, _Part(document.data, _filed(document.place, document.file)), (), problems)
    data = whole.value if isinstance(whole.value, dict) else {}
    return Document(first.file, data, whole.place, all(document.readable for document in documents)), problems


def _filed(place: Place, file: str) -> Place:
    return replace(place, file=file, inner={part: _filed(inner, file) for part, inner in place.inner.items()})


def _merged(one: _Part, other: _Part, path: Path, problems: list[Problem]) -> _Part:
    """Add the keys of the second mapping to those of the first."""
    assert isinstance(one.value, dict)
    assert isinstance(other.value, dict)
    values, keys, inner = dict(one.value), dict(one.place.keys), dict(one.place.inner)
    for key, value in other.value.items():
        here = (*path, key)
        mine, theirs = values.get(key), _Part(value, other.place.inner[key])
        if mine is None:  # not given, or given empty
            values[key], keys[key], inner[key] = value, other.place.keys[key], theirs.place
        elif isinstance(mine, dict) and isinstance(value, dict) and _is_in(here, _TOGETHER):
            found = _merged(_Part(mine, inner[key]), theirs, here, problems)
            values[key], inner[key] = found.value, found.place
        elif isinstance(mine, list) and isinstance(value, list) and _is_in(here, _JOINED):
            values[key], inner[key] = [*mine, *value], _joined(inner[key], theirs.place)
        elif value is not None:
            problems.append(_twice(here, value, other.place, inner[key].file, keys[key]))
    return _Part(values, replace(one.place, keys=keys, inner=inner))


def _joined(one: Place, other: Place) -> Place:
    further: dict[str | int, Place] = {
        len(one.inner) + number: place for number, place in enumerate(other.inner.values())
    }
    return replace(one, inner={**one.inner, **further})


def _twice(path: Path, value: Value, holder: Place, file: str | None, line: int) -> Problem:
    of = f" of `{'.'.join(path[:-1])}`" if len(path) > 1 else ""
    hint = "; a list stands in one file" if isinstance(value, list) else ""
    what = f"`{path[-1]}`{of} is already given in {file}:{line}{hint}"
    return Problem(what, holder.file, holder.keys[path[-1]])


def _is_in(path: Path, patterns: Sequence[Path]) -> bool:
    return any(
        len(path) == len(pattern) and all(wanted in {"*", part} for wanted, part in zip(pattern, path, strict=True))
        for pattern in patterns
    )
