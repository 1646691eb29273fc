"""The brakes: reasons to hold a run before any write (architecture §6 "Brakes"). Computes no plan, stops nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from engage_sync.core.definitions import Brakes
from engage_sync.core.plan import ObjectPlan


def brakes(
    plans: Sequence[ObjectPlan], *, limits: Brakes, newest_message_at: datetime | None, as_of: datetime
) -> tuple[str, ...]:
    """Give the reasons to hold, as sentences with their numbers; none means go. A share at its limit still goes.

    Shares are per connector and object. Records that lost their match and would be cleared lose values like linked
    ones: they count in the clear share, or an emptied user base would clear everything unbraked.
    """
    reasons = _event_age(limits.max_event_age, newest_message_at, as_of)
    for plan in plans:
        reasons += _share(
            plan, "be changed", plan.changing, plan.written_before, plan.linked, "max_change_share", limits
        )
        reasons += _share(
            plan,
            "have values cleared",
            plan.clearing,
            plan.written_before + plan.unlinking,
            plan.linked + plan.unlinking,
            "max_clear_share",
            limits,
        )
    return tuple(reasons)


def _event_age(limit: timedelta | None, newest: datetime | None, as_of: datetime) -> list[str]:
    if limit is None:
        return []
    if newest is None:
        return ["there is no message at all, so nothing is known about anybody (brakes.max_event_age)"]
    age = as_of - newest
    if age <= limit:
        return []
    since = f"the newest message is {_hours(age)} old ({newest.isoformat()})"
    return [f"{since}, more than the {_hours(limit)} of brakes.max_event_age"]


def _share(plan: ObjectPlan, what: str, part: int, whole: int, linked: int, setting: str, limits: Brakes) -> list[str]:
    limit: float = getattr(limits, setting)
    if linked < limits.min_records or part <= Fraction(str(limit)) * whole:
        return []
    share = f"{part} of {whole} records written before would {what} ({100 * part / whole:.1f} %)"
    return [f"{plan.connector} {plan.object}: {share}, more than the {100 * limit:g} % of brakes.{setting}"]


def _hours(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} h"
