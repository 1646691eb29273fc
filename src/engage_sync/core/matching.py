"""Matching users to contacts and accounts to companies: stored link → external id → e-mail or domain → further e-mails
(semantics §5). Never by name, and never a guess: more than one candidate on either side stops there and is listed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from engage_sync.core.parsing import normal_domain, normal_email, site

LINKS: Mapping[str, pl.DataType] = {"record": pl.String(), "external_id": pl.String(), "level": pl.String()}
"""One user or account, one record."""

AMBIGUOUS: Mapping[str, pl.DataType] = {
    "record": pl.String(),
    "external_id": pl.String(),
    "level": pl.String(),
    "candidates": pl.List(pl.String()),
    "reason": pl.String(),
}
"""One row per record (candidates: external ids) and one per user or account (candidates: records) that was stopped."""

CONTESTED: Mapping[str, pl.DataType] = {"record": pl.String(), "external_id": pl.String()}

LISTED = 50
"""So many candidates are listed at most; the reason tells how many there are."""

_WORDS = {"link": "stored link", "external_id": "external id", "email": "e-mail", "further_email": "further e-mail"}


@dataclass(frozen=True, slots=True)
class Matches:
    """`links` as LINKS, `ambiguous` as AMBIGUOUS.

    `contested` (record, external_id as stored): stored links that ended ambiguous. To be kept in store beside `links`,
    so that the next run finds the same ambiguity instead of a match that only the loss of the links made unique.
    """

    links: pl.DataFrame
    ambiguous: pl.DataFrame
    contested: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Open:
    """What is not decided yet. Entities and records are row numbers `e` and `r` from here on: text is joined once."""

    people: pl.Series
    cards: pl.Series
    """Booleans by row number: still open?"""
    links: tuple[pl.DataFrame, ...] = ()
    stopped: tuple[pl.DataFrame, ...] = ()


def match(
    entities: pl.DataFrame,
    records: pl.DataFrame,
    stored: pl.DataFrame,
    gone: pl.DataFrame,
    aliases: pl.DataFrame,
    *,
    key: Literal["email", "domain"],
    free_mail: frozenset[str],
) -> Matches:
    """Match. `entities`: external_id, key, deactivated. `records` (live): record, external_id, key, further (list).
    `stored`: record, external_id. `gone`: record, moved_to. `aliases`: alias, external_id.

    A deactivated user does not compete; its stored live link is kept where nobody else takes the record.
    """
    if records.is_empty():
        return Matches(*(pl.DataFrame(schema=schema) for schema in (LINKS, AMBIGUOUS, CONTESTED)))
    people, cards = entities.with_row_index("e"), records.with_row_index("r")
    held = _stored(stored, cards, gone, aliases, people)
    competing = ~people["deactivated"]
    state = _Open(competing, pl.repeat(value=True, n=cards.height, dtype=pl.Boolean(), eager=True))
    state = _by_id(state, "link", held.filter(~pl.col("deactivated")))
    state = _by_id(state, "external_id", _carried(cards.filter(state.cards), aliases, people))
    record_key = normal_email(pl.col("key")) if key == "email" else site(pl.col("key"))
    seek = people.filter(state.people).select("e", text=_entity_key(key, free_mail))
    state = _by_key(state, key, cards.filter(state.cards).select("r", text=record_key), seek)
    if key == "email":
        further = cards.filter(state.cards).select("r", text="further").explode("text", keep_nulls=False)
        claims = further.select("r", text=normal_email(pl.col("text"))).unique()
        state = _by_key(state, "further_email", claims, seek)
    idle = _by_id(replace(state, people=~competing), "link", held.filter("deactivated"))
    return _named(idle, people["external_id"], cards["record"], held)


def _stored(
    stored: pl.DataFrame, cards: pl.DataFrame, gone: pl.DataFrame, aliases: pl.DataFrame, people: pl.DataFrame
) -> pl.DataFrame:
    """Bring stored links to what they stand for today, after merges and aliases: r, e, deactivated, and was_record,
    was_id as stored. Links to what does not exist any more are dropped."""
    live = cards.select("r", "record")
    links = stored.select("record", "external_id", was_record="record", was_id="external_id")
    links = links.join(live, on="record", how="left")
    if links["r"].has_nulls():
        lost = links.filter(pl.col("r").is_null()).drop("r", "record")
        moves = gone.select(was_record="record", record="moved_to").drop_nulls()
        moved = lost.join(moves, on="was_record").join(live, on="record").select(links.columns)
        links = pl.concat([links.drop_nulls("r"), moved])
    links = links.with_columns(external_id=_shown(links["external_id"], aliases))
    return links.join(people.select("e", "external_id", "deactivated"), on="external_id").select(
        "r", "e", "deactivated", "was_record", "was_id"
    )


def _carried(cards: pl.DataFrame, aliases: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """Pair records with the entity whose id, or any of its ids, their external-id field carries."""
    claims = cards.select("r", "external_id").filter(pl.col("external_id") != "")
    claims = claims.with_columns(external_id=_shown(claims["external_id"], aliases))
    return claims.join(people.select("e", "external_id"), on="external_id")


def _shown(ids: pl.Series, aliases: pl.DataFrame) -> pl.Series:
    if aliases.is_empty():
        return ids
    return ids.replace(aliases["alias"], aliases["external_id"])


def _entity_key(key: str, free_mail: frozenset[str]) -> pl.Expr:
    if key == "email":
        return normal_email(pl.col("key"))
    domain = normal_domain(pl.col("key"))
    return pl.when(~domain.is_in(list(free_mail))).then(domain)


def _by_id(state: _Open, level: str, pairs: pl.DataFrame) -> _Open:
    """Decide a level whose claims name entities directly: r, e."""
    if pairs.is_empty():
        return state
    still = state.cards.gather(pairs["r"]) & state.people.gather(pairs["e"])
    claims = pairs.filter(still).select("r", key="e", rivals=pl.lit(1, pl.UInt32)).unique()
    return _decide(state, level, claims, lambda stopped: stopped.select("key", e="key").unique())


def _by_key(state: _Open, level: str, claims: pl.DataFrame, seek: pl.DataFrame) -> _Open:
    """Decide a level by text that both sides have: claims r, text of open records, and seek e, text of entities."""
    claims = claims.drop_nulls("text")
    if claims.is_empty():
        return state
    seekers = seek.filter(state.people.gather(seek["e"])).drop_nulls("text")
    keys = seekers.group_by("text").agg(pl.col("e").min().alias("key"), pl.len().alias("rivals"))

    def rivals(stopped: pl.DataFrame) -> pl.DataFrame:
        texts = keys.join(stopped.select("key").unique(), on="key", how="semi")
        return seekers.join(texts.select("text", "key"), on="text").select("key", "e")

    return _decide(state, level, claims.join(keys, on="text").select("r", "key", "rivals"), rivals)


def _decide(state: _Open, level: str, claims: pl.DataFrame, rivals: Callable[[pl.DataFrame], pl.DataFrame]) -> _Open:
    """Link or stop. `claims` (r, key, rivals): the keys that open records stand for and how many open entities have
    each; `key` is the row of the first of them. `rivals` gives all entities (key, e) of the contested keys.

    An entity has one key, so counting records per key and entities per record finds every contested pair without
    building all pairs. What is linked or stopped here is closed for the levels after it.
    """
    if claims.is_empty():
        return state
    counted = claims.with_columns(holders=pl.len().over("key"), users=pl.col("rivals").sum().over("r"))
    clean = (pl.col("holders") == 1) & (pl.col("users") == 1)
    links = counted.filter(clean).select("r", e="key", level=pl.lit(level))
    stopped = counted.filter(~clean)
    listed = _listed(stopped, rivals(stopped), level) if stopped.height else None
    done = [links] if listed is None else [links, listed]
    return _Open(
        _closed(state.people, pl.concat([frame["e"] for frame in done])),
        _closed(state.cards, pl.concat([frame["r"] for frame in done])),
        (*state.links, links),
        state.stopped if listed is None else (*state.stopped, listed),
    )


def _closed(still: pl.Series, rows: pl.Series) -> pl.Series:
    return still.clone().scatter(rows.drop_nulls(), values=False)


def _listed(stopped: pl.DataFrame, rivals: pl.DataFrame, level: str) -> pl.DataFrame:
    """Give a row per contested record (`r`, candidates are entity rows) and per contested entity (`e`, record rows)."""
    people = rivals.sort("e").group_by("key").agg(pl.col("e").head(LISTED).alias("candidates"))
    cards = (
        stopped.sort("r")
        .group_by("key")
        .agg(pl.col("r").head(LISTED).alias("candidates"), pl.col("holders").first().alias("count"))
    )
    by_card = (
        stopped.join(people, on="key")
        .group_by("r")
        .agg(
            pl.col("candidates").list.explode().unique().sort().head(LISTED),
            pl.col("users").first().alias("count"),
            pl.col("holders").max().alias("others"),
        )
    )
    by_person = rivals.join(cards, on="key").join(rivals.group_by("key").agg(others=pl.len()), on="key").drop("key")
    both = pl.concat([by_card.sort("r"), by_person.sort("e")], how="diagonal_relaxed")
    return both.with_columns(level=pl.lit(level)).select("r", "e", "level", "candidates", "count", "others")


def _named(state: _Open, people: pl.Series, cards: pl.Series, held: pl.DataFrame) -> Matches:
    """Turn row numbers back into ids."""
    links = pl.concat([pl.DataFrame(schema={"r": pl.UInt32, "e": pl.UInt32, "level": pl.String}), *state.links])
    named = pl.DataFrame(
        {"record": cards.gather(links["r"]), "external_id": people.gather(links["e"]), "level": links["level"]}
    )
    if not state.stopped:
        return Matches(named, pl.DataFrame(schema=AMBIGUOUS), pl.DataFrame(schema=CONTESTED))
    stopped = pl.concat(state.stopped)
    by_link = stopped.filter(pl.col("level") == "link").select("r").drop_nulls()
    contested = held.join(by_link, on="r", how="semi").select(record="was_record", external_id="was_id").unique()
    return Matches(named, _sentences(stopped, people, cards), contested)


def _sentences(stopped: pl.DataFrame, people: pl.Series, cards: pl.Series) -> pl.DataFrame:
    record = pl.col("r").is_not_null()
    candidates = (
        stopped.with_row_index("row")
        .explode("candidates")
        .with_columns(
            pl.when(record).then(_gathered(people, record)).otherwise(_gathered(cards, ~record)).alias("candidates")
        )
    )
    together = (
        candidates.sort("row", "candidates")
        .group_by("row", maintain_order=True)
        .agg(pl.all().exclude("candidates").first(), pl.col("candidates"))
    )
    by = pl.col("level").replace(_WORDS)
    first = pl.col("candidates").list.first()
    reason = (
        pl.when(pl.col("count") > 1)
        .then(pl.format("{} candidates by {}", "count", by))
        .when(record)
        .then(pl.format("one of {} records that stand for {} by {}", "others", first, by))
        .otherwise(pl.format("one of {} that stand for record {} by {}", "others", first, by))
    )
    return together.select(
        record=pl.lit(cards).gather(pl.col("r")),
        external_id=pl.lit(people).gather(pl.col("e")),
        level="level",
        candidates="candidates",
        reason=reason,
    )


def _gathered(names: pl.Series, rows: pl.Expr) -> pl.Expr:
    return pl.lit(names).gather(pl.when(rows).then("candidates"))
