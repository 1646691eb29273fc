"""The decision table of architecture §5, with the drift policies of decision 0008, over the columns of one field: what
is to be done and the sentence that says why. Reads no frame and knows no record.
"""

from __future__ import annotations

import polars as pl

from engage_sync.core.definitions import OnDrift

_DRIFT = {OnDrift.OVERWRITE: "drift_written"}
"""What drift becomes; under the others it stays. Whether a lock has ended is decided later (`ownership`)."""
_KEPT = {
    OnDrift.RESPECT: "on_drift respects it",
    OnDrift.FILL_BLANK: "on_drift fills empty fields only",
    OnDrift.HUMAN_LOCK: "on_drift locks it for a time",
}


def decision(on_drift: OnDrift, blank: str | None) -> pl.Expr:
    """Give the decision over `after` (wanted), `seen`, `last`, `linked` and `void` (nothing is wanted).

    "same" is to be remembered, null is nothing at all. Never written counts as last written = empty, and so does a
    `blank` value, seen or wanted, where a field that is never empty is only filled.
    """
    after, seen, last = pl.col("after"), pl.col("seen"), pl.col("last")
    empty = pl.lit(blank, pl.String)
    held = seen.is_not_null() & seen.ne_missing(empty)
    stays = after.ne_missing(empty) if on_drift is OnDrift.FILL_BLANK else pl.lit(value=False)
    return (
        pl.when(~pl.col("linked"))
        .then(pl.when(seen == last).then(pl.lit("clear")))
        .when(after.eq_missing(seen))
        .then(pl.when(last.ne_missing(after)).then(pl.lit("same")))
        .when(held & seen.ne_missing(last))
        .then(pl.lit(_DRIFT.get(on_drift, "drift_kept")))
        .when(held & stays)
        .then(None)
        .when("void")
        .then(pl.lit("clear"))
        .otherwise(pl.lit("write"))
    )


def reason(on_drift: OnDrift) -> pl.Expr:
    """Give the sentence for each `decision`."""
    return (
        pl.when(~pl.col("linked"))
        .then(pl.lit("the record is no longer matched and still holds what we wrote"))
        .when(pl.col("decision") == "drift_written")
        .then(pl.lit("somebody else set this value; on_drift overwrites it"))
        .when(pl.col("decision") == "drift_kept")
        .then(pl.lit(f"somebody else set this value; {_KEPT.get(on_drift, '')}"))
        .when(pl.col("decision") == "clear")
        .then(pl.lit("no longer wanted"))
        .when(pl.col("last").is_null())
        .then(pl.lit("new value"))
        .when(pl.col("seen").is_null())
        .then(pl.lit("somebody emptied it"))
        .otherwise(pl.lit("the value changed"))
    )
