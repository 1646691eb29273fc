"""Holds the counts of a run against what was read: every record of the mirror and every record that is let go of must
stand in exactly one bucket (semantics §9). Counts nothing itself; a sum that does not agree is a bug, and is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from engage_sync.core.plan import ObjectPlan
from engage_sync.errors import EngageError
from engage_sync.sync.computed import ObjectKey


class Miscounted(EngageError):
    """The buckets of a run do not add up: a bug, which ends the run as one (70) once all outcomes are recorded."""


def expected(plan: ObjectPlan, records: Mapping[ObjectKey, pl.DataFrame]) -> int:
    """Give how many records of one object a run has to account for: those read from the mirror, and the gone ones."""
    return records[plan.connector, plan.object].height + plan.lost.height


def repeated(plan: ObjectPlan) -> int:
    """Give how many records stand in more than one bucket of a plan, or more than once in one."""
    return plan.buckets.height - plan.buckets["record"].n_unique()


def miscounts(
    connector: str,
    plans: Mapping[str, ObjectPlan],
    counts: Mapping[str, Mapping[str, int]],
    read: Mapping[ObjectKey, pl.DataFrame],
) -> Iterator[str]:
    """Give a sentence with numbers for each object whose records, as they were `read` from the mirror, are not each in
    exactly one bucket."""
    for object_, plan in plans.items():
        told = counts.get(object_)
        if told is None:
            continue
        records, sum_, twice = expected(plan, read), sum(told.values()), repeated(plan)
        if (records, 0) != (sum_, twice) or set(told) != {bucket.value for bucket in plan.told}:
            parts = ", ".join(f"{name} {count:,}" for name, count in told.items() if count) or "none"
            gone = plan.lost.height
            yield (
                f"{connector} {object_}: {records:,} records ({records - gone:,} in the mirror, {gone:,} gone) were to"
                f" be counted, {sum_:,} were, {twice:,} of them twice ({parts})"
            )
