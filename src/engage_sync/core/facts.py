"""Facts: what the event store says at one `as_of`, as frames with a declared schema. Made by `events/measure.py`, read
by `core/`. One row per user or account; metrics are columns named by the metric.

All instants are `Datetime("us", "UTC")`. Ids and trait values are text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

INSTANT = pl.Datetime("us", "UTC")

USERS: Mapping[str, pl.DataType] = {
    "external_id": pl.String(),  # the id the user is shown under (aliases resolved)
    "first_message_at": INSTANT,  # first message of any kind that names the user
    "events": pl.Int64(),  # activity in the activity window
    "active_days": pl.Int64(),  # calendar days with activity in the activity window
    "first_active_at": INSTANT,  # activity ever, null without any
    "last_active_at": INSTANT,
}
"""Built-in columns of `Facts.users`. One more per declared user metric: counts, distinct and active days are Int64 (0
without events), sums Float64 (0.0), min, max and avg Float64 (null), first and last instants (null). Two more per
weighted score, Int64 and 0 without events: `raw.NAME`, the sum of `WeightedScore.weights` over the user's named events
in the score's window, and `raw_before.NAME`, that of the window before it, half-open on the recent side."""

RAW, RAW_BEFORE = "raw.", "raw_before."
"""What the columns of weighted scores begin with."""

ACCOUNTS: Mapping[str, pl.DataType] = {
    "external_id": pl.String(),
    "first_message_at": INSTANT,  # first message that names the account, or event attributed to it
    "events": pl.Int64(),  # attributed activity that names a user, in the activity window
    "active_days": pl.Int64(),
    "first_active_at": INSTANT,
    "last_active_at": INSTANT,
}
"""Built-in columns of `Facts.accounts`; one more column per declared account metric, typed like the users'."""

MEMBERSHIPS: Mapping[str, pl.DataType] = {"user": pl.String(), "account": pl.String(), "entered_at": INSTANT}
"""Distinct (user, account) pairs named together by a message, with the first instant."""

ATTRIBUTED: Mapping[str, pl.DataType] = {"user": pl.String(), "account": pl.String()}
"""Pairs with at least one activity event of the user attributed to the account in the activity window."""

ALIASES: Mapping[str, pl.DataType] = {"alias": pl.String(), "external_id": pl.String()}
"""Every id that is not the shown id of its user → the shown id. Empty when no alias message exists."""

TRAITS: Mapping[str, pl.DataType] = {"external_id": pl.String(), "path": pl.String(), "value": pl.String()}
"""Merged traits as text (semantics §2): a row per trait that is set, nested keys joined by dots; wanted paths only."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything measured at one `as_of`. `counts` are named tallies for the run report, e.g. `unattributed_events`
    and `not_numeric.METRIC`; `newest_message_at` is None in an empty store."""

    users: pl.DataFrame
    accounts: pl.DataFrame
    memberships: pl.DataFrame
    attributed: pl.DataFrame
    aliases: pl.DataFrame
    user_traits: pl.DataFrame
    account_traits: pl.DataFrame
    newest_message_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
