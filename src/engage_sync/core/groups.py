"""Segments and signals: named rules that an entity is in or not (semantics §7). A segment is its rule; a signal is a
state machine with a cooldown that remembers the last run. What signals do is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from engage_sync.core.asking import Asking
from engage_sync.core.columns import at
from engage_sync.core.facts import INSTANT
from engage_sync.core.verdict_rules import Segment, Signal

MARKS = pl.List(pl.Struct({"name": pl.String, "on": pl.Boolean, "fired": INSTANT}))
"""What the next run must know of an entity's signals: which are on, and when those that ever fired did so last."""

SWITCHED: Mapping[str, pl.DataType] = {
    "external_id": pl.String(),
    "signal": pl.String(),
    "phase": pl.String(),  # on, off
    "episode": INSTANT,  # the instant at which it fired
}
"""One row per signal that went on or off in this run."""

_WORD = 60
_ON, _FIRED = ".on", ".fired"
"""Columns beside the declared ones: no declared name has a point in front."""


def with_segments(frame: pl.DataFrame, segments: Sequence[Segment], asking: Asking) -> pl.DataFrame:
    """Add `segments.NAME` for each and `segments`, the sorted names. A segment reads those above it."""
    for segment in segments:
        frame = frame.with_columns(asking.matched(frame, segment.rule.when).alias(f"segments.{segment.name}"))
    return frame.with_columns(named(frame, "segments", [segment.name for segment in segments]))


def with_signals(
    frame: pl.DataFrame, signals: Sequence[Signal], asking: Asking, before: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add `signals.NAME` for each, `signals` (the sorted names of those that are on) and `signal_marks`; give the frame
    and what switched, as SWITCHED. `before` has external_id and signal_marks of the last run.

    Off → on is a firing; a signal that fired within its cooldown stays off. Who is not in the frame any more (switched
    off, or gone) has no signal on.
    """
    told = before.explode("signal_marks").drop_nulls("signal_marks").unnest("signal_marks")
    told = told.rename({"on": _ON, "fired": _FIRED})
    marks = [pl.DataFrame(schema={"row": pl.UInt32, "name": pl.String, "on": pl.Boolean, "fired": INSTANT})]
    switched = [pl.DataFrame(schema=SWITCHED)]
    now = at(asking.as_of)
    for signal in signals:
        held = told.filter(pl.col("name") == signal.name).select("external_id", _ON, _FIRED)
        frame = frame.join(held, on="external_id", how="left", maintain_order="left")
        name, was = f"signals.{signal.name}", pl.col(_ON).fill_null(value=False)
        cooling = (now - pl.col(_FIRED) < signal.cooldown).fill_null(value=False)
        frame = frame.with_columns(asking.matched(frame, signal.rule.when).alias(name))
        frame = frame.with_columns(pl.col(name) & (was | ~cooling), was.alias(_ON))
        fires = pl.col(name) & ~pl.col(_ON)
        frame = frame.with_columns(pl.when(fires).then(now).otherwise(_FIRED).alias(_FIRED))
        switched += [
            _switched(frame, signal, fires, "on"),
            _switched(frame, signal, pl.col(_ON) & ~pl.col(name), "off"),
        ]
        switched.append(_switched(held.join(frame, on="external_id", how="anti"), signal, pl.col(_ON), "off"))
        kept = pl.col(name) | pl.col(_FIRED).is_not_null()
        mark = frame.select(
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), kept.alias("kept"), name, fired=_FIRED
        )
        mark = mark.filter("kept").select("row", pl.lit(signal.name).alias("name"), pl.col(name).alias("on"), "fired")
        marks.append(mark.cast(marks[0].schema))
        frame = frame.drop(_ON, _FIRED)
    frame = frame.with_columns(named(frame, "signals", [signal.name for signal in signals]))
    return frame.with_columns(_marks(pl.concat(marks), frame.height)), pl.concat(switched)


def _marks(rows: pl.DataFrame, height: int) -> pl.Series:
    """Gather the marks of each row (few have any) in the order of the signals."""
    held = rows.group_by("row", maintain_order=True).agg(pl.struct("name", "on", "fired").alias("signal_marks"))
    every = pl.DataFrame({"row": pl.int_range(height, dtype=pl.UInt32, eager=True)})
    joined = every.join(held, on="row", how="left", maintain_order="left")["signal_marks"]
    return joined.cast(MARKS).fill_null(pl.Series([[]], dtype=MARKS)).alias("signal_marks")


def _switched(frame: pl.DataFrame, signal: Signal, rows: pl.Expr, phase: str) -> pl.DataFrame:
    return frame.filter(rows).select(
        "external_id", signal=pl.lit(signal.name), phase=pl.lit(phase), episode=pl.col(_FIRED).cast(INSTANT)
    )


def named(frame: pl.DataFrame, kind: str, names: Sequence[str]) -> pl.Series:
    """Give the sorted names of those Booleans `KIND.NAME` that are true, as a list per row.

    Few combinations occur: each is a number, and the lists are made once for each of them.
    """
    ordered = sorted(names)
    words = [ordered[start : start + _WORD] for start in range(0, len(ordered), _WORD)]
    bits = [
        pl.sum_horizontal(pl.col(f"{kind}.{name}").cast(pl.Int64) * (1 << place) for place, name in enumerate(word))
        for word in words
    ]
    if not bits:
        return pl.repeat([], frame.height, dtype=pl.List(pl.String), eager=True).alias(kind)
    codes = frame.select(bit.alias(str(place)) for place, bit in enumerate(bits))
    seen = codes.unique()
    lists = [
        [name for word, code in zip(words, row, strict=True) for place, name in enumerate(word) if code >> place & 1]
        for row in seen.iter_rows()
    ]
    known = seen.with_columns(pl.Series(kind, lists, dtype=pl.List(pl.String)))
    return codes.join(known, on=codes.columns, how="left", maintain_order="left")[kind]
