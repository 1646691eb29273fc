"""Who there is: every user and account with its name, e-mail or domain, declared properties and facts, and which users
are deactivated (semantics §2, §8). Never decides a type or a match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from engage_sync.core.columns import at, column_of, holds
from engage_sync.core.definitions import Entity, Model, Property
from engage_sync.core.facts import Facts
from engage_sync.core.parsing import dtype_of, host, instant, normal_domain, normal_email, typed

UNREADABLE: Mapping[str, pl.DataType] = {
    "entity": pl.String(),
    "external_id": pl.String(),
    "property": pl.String(),
    "value": pl.String(),
}
"""Property values that could not be read as the declared type; null in the population."""

_USER_PATHS = ("email", "name", "firstName", "lastName", "createdAt", "deactivatedAt")
_ACCOUNT_PATHS = ("name", "domain", "website", "createdAt")


@dataclass(frozen=True, slots=True)
class Population:
    """All users and accounts at one `as_of`, deactivated users too.

    `users`: external_id, email (normalised), name, deactivated, created_at, first_message_at, then properties and facts
    by name. `accounts`: external_id, name, domain, created_at, first_message_at, then likewise. A declared name that is
    one of those is in the column `columns.column_of(name)`. The rest is as in `Facts`, and `unreadable` as UNREADABLE.
    """

    users: pl.DataFrame
    accounts: pl.DataFrame
    memberships: pl.DataFrame
    aliases: pl.DataFrame
    attributed: pl.DataFrame
    unreadable: pl.DataFrame


@dataclass(frozen=True, slots=True)
class CrmValues:
    """What the linked records of one object hold: `external_id`, then one text column `crm.FIELD` per field."""

    connector: str
    entity: Entity
    values: pl.DataFrame


def populate(facts: Facts, model: Model, *, as_of: datetime, timezone: str) -> Population:
    """Put facts and traits together. Properties that come from a CRM are null until `with_crm_properties`."""
    users, user_gaps = _users(facts.users.select("external_id"), facts.user_traits, model, as_of, timezone)
    accounts, account_gaps = _accounts(facts, model, timezone)
    return Population(
        users=_with_facts(users, facts.users, model, Entity.USER),
        accounts=_with_facts(accounts, facts.accounts, model, Entity.ACCOUNT),
        memberships=facts.memberships,
        aliases=facts.aliases,
        attributed=facts.attributed,
        unreadable=pl.concat([user_gaps, account_gaps]),
    )


def deactivated_users(
    users: pl.DataFrame, traits: pl.DataFrame, model: Model, *, as_of: datetime, timezone: str
) -> pl.DataFrame:
    """Give the `external_id`s that are deactivated, from ids and merged traits alone: `active_users` metrics leave them
    out before there is a population (semantics §2)."""
    known, _ = _users(users.select("external_id"), traits, model, as_of, timezone)
    return known.filter("deactivated").select("external_id")


def with_crm_properties(population: Population, model: Model, crm: Sequence[CrmValues], *, timezone: str) -> Population:
    """Fill the properties that are read from linked records."""
    users, user_gaps = _fill(population.users, model, Entity.USER, crm, timezone)
    accounts, account_gaps = _fill(population.accounts, model, Entity.ACCOUNT, crm, timezone)
    gaps = pl.concat([population.unreadable, user_gaps, account_gaps])
    return replace(population, users=users, accounts=accounts, unreadable=gaps)


def _users(
    ids: pl.DataFrame, traits: pl.DataFrame, model: Model, as_of: datetime, timezone: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    properties = [item for item in model.properties_of(Entity.USER) if item.connector is None]
    wide = _wide(ids, traits, [*_USER_PATHS, *(item.path for item in properties)])
    identity = wide.select(
        "external_id",
        email=normal_email(_trait("email")),
        name=pl.coalesce(_filled("name"), _joined_name()),
        deactivated=_switched_off(as_of),
        created_at=instant(_trait("createdAt")),
    )
    read, gaps = _typed(wide, properties, Entity.USER, timezone, "trait.")
    users = identity.hstack(read)
    if model.deactivated is not None:
        ruled = holds(users, model.deactivated, model, Entity.USER, as_of=as_of, timezone=timezone)
        users = users.with_columns(pl.col("deactivated") | ruled.fill_null(value=False))
    return users, gaps


def _accounts(facts: Facts, model: Model, timezone: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    properties = [item for item in model.properties_of(Entity.ACCOUNT) if item.connector is None]
    paths = [*_ACCOUNT_PATHS, *(item.path for item in properties)]
    wide = _wide(facts.accounts.select("external_id"), facts.account_traits, paths)
    identity = wide.select(
        "external_id",
        name=_filled("name"),
        domain=pl.coalesce(normal_domain(_trait("domain")), host(_trait("website"))),
        created_at=instant(_trait("createdAt")),
    )
    read, gaps = _typed(wide, properties, Entity.ACCOUNT, timezone, "trait.")
    return identity.hstack(read), gaps


def _wide(ids: pl.DataFrame, traits: pl.DataFrame, paths: Sequence[str]) -> pl.DataFrame:
    """One column `trait.PATH` per wanted path, one row per id, in the order of `ids`."""
    wide = ids.lazy()
    for path in dict.fromkeys(paths):
        values = (
            traits.lazy().filter(pl.col("path") == path).select("external_id", pl.col("value").alias(f"trait.{path}"))
        )
        wide = wide.join(values, on="external_id", how="left", maintain_order="left")
    return wide.collect()


def _trait(path: str) -> pl.Expr:
    return pl.col(f"trait.{path}")


def _filled(path: str) -> pl.Expr:
    return pl.when(_trait(path) != "").then(_trait(path))


def _joined_name() -> pl.Expr:
    name = pl.concat_str(_filled("firstName"), _filled("lastName"), separator=" ", ignore_nulls=True)
    return pl.when(name != "").then(name)


def _switched_off(as_of: datetime) -> pl.Expr:
    """`deactivatedAt` is set: not null, empty or false; an instant counts from then on (semantics §2)."""
    text = _trait("deactivatedAt")
    set_ = text.is_not_null() & ~text.is_in(["", "false"])
    return (set_ & (instant(text) <= at(as_of)).fill_null(value=True)).fill_null(value=False)


def _typed(
    wide: pl.DataFrame, properties: Sequence[Property], entity: Entity, timezone: str, prefix: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read each property's text column `PREFIX + path` as its type; also give what could not be read."""
    columns = {column_of(item.name): typed(pl.col(prefix + item.path), item.type, timezone) for item in properties}
    read = wide.select(**columns) if columns else pl.DataFrame(height=wide.height)
    gaps = [
        wide.select("external_id", pl.col(prefix + item.path).alias("value"))
        .filter(pl.col("value").is_not_null() & read[column_of(item.name)].is_null())
        .select(pl.lit(entity.value).alias("entity"), "external_id", pl.lit(item.name).alias("property"), "value")
        for item in properties
        if dtype_of(item.type) != pl.String()
    ]
    return read, pl.concat([pl.DataFrame(schema=UNREADABLE), *gaps])


def _with_facts(known: pl.DataFrame, facts: pl.DataFrame, model: Model, entity: Entity) -> pl.DataFrame:
    """Add the facts columns beside, and null columns for what a CRM will fill, in a fixed order: identity first."""
    missing = [
        pl.lit(None, dtype=dtype_of(item.type)).alias(column_of(item.name))
        for item in model.properties_of(entity)
        if item.connector is not None
    ]
    metrics = {item.name: column_of(item.name) for item in model.metrics_of(entity)}
    measured = facts.drop("external_id").rename(
        {name: column for name, column in metrics.items() if name in facts.columns}
    )
    return known.with_columns(missing).hstack(measured)


def _fill(
    frame: pl.DataFrame, model: Model, entity: Entity, crm: Sequence[CrmValues], timezone: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    gaps = [pl.DataFrame(schema=UNREADABLE)]
    for connector in dict.fromkeys(
        item.connector for item in model.properties_of(entity) if item.connector is not None
    ):
        properties = [item for item in model.properties_of(entity) if item.connector == connector]
        sources = [one.values for one in crm if one.connector == connector and one.entity is entity]
        wide = _crm_wide(frame.select("external_id"), sources, [item.path for item in properties])
        read, unread = _typed(wide, properties, entity, timezone, "crm.")
        frame = frame.with_columns(read)
        gaps.append(unread)
    return frame, pl.concat(gaps)


def _crm_wide(ids: pl.DataFrame, sources: Sequence[pl.DataFrame], fields: Sequence[str]) -> pl.DataFrame:
    """One column `crm.FIELD` per field; the first object that holds something counts, and empty text is nothing."""
    wide = ids
    wanted = list(dict.fromkeys(f"crm.{name}" for name in fields))
    for source in sources:
        present = [name for name in wanted if name in source.columns]
        values = source.select("external_id", pl.col(present).replace("", None)).unique("external_id", keep="first")
        joined = ids.join(values, on="external_id", how="left", maintain_order="left")
        wide = wide.with_columns(
            pl.coalesce(wide[name], joined[name]).alias(name) if name in wide.columns else joined[name]
            for name in present
        )
    return wide.with_columns(pl.lit(None, dtype=pl.String()).alias(name) for name in wanted if name not in wide.columns)
