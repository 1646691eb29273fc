"""Roll-ups between users and accounts: active accounts, counts by type, seat use (semantics §3, §4), and the money and
dates that a user shows of its accounts (semantics §8). Never decides a user's type."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from engage_sync.core.columns import column_of, today
from engage_sync.core.definitions import Entity, Model, ValueType
from engage_sync.core.parsing import day, day_of, number
from engage_sync.core.types import TYPES


def member_rows(users: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Give pairs of user and account as the `row` number of the user and the `account`; other users are left out."""
    numbered = users.select(pl.col("external_id").alias("user")).with_row_index("row")
    return pairs.select("user", "account").join(numbered, on="user").select("row", "account")


def with_accounts(
    users: pl.DataFrame, accounts: pl.DataFrame, members: pl.DataFrame, model: Model, *, as_of: datetime, timezone: str
) -> pl.DataFrame:
    """Add to users: accounts (sorted ids), mrr (sum of the known ones), renewal_date (the earliest that is not past).

    `members` as `member_rows` gives them for these users.
    """
    ordered = pl.col("external_id").rank("ordinal").alias("order")
    known = accounts.select(pl.col("external_id").alias("account"), ordered, **money(model, timezone))
    renewal = pl.col("renewal_date")
    per_user = (
        members.join(known, on="account", how="left")
        .sort("order")
        .group_by("row", maintain_order=True)
        .agg(
            pl.col("account").alias("accounts"),
            pl.when(pl.col("mrr").count() > 0).then(pl.col("mrr").sum()).alias("mrr"),
            renewal.filter(renewal >= today(as_of, timezone)).min(),
        )
    )
    per_user = per_user.rename({"row": ".row"})
    joined = users.with_row_index(".row").join(per_user, on=".row", how="left", maintain_order="left").drop(".row")
    return joined.with_columns(pl.col("accounts").fill_null(pl.lit([], dtype=pl.List(pl.String))))


def with_activity(members: pl.DataFrame, users: pl.DataFrame, attributed: pl.DataFrame, model: Model) -> pl.DataFrame:
    """Add `active` to the rows of `member_rows` for these typed users: who counts as active in which account. With
    `account_activity: attributed` only activity attributed to the account does."""
    members = members.with_columns(users["active"][members["row"]])
    if not model.attributed:
        return members
    seen = member_rows(users, attributed).unique().with_columns(seen=pl.lit(value=True))
    members = members.join(seen, on=["row", "account"], how="left", maintain_order="left")
    return members.with_columns(pl.col("active") & pl.col("seen").fill_null(value=False)).drop("seen")


def with_roll_ups(accounts: pl.DataFrame, users: pl.DataFrame, members: pl.DataFrame, model: Model) -> pl.DataFrame:
    """Add users, active_users, active_share, active, seat_use and users_TYPE. `users` are those not deactivated, typed,
    and `members` as `with_activity` gives them for these users."""
    of_type = users.select("primary_user_type", "user_types", holds_active="active")[members["row"]]
    members = members.hstack(of_type)
    per_account = members.group_by("account").agg(
        pl.len().cast(pl.Int64).alias("users"),
        pl.col("active").sum().cast(pl.Int64).alias("active_users"),
        *(_holding(name).sum().cast(pl.Int64).alias(f"users_{name}") for name in TYPES),
    )
    counted = [name for name in per_account.columns if name != "account"]
    rolled = accounts.join(
        per_account, left_on="external_id", right_on="account", how="left", maintain_order="left"
    ).with_columns(pl.col(counted).fill_null(0))
    return rolled.with_columns(
        active=pl.col("active_users") > 0,
        active_share=pl.when(pl.col("users") > 0).then(pl.col("active_users") / pl.col("users")),
        seat_use=_seat_use(model),
    )


def money(model: Model, timezone: str) -> dict[str, pl.Expr]:
    """Give an account's `mrr` (a number) and `renewal_date` (a day): its declared properties of these names."""
    return {
        "mrr": _account_number("mrr", model),
        "renewal_date": _account_day("renewal_date", model, timezone),
    }


def _holding(name: str) -> pl.Expr:
    if name in ("inactive", "zombie"):
        return pl.col("primary_user_type") == name
    return pl.col("holds_active") if name == "active" else pl.col("user_types").list.contains(name)


def _seat_use(model: Model) -> pl.Expr:
    seats = _account_number("seats", model)
    return pl.when(seats > 0).then(pl.col("active_users") / seats)


def _account_number(name: str, model: Model) -> pl.Expr:
    """Give the declared account property as a number, null where it is not declared; text is read as one."""
    kind = _kind(name, model)
    if kind is ValueType.NUMBER:
        return pl.col(column_of(name))
    if kind in (None, ValueType.BOOLEAN, ValueType.DATE, ValueType.DATETIME):
        return pl.lit(None, dtype=pl.Float64())
    return number(pl.col(column_of(name)))


def _account_day(name: str, model: Model, timezone: str) -> pl.Expr:
    kind = _kind(name, model)
    if kind is ValueType.DATE:
        return pl.col(column_of(name))
    if kind is ValueType.DATETIME:
        return day_of(pl.col(column_of(name)), timezone)
    if kind in (None, ValueType.BOOLEAN, ValueType.NUMBER):
        return pl.lit(None, dtype=pl.Date())
    return day(pl.col(column_of(name)), timezone)


def _kind(name: str, model: Model) -> ValueType | None:
    return next((item.type for item in model.properties_of(Entity.ACCOUNT) if item.name == name), None)
