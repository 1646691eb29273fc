"""Holds a file's data against its pydantic definition: every mismatch becomes a problem with line and nearest valid
key, and what is left after the broken items are taken out is given back, so that later checks can go on.

It never shows a value of the file, because any value may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engage_sync.config.problems import Problems, nearest
from engage_sync.config.yaml_lines import Document, Value

M = TypeVar("M", bound=BaseModel)
Path = tuple[str | int, ...]

_WANTED: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "is_instance_of": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping (`key: value`)",
    "model_type": "a mapping (`key: value`)",
    "model_attributes_type": "a mapping (`key: value`)",
    "union_tag_not_found": "of another kind",
}


def validated(
    definition: type[M], document: Document, data: Mapping[str, Value], problems: Problems, items: Sequence[Path]
) -> M:
    """Validate `data`, which stands at the top of `document`, noting every problem.

    `items` are patterns of locations (`*` is any part) of the smallest things that can be left out on their own. The
    definition must accept an empty mapping.
    """
    remaining = _copy(data)
    for attempt in range(20):
        try:
            return definition.model_validate(remaining)
        except ValidationError as error:
            details = relevant(error.errors(include_url=False, include_context=True), remaining)
            if attempt == 0:
                report(definition, details, document, problems)
            for location in [_real(detail["loc"], remaining) for detail in details]:
                _remove(remaining, _item(location, items))
    return definition.model_validate({})


def report(
    definition: type[BaseModel],
    details: Iterable[ErrorDetails],
    document: Document,
    problems: Problems,
    further_keys: Iterable[str] = (),
) -> None:
    """Note each mismatch. `further_keys` are valid at the top beside those of the definition."""
    for detail in details:
        location = _real(detail["loc"], document.data)
        name = str(detail["loc"][-1]) if detail["loc"] else ""
        if detail["type"] == "extra_forbidden":
            valid = [*keys_at(definition, detail["loc"][:-1]), *(further_keys if len(location) == 1 else ())]
            problems.at_key(document, location, f"unknown key `{name}`; {nearest(name, valid)}")
        elif detail["type"] == "missing":
            problems.at_key(document, location, f"`{name}` is missing{_within(location)}")
        else:
            problems.at_value(
                document, location, f"{_subject(location)}{_sentence(detail)}".replace(": must", " must", 1)
            )


def relevant(details: Sequence[ErrorDetails], data: object) -> list[ErrorDetails]:
    """Of a union's branches keep the mismatches of the one that fits best: the fewest, then the first."""
    branches: dict[Path, dict[str, list[ErrorDetails]]] = {}
    for detail in details:
        if (fork := _fork(detail, data)) is not None:
            branches.setdefault(detail["loc"][:fork], {}).setdefault(str(detail["loc"][fork]), []).append(detail)
    dropped: list[ErrorDetails] = []
    for head, alternatives in branches.items():
        misfits = [(_is_other_kind(found, len(head) + 1), len(found)) for found in alternatives.values()]
        best = list(alternatives.values())[misfits.index(min(misfits))]
        dropped.extend(detail for found in alternatives.values() if found is not best for detail in found)
    return [detail for detail in details if not any(detail is other for other in dropped)]


def _is_other_kind(found: Sequence[ErrorDetails], depth: int) -> bool:
    """Tell whether a branch wants another kind of value altogether, text where a mapping is."""
    return any(len(detail["loc"]) == depth and detail["type"] in _WANTED for detail in found)


def keys_at(definition: type[BaseModel], location: Path) -> list[str]:
    """Give the keys that the definition knows at a location (as pydantic reports it)."""
    candidates: list[object] = [definition]
    for part in location:
        candidates = [branch for candidate in candidates for branch in _branches(candidate)]
        following = [inner for candidate in candidates for inner in _inner(candidate, part)]
        if not following and isinstance(part, str):
            following = [model for model in candidates if getattr(model, "__name__", None) == part]
        candidates = following or candidates
    models = [branch for candidate in candidates for branch in _branches(candidate)]
    return [key for model in models if _is_model(model) for key in _fields(model)]


def _branches(annotation: object) -> list[object]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _branches(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return [branch for part in get_args(annotation) if part is not NoneType for branch in _branches(part)]
    return [annotation]


def _inner(annotation: object, part: str | int) -> list[object]:
    origin = get_origin(annotation)
    if _is_model(annotation) and isinstance(part, str):
        return [_fields(annotation)[part]] if part in _fields(annotation) else []
    if origin in {list, tuple, Sequence} and isinstance(part, int):
        return [get_args(annotation)[0]]
    if origin in {dict, Mapping} and isinstance(part, str):
        return [get_args(annotation)[1]]
    return []


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _fields(model: object) -> dict[str, object]:
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return {info.alias or name: info.annotation for name, info in model.model_fields.items()}


def _sentence(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _WANTED:
        given = detail["input"]
        quote = "; put it in quotes" if kind == "string_type" and isinstance(given, (bool, int, float)) else ""
        return f"must be {_WANTED[kind]}, not {_kind_of(given)}{quote}"
    if kind == "literal_error" and isinstance(detail["input"], str):
        options = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        return f"`{detail['input']}` is not known; {nearest(detail['input'], options)}"
    if kind == "literal_error":
        return f"must be {context.get('expected')}, not {_kind_of(detail['input'])}"
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    if kind == "string_too_short" and not detail["input"]:
        return "must not be empty"
    message = re.sub("^(Input|String|List|Dictionary|Value|URL) should ", "must ", detail["msg"])
    return message.removeprefix("Value error, ")


def _kind_of(value: object) -> str:
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a decimal number",
        str: "text",
        NoneType: "empty",
        list: "a list",
    }
    return kinds.get(type(value), "a mapping")


def _subject(location: Path) -> str:
    name = next((part for part in reversed(location) if isinstance(part, str)), None)
    return f"`{name}`: " if name else ""


def _within(location: Path) -> str:
    name = next((part for part in reversed(location) if isinstance(part, str)), None)
    return f" in `{name}`" if name else ""


def _real(location: Path, data: object) -> Path:
    """Give the parts of a pydantic location that the file really has: without the labels of union branches."""
    real: list[str | int] = []
    for part in location:
        if _has(data, part):
            data = data[part]  # type: ignore[index]  # _has looked
            real.append(part)
    return tuple(real)


def _has(data: object, part: str | int) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _fork(detail: ErrorDetails, data: object) -> int | None:
    """Give the index of the first part of a mismatch's location that labels a union branch."""
    last = len(detail["loc"]) - 1
    for index, part in enumerate(detail["loc"]):
        if not _has(data, part):
            return None if index == last and detail["type"] == "missing" else index
        data = data[part]  # type: ignore[index]  # _has looked
    return None


def _item(location: Path, items: Sequence[Path]) -> Path:
    """Give the longest head of `location` that a pattern names, else its first part."""
    heads = [
        location[: len(pattern)]
        for pattern in items
        if len(pattern) <= len(location)
        and all(wanted in {"*", part} for wanted, part in zip(pattern, location, strict=False))
    ]
    return max(heads, key=len, default=location[:1])


def _copy(value: Mapping[str, Value]) -> dict[str, Value]:
    return {key: _copied(inner) for key, inner in value.items()}


def _copied(value: Value) -> Value:
    if isinstance(value, dict):
        return _copy(value)
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _remove(data: dict[str, Value], location: Path) -> None:
    """Take out what is at `location`; what is gone already is no matter."""
    inner: object = data
    for part in location[:-1]:
        if not _has(inner, part):
            return
        inner = inner[part]  # type: ignore[index]  # _has looked
    if location and isinstance(inner, dict):
        inner.pop(str(location[-1]), None)
