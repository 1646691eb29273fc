"""What `on_drift` of a field may say, as text or as a mapping, and what it stands for."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from engage_sync.config.durations import DURATION_PATTERN, parse_duration
from engage_sync.config.problems import nearest
from engage_sync.core.definitions import OnDrift

_PLAIN = [one.value for one in OnDrift if one is not OnDrift.HUMAN_LOCK]
_LOCK = OnDrift.HUMAN_LOCK.value
_SHOWN = "`on_drift: {human_lock: 30d}`"


def policy(text: str) -> tuple[OnDrift, timedelta]:
    """Give the policy and the length of its lock that a valid text stands for."""
    name, _, length = text.partition(":")
    return OnDrift(name), parse_duration(length.strip()) if length else timedelta(0)


def _policy(value: object) -> str:
    """Give one text for every way to write a policy. Raises PydanticCustomError with a sentence."""
    if isinstance(value, dict):
        if len(value) != 1:
            raise _wrong(f"must name one policy, like {_SHOWN}")
        ((name, length),) = value.items()
        if length is None and ":" in str(name):  # `{human_lock:30d}`, which YAML takes for one key
            name, _, length = str(name).partition(":")
    elif isinstance(value, str):
        name, colon, rest = value.partition(":")
        length = rest.strip() if colon else None
    else:
        raise _wrong(f"must be {', '.join(f'`{one}`' for one in _PLAIN)} or a lock like {_SHOWN}")
    name = str(name).strip()
    if name == _LOCK:
        return f"{_LOCK}: {_length(length)}"
    if name not in _PLAIN:
        raise _wrong(f"`{name}` is not known; {nearest(name, [*_PLAIN, _LOCK])}")
    if length is not None or isinstance(value, dict):
        raise _wrong(f"`{name}` takes no duration; write `on_drift: {name}`")
    return name


def _length(length: object) -> str:
    if length in (None, ""):
        raise _wrong(f"`{_LOCK}` needs the time for which a person's value stays; write {_SHOWN}")
    if not isinstance(length, str):
        example = f"{length}d" if isinstance(length, int) and not isinstance(length, bool) else "30d"
        raise _wrong(f"`{_LOCK}` must be a duration with its unit; write `on_drift: {{{_LOCK}: {example}}}`")
    try:
        found = parse_duration(length)
    except ValueError as error:
        raise _wrong(str(error)) from None
    if not found:
        raise _wrong(f"a `{_LOCK}` of no time is `overwrite`; write that, or more than zero")
    return length


def _wrong(what: str) -> PydanticCustomError:
    return PydanticCustomError("on_drift", "{what}", {"what": what})


DriftPolicy = Annotated[
    str,
    BeforeValidator(_policy),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": _PLAIN},
                {
                    "type": "string",
                    "pattern": f"^{_LOCK}: ?{DURATION_PATTERN.removeprefix('^')}",
                    "examples": [f"{_LOCK}: 30d"],
                },
                {
                    "type": "object",
                    "properties": {
                        _LOCK: {
                            "type": "string",
                            "pattern": DURATION_PATTERN,
                            "examples": ["30d"],
                            "description": "How long the value of a person stays, since they set it.",
                        }
                    },
                    "required": [_LOCK],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""`overwrite`, `respect`, `fill_blank`, `human_lock: 30d` or `{human_lock: 30d}`; as text."""
