"""What the definitions of all file kinds share: strictness, and the kinds of value that a text stands for.

Only shapes; what a name refers to is checked when all files are known.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from math import isfinite
from types import NoneType
from typing import Annotated, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from engage_sync.config.durations import DURATION_PATTERN, check_schedule, parse_duration


class Definition(BaseModel):
    """A mapping of a file: unknown keys are refused, and no value is turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: object) -> object:
        """Take a key without a value as not written, where the key may be left out and cannot be empty."""
        if not isinstance(data, dict):
            return data
        optional = {
            info.alias or name
            for name, info in cls.model_fields.items()
            if not info.is_required() and NoneType not in get_args(info.annotation)
        }
        return {key: value for key, value in data.items() if value is not None or key not in optional}


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        example = f"{value}d" if isinstance(value, int) and not isinstance(value, bool) else "30d"
        raise PydanticCustomError("duration", "must be a duration with its unit, like {example}", {"example": example})
    try:
        return parse_duration(value)
    except ValueError as error:
        raise PydanticCustomError("duration", "{what}", {"what": str(error)}) from None


def _positive(value: timedelta) -> timedelta:
    if not value:
        raise PydanticCustomError("duration", "must be more than zero")
    return value


def _schedule(value: str) -> str:
    try:
        check_schedule(value)
    except ValueError as error:
        raise PydanticCustomError("schedule", "{what}", {"what": str(error)}) from None
    return value


def _digits(value: object) -> object:
    """Take a number as the digits that were written, not as the double nearest to them."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(repr(value))
    return value


_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["30m", "12h", "30d"]})

Duration = Annotated[timedelta, BeforeValidator(_duration), _DURATION_SCHEMA]
"""`10s`, `30m`, `12h`, `30d`, `2w`; zero is allowed."""

PositiveDuration = Annotated[timedelta, AfterValidator(_positive), BeforeValidator(_duration), _DURATION_SCHEMA]
"""The same, more than zero."""

Schedule = Annotated[str, AfterValidator(_schedule)]
"""An interval or a cron line of five fields."""

Exact = Annotated[Decimal, BeforeValidator(_digits), WithJsonSchema({"type": "number"})]
"""A number with exactly the decimal digits that were written."""

NonEmpty = Annotated[str, Field(min_length=1)]


def _one_line(value: object) -> object:
    return " ".join(value.split()) if isinstance(value, str) else value


Sentence = Annotated[str, Field(min_length=1), BeforeValidator(_one_line)]
"""Words for people; line breaks and runs of spaces count as one space."""


def _constant(value: object) -> object:
    if isinstance(value, list | dict) or (isinstance(value, float) and not isfinite(value)):
        raise PydanticCustomError("constant", "must be text, a number, true or false")
    return value


Constant = Annotated[str | bool | int | float, BeforeValidator(_constant)]
"""A value that is written to a CRM field as it stands."""
