"""The newest messages and the most frequent events of one user or account, for `explain`: month by month from the
newest, and no further back than needed. It measures nothing of the model, and imports no engine, whose start alone
takes longer than these answers may."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

import polars as pl

from engage_sync.core.entities import Entity
from engage_sync.core.facts import INSTANT
from engage_sync.errors import Unreachable
from engage_sync.events.aliases import resolve, shown
from engage_sync.events.schema import PARTITION
from engage_sync.events.store import EventStore, translated
from engage_sync.events.windows import Span, span

NEWEST: Final[dict[str, pl.DataType]] = {
    "timestamp": INSTANT,
    **{name: pl.String() for name in ("kind", "event", "user", "account", "message_id")},
}
COUNTED: Final[dict[str, pl.DataType]] = {"event": pl.String(), "count": pl.Int64(), "last_at": INSTANT}

_READ: Final = {**NEWEST, "previous": pl.String(), "arrival": pl.Int64()}
_ORDER: Final = ("timestamp", "arrival")
_KEYS: Final = {Entity.USER: ("user", "previous"), Entity.ACCOUNT: ("account",)}


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose messages to give: those that name one of the ids of a user or an account, and the events that name no
    account of the `members` that an account has to itself."""

    entity: Entity
    ids: Sequence[str]
    members: Sequence[str] = ()


def newest_messages(store: EventStore, whose: Whose, *, as_of: datetime, limit: int) -> pl.DataFrame:
    """Give the newest messages (an alias names two users), newest first: timestamp, kind, event, user, account,
    message_id. Raises Unreachable where the store cannot be read."""
    ever = span(as_of, None)
    found, rows = [pl.DataFrame(schema=_READ)], 0
    for files in _steps(_months(store, ever)):
        told = _collected(store, pl.concat(_of(files, whose, _KEYS[whose.entity])), ever)
        found.append(told.sort(_ORDER, descending=True).head(limit))
        rows += found[-1].height
        if rows >= limit:
            break
    return pl.concat(found).head(limit).select(list(NEWEST))


def event_counts(
    store: EventStore, whose: Whose, *, as_of: datetime, window: timedelta | None, limit: int
) -> pl.DataFrame:
    """Give the events that were most frequent in the window (None: ever): event, count, last_at; by count, then by
    name."""
    within = span(as_of, window)
    files = [path for _, paths in _months(store, within) for path in paths]
    if not files:
        return pl.DataFrame(schema=COUNTED)
    named = pl.concat(_of(files, whose, _KEYS[whose.entity][:1]))
    told = _collected(store, named.select("event", "timestamp"), within).drop_nulls("event")
    counted = told.group_by("event").agg(
        pl.len().cast(pl.Int64).alias("count"), pl.col("timestamp").max().alias("last_at")
    )
    return counted.sort("count", "event", descending=[True, False]).head(limit)


def ids_of(store: EventStore, user: str, as_of: datetime) -> list[str]:
    """Give every id of the user that has this one (semantics §2, `alias`): this one first, the others in order."""
    ever = span(as_of, None)
    files = [path for _, paths in _months(store, ever) for path in paths]
    if not files:
        return [user]
    joined = _joined(_aliases(store, files, ever), {user})
    return [user, *sorted({*joined["user"], *joined["previous"]} - {user})]


def members_of(store: EventStore, account: str, as_of: datetime) -> list[str]:
    """Give every id of the users whose only account this is: their events that name no account are its own (semantics
    §2, account of an event)."""
    ever = span(as_of, None)
    files = [path for _, paths in _months(store, ever) for path in paths]
    if not files:
        return []
    naming = _read(files).filter(pl.col("account") == account).select("user", "timestamp")
    named = set(_collected(store, naming, ever)["user"].drop_nulls())
    joined = _joined(_aliases(store, files, ever), named)
    ids = sorted({*named, *joined["user"], *joined["previous"]})
    pairs = _read(files).filter(pl.col("user").is_in(ids)).select("user", "account", "timestamp")
    told = _collected(store, pairs, ever).drop_nulls("account").unique(["user", "account"])
    users = shown(pl.DataFrame({"user": ids, "id": ids}, schema={"user": pl.String, "id": pl.String}), resolve(joined))
    accounts = told.join(users, left_on="user", right_on="id").group_by("user_right").agg(pl.col("account").n_unique())
    only = accounts.filter(pl.col("account") == 1)["user_right"]
    return users.filter(pl.col("user").is_in(only.to_list()))["id"].to_list()


def _aliases(store: EventStore, files: Sequence[str], within: Span) -> pl.DataFrame:
    told = _read(files).filter(pl.col("kind") == "alias").select("user", "previous", *_ORDER)
    return _collected(store, told, within)


def _joined(aliases: pl.DataFrame, ids: set[str]) -> pl.DataFrame:
    """Give the aliases that join these ids with others, over any number of steps."""
    known = ids
    while True:
        linked = aliases.filter(pl.col("user").is_in(known) | pl.col("previous").is_in(known))
        reached = known.union(linked["user"], linked["previous"])
        if reached == known:
            return linked
        known = reached


def _months(store: EventStore, within: Span) -> list[tuple[str, list[str]]]:
    """Give the months that may hold messages of a window, the newest first, with their files."""
    by_month = groupby(sorted(store.files(), key=_month_of, reverse=True), key=_month_of)
    first = "" if within.start is None else _month(within.start)
    return [(month, list(files)) for month, files in by_month if first <= month <= _month(within.end)]


def _month_of(path: str) -> str:
    """Read the month from a file's path: the partition is its last folder."""
    return path.split("/")[-2].removeprefix(f"{PARTITION}=")


def _month(instant: datetime) -> str:
    day = instant.astimezone(UTC)
    return f"{day.year:04d}-{day.month:02d}"


def _steps(months: Sequence[tuple[str, list[str]]]) -> Iterator[list[str]]:
    """Give the files of the first month, then those of the next one, two, four, and so on: few steps to the oldest, and
    little is read in vain."""
    begin, end = 0, 1
    while begin < len(months):
        yield [path for _, files in months[begin:end] for path in files]
        begin, end = end, 2 * end


def _of(files: Sequence[str], whose: Whose, columns: Sequence[str]) -> list[pl.LazyFrame]:
    """Give the messages that belong to somebody."""
    frames = _naming(files, columns, whose.ids)
    if whose.members:
        theirs = _naming(files, ("user",), whose.members)
        frames += [one.filter(pl.col("account").is_null(), pl.col("event").is_not_null()) for one in theirs]
    return frames


def _naming(files: Sequence[str], columns: Sequence[str], ids: Sequence[str]) -> list[pl.LazyFrame]:
    """Give the messages that name one of the ids in a column, for each column those not given before. One condition on
    one column lets the reader look at its dictionary only; anything more, an order too, costs it half as much again."""
    given = pl.lit(value=False)
    frames: list[pl.LazyFrame] = []
    for name in columns:
        here = pl.col(name) == ids[0] if len(ids) == 1 else pl.col(name).is_in(list(ids))
        frames.append(_read(files).filter(here).filter(~given) if frames else _read(files).filter(here))
        given = given | here.fill_null(value=False)
    return frames


def _read(files: Sequence[str]) -> pl.LazyFrame:
    return pl.scan_parquet(
        list(files),
        glob=False,
        hive_partitioning=False,
        schema=_READ,
        missing_columns="insert",
        extra_columns="ignore",
    )


def _collected(store: EventStore, asked: pl.LazyFrame, within: Span) -> pl.DataFrame:
    """Read what was asked for, of a window."""
    try:
        with translated(store.location):
            told = asked.collect().filter(pl.col("timestamp") <= within.end)
    except pl.exceptions.PolarsError as error:
        first = str(error).strip().split("\n", 1)[0][:300]
        raise Unreachable(f"The event store {store.location} cannot be read: {first}") from error
    return told if within.start is None else told.filter(pl.col("timestamp") >= within.start)
