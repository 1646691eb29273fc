"""The questions that one measuring asks the engine, and what is kept of the answers: the header (kinds and names), the
alias messages, the partial sums per (user, account), the newest traits, and distinct values. It rolls nothing up that
a later question could need in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import ibis
import ibis.expr.types as ir
import polars as pl
from ibis.backends import BaseBackend

from engage_sync.core.definitions import Entity, Metric, MetricKind, Model
from engage_sync.core.facts import ACCOUNTS, ALIASES, INSTANT, RAW, RAW_BEFORE, TRAITS, USERS, Facts
from engage_sync.core.verdict_rules import WeightedScore
from engage_sync.errors import Mistake, Problem
from engage_sync.events import aggregates, aliases, rollup, traits
from engage_sync.events.aggregates import Measure, Scanned
from engage_sync.events.engine import answer
from engage_sync.events.names import EventNames
from engage_sync.events.rollup import FIRST, FIRST_EVENT, Column
from engage_sync.events.windows import span

_BUILT_IN: Final = {Entity.USER: USERS, Entity.ACCOUNT: ACCOUNTS}
_KEYS: Final = {Entity.USER: "user", Entity.ACCOUNT: "attributed"}
_NAMED: Final = "named"
_ALIAS_MESSAGES: Final = {"user": pl.String(), "previous": pl.String(), "timestamp": INSTANT, "arrival": pl.Int64()}
_INSTANTS: Final = (MetricKind.FIRST, MetricKind.LAST)
_FLOATS: Final = (MetricKind.SUM, MetricKind.MIN, MetricKind.MAX, MetricKind.AVG)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the store said at one `as_of`, before it is rolled up: asking for `facts` again costs no scan."""

    pairs: pl.DataFrame  # user (shown id), account, attributed, first_message_at, named, and the partial sums
    columns: Mapping[Entity, Mapping[str, Column]]
    values: Mapping[tuple[Entity, str], pl.DataFrame]  # metrics over distinct values: external_id and the count
    ignored: Mapping[tuple[Entity, str], str]  # metric → the partial sum of its values that are no numbers
    memberships: pl.DataFrame
    aliases: pl.DataFrame
    traits: Mapping[Entity, pl.DataFrame]
    newest_message_at: datetime | None

    def facts(self, excluded_users: Sequence[str] | pl.Series = ()) -> Facts:
        """Roll up. `excluded_users` are shown ids that no `active_users` metric counts: the deactivated ones."""
        excluded = pl.Series("excluded", excluded_users, dtype=pl.String).implode()
        pairs = self.pairs.with_columns(pl.col("user").is_in(excluded).fill_null(value=False).alias("excluded"))
        return Facts(
            users=self._rolled_up(pairs, Entity.USER),
            accounts=self._rolled_up(pairs, Entity.ACCOUNT),
            memberships=self.memberships,
            attributed=rollup.attributed_activity(pairs, "events"),
            aliases=self.aliases,
            user_traits=self.traits[Entity.USER],
            account_traits=self.traits[Entity.ACCOUNT],
            newest_message_at=self.newest_message_at,
            counts=self._counts(),
        )

    def _rolled_up(self, pairs: pl.DataFrame, entity: Entity) -> pl.DataFrame:
        found = rollup.entities(pairs, _KEYS[entity], self.columns[entity])
        for (of, name), counted in self.values.items():
            if of is entity:
                found = rollup.with_counts(found, name, counted)
        return found

    def _counts(self) -> dict[str, int]:
        nowhere = self.pairs.filter(pl.col("attributed").is_null())
        counts = {"unattributed_events": int(nowhere["named"].sum())}
        for (entity, metric), column in self.ignored.items():
            held = self.pairs.filter(pl.col(_KEYS[entity]).is_not_null())
            name = f"not_numeric.{metric}"
            counts[name] = counts.get(name, 0) + int(held[column].sum())
        return counts


def scanned(table: ir.Table, connection: BaseBackend, model: Model, as_of: datetime, timezone: str) -> Measured:
    """Ask everything that `model` needs of the messages in `table`, none later than `as_of`."""
    _refuse_taken_names(model)
    instants = table["timestamp"]
    header = answer(connection, table.group_by("kind", "event").agg(oldest=instants.min(), newest=instants.max()), {})
    about = Scanned(
        table=table,
        names=EventNames(frozenset(header["event"].drop_nulls()), connection),
        as_of=as_of,
        oldest=_utc(header["oldest"].min(), as_of),
        timezone=timezone,
    )
    measures = {entity: _measures(about, model, entity) for entity in Entity}
    kinds = frozenset(header["kind"])
    told = _alias_messages(table, connection) if "alias" in kinds else pl.DataFrame(schema=_ALIAS_MESSAGES)
    shown = aliases.resolve(told)
    pairs = aliases.shown(_pairs(table, connection, measures, told), shown)
    members = rollup.memberships(pairs)
    asked = _Asked(table, connection, shown, members)
    flat = [(entity, name, one) for entity, of in measures.items() for name, one in of.items()]
    return Measured(
        pairs=rollup.attribute(pairs, members),
        columns={entity: _columns(model, entity, of) for entity, of in measures.items()},
        values={(entity, name): asked.values(entity, one) for entity, name, one in flat if one.values is not None},
        ignored={(entity, name): one.ignored for entity, name, one in flat if one.ignored is not None},
        memberships=members,
        aliases=shown,
        traits={entity: asked.traits(entity, traits.wanted_paths(model, entity), kinds) for entity in Entity},
        newest_message_at=None if header.is_empty() else _utc(header["newest"].max(), as_of),
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """The engine and what is already known of who is who, for the smaller questions."""

    table: ir.Table
    connection: BaseBackend
    shown: pl.DataFrame
    members: pl.DataFrame

    def values(self, entity: Entity, one: Measure) -> pl.DataFrame:
        """Count distinct values per user or account: external_id, count."""
        rows = self.table.filter(one.rows)
        account, user = rows["account"], rows["user"]
        if entity is Entity.USER:
            account = ibis.null("string")
        else:
            user = ibis.ifelse(account.isnull(), user, ibis.null("string"))
        told = rows.select(user=user, account=account, value=one.values)
        told = told.filter(told["value"].notnull()).distinct()
        who = aliases.shown(answer(self.connection, told, {}), self.shown)
        found = rollup.attribute(who, self.members) if entity is Entity.ACCOUNT else who
        key = pl.col(_KEYS[entity]).alias(aliases.SHOWN)
        return found.group_by(key).agg(pl.col("value").n_unique().cast(pl.Int64).alias("count"))

    def traits(self, entity: Entity, paths: Sequence[str], kinds: frozenset[str]) -> pl.DataFrame:
        """Give the merged traits of users or of accounts."""
        if traits.KINDS[entity][0] not in kinds:
            return pl.DataFrame(schema=TRAITS)
        rows = answer(self.connection, traits.newest(self.table, paths, entity), {})
        aliased = self.shown if entity is Entity.USER else pl.DataFrame(schema=ALIASES)
        return traits.merge(rows, paths, aliased)


def _measures(about: Scanned, model: Model, entity: Entity) -> dict[str, Measure]:
    """Give the measures of the built-ins and of the metrics of one entity, by the name of their column."""
    table, instants = about.table, about.table["timestamp"]
    rules = model.activity
    activity = about.names.match(table, rules.include, rules.exclude) & table["user"].notnull()
    window = span(about.as_of, model.activity.window)
    recent = activity & aggregates.holds(window, instants)
    measures = {
        "events": aggregates.count("events", table, recent),
        "active_days": aggregates.active_days("active_days", about, window, recent),
        "first_active_at": aggregates.earliest("first_active_at", instants, activity),
        "last_active_at": aggregates.latest("last_active_at", instants, activity),
    }
    for number, metric in enumerate(model.metrics_of(entity)):
        measures[metric.name] = aggregates.measure_of(metric, about, f"{entity}.{number}")
    for score in _weighted_scores(model, entity):
        measures |= _weighted(about, score)
    return measures


def _weighted(about: Scanned, score: WeightedScore) -> dict[str, Measure]:
    """Give the two sums of a weighted score: of its window, and of the one before it."""
    weight, instants = about.names.weight(about.table, score.weights), about.table["timestamp"]
    spans = (span(about.as_of, score.window), span(about.as_of, score.window, score.window))
    return {
        name: aggregates.weighted(name, weight, aggregates.holds(window, instants))
        for name, window in zip(_raw_columns(score), spans, strict=True)
    }


def _weighted_scores(model: Model, entity: Entity) -> tuple[WeightedScore, ...]:
    return model.weighted_scores() if entity is Entity.USER else ()


def _raw_columns(score: WeightedScore) -> tuple[str, str]:
    return f"{RAW}{score.name}", f"{RAW_BEFORE}{score.name}"


def _columns(model: Model, entity: Entity, measures: Mapping[str, Measure]) -> dict[str, Column]:
    first = pl.col(FIRST)
    if entity is Entity.ACCOUNT:  # of what names no account only events are attributed to one (semantics §2)
        first = pl.when(pl.col("account").is_not_null()).then(first).otherwise(FIRST_EVENT)
    columns = {FIRST: Column(first.min(), None, INSTANT)}
    for name, dtype in _BUILT_IN[entity].items():
        if name in measures:
            columns[name] = Column(measures[name].merged, 0 if dtype.is_integer() else None, dtype)
    for metric in model.metrics_of(entity):
        columns[metric.name] = _column(metric, measures[metric.name].merged)
    for score in _weighted_scores(model, entity):
        columns |= {name: Column(measures[name].merged, 0, pl.Int64()) for name in _raw_columns(score)}
    return columns


def _column(metric: Metric, merged: pl.Expr) -> Column:
    if metric.kind in _INSTANTS:
        return Column(merged, None, INSTANT)
    if metric.kind in _FLOATS:
        return Column(merged, 0.0 if metric.kind is MetricKind.SUM else None, pl.Float64())
    return Column(merged, 0, pl.Int64())


def _pairs(
    table: ir.Table, connection: BaseBackend, measures: Mapping[Entity, Mapping[str, Measure]], told: pl.DataFrame
) -> pl.DataFrame:
    """Give the partial sums per (user, account) as the messages name them, and a row for each alias' former id."""
    asked = [one.partials for of in measures.values() for one in of.values()]
    partials = {name: column for columns in asked for name, column in columns.items()}
    named = table["event"].notnull()
    told_first = {FIRST: table["timestamp"].min(), FIRST_EVENT: table["timestamp"].min(where=named)}
    grouped = table.group_by("user", "account").agg(**told_first, **{_NAMED: table.count(where=named)}, **partials)
    former = told.group_by(pl.col("previous").alias("user")).agg(pl.col("timestamp").min().alias(FIRST))
    instants = dict.fromkeys(told_first, INSTANT)
    return pl.concat([answer(connection, grouped, instants), former], how="diagonal")


def _alias_messages(table: ir.Table, connection: BaseBackend) -> pl.DataFrame:
    told = table.filter(table["kind"] == "alias").select(*_ALIAS_MESSAGES)
    return answer(connection, told, _ALIAS_MESSAGES)


def _refuse_taken_names(model: Model) -> None:
    taken = [
        Problem(f"metrics.{metric.entity}.{metric.name}: that name is taken; choose another")
        for metric in model.metrics
        if metric.name in _BUILT_IN[metric.entity]
    ]
    if taken:
        raise Mistake(taken)


def _utc(instant: object, otherwise: datetime) -> datetime:
    return instant.astimezone(UTC) if isinstance(instant, datetime) else otherwise
