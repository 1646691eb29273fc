"""Functions of the engine that Ibis has no word for, or has in a form that does not serve. Nothing else."""

from __future__ import annotations

from datetime import datetime

import ibis

# mypy: disable-error-code="untyped-decorator,empty-body"


@ibis.udf.scalar.builtin(name="floor")
def floor(value: float) -> float:
    """Give the double below; Ibis' own casts to an integer, which overflows."""


@ibis.udf.scalar.builtin(name="ceil")
def ceil(value: float) -> float:
    """Give the double above; Ibis' own casts to an integer, which overflows."""


@ibis.udf.scalar.builtin(name="epoch_us")
def microseconds(instant: datetime) -> int:
    """Give microseconds since 1970 UTC, exactly."""


@ibis.udf.agg.builtin(name="fsum")
def exact_sum(value: float) -> float:
    """Add doubles with compensation: the plain sum changes in its last digits with the order the threads took."""


@ibis.udf.scalar.builtin(name="map_extract_value", signature=(("map<string, int32>", "string"), "int32"))
def map_value(table: dict[str, int], key: str) -> int:
    """Give the value of a key, null where there is none."""
