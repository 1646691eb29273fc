"""Values in the CRM that a run without an answer was about to write: they are ours, not somebody else's. A process that
died after a write took effect, or a connection that ended before the answer came, leaves such values. What is found to
be ours is recorded under the run that meant it, so that a rollback of it finds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from engage_sync.connectors.base import Status
from engage_sync.core.definitions import ManagedField, ObjectMap, OnDrift
from engage_sync.core.ownership import MARGIN
from engage_sync.core.values import canonical
from engage_sync.sync.drift import ASKED, ask, stamped
from engage_sync.sync.push import UNCLAIMED, Target, ended
from engage_sync.sync.wiring import Workspace

ASKABLE = timedelta(days=30)
"""So long after a run it is asked who set what that run had meant, until the CRM answers."""
_INSTANT = pl.Datetime("us", "UTC")
_TEXTS = ("record", "field", "value", "before")
_FOUND = {**dict.fromkeys(_TEXTS, pl.String()), "run": pl.Int64(), "was_ours": pl.Boolean()}
_HELD = {**_FOUND, "until": _INSTANT, "stamp": _INSTANT, "likely": pl.Boolean(), "overtaken": pl.Boolean()}
_PLACE = ("record", "field")

Telling = Callable[[ObjectMap, pl.DataFrame], pl.DataFrame]
"""Asks the CRM who set some fields (record, field) when; gives drift's TOLD, only what was answered."""


@dataclass(frozen=True, slots=True)
class Claims:
    """`found`: record, field, value, before, run, was_ours of what live records hold and a run meant to write, where we
    did not know yet that it did. `open`: record and field of what the CRM did not say yet who set it. `known`: the
    intents (`State.intents`) without those that are about it."""

    found: pl.DataFrame
    known: pl.DataFrame
    open: pl.DataFrame


def recognised(
    intents: pl.DataFrame,
    written: pl.DataFrame,
    records: pl.DataFrame,
    object_map: ObjectMap,
    *,
    now: datetime,
    datetime_digits: int,
    telling: Telling,
) -> Claims:
    """Find what runs without an answer wrote. `intents`, `written` and `records` are as the state gives them.

    Under `overwrite` what is most likely ours counts as ours, for a while. Under every other policy a person's value
    would be lost by that, so the CRM is asked (`telling`) who set the field when: it was that run if that was before it
    was over, and surely nobody else. What is not answered stays open for ASKABLE. Where the CRM cannot tell, or only
    who changed the record last, nobody may have changed the record after that run was over, however long ago that is,
    and we must have written nothing else there since.
    """
    nothing = intents.select(_PLACE).clear()
    if intents.is_empty():
        return Claims(pl.DataFrame(schema=_FOUND), intents, nothing)
    held = _held(intents, written, records, object_map.write, datetime_digits=datetime_digits)
    over = pl.col("until") + MARGIN
    untouched = (pl.col("stamp") <= over).fill_null(value=False)
    ours = held.filter(pl.col("likely") & (untouched | (pl.col("until") >= pl.lit(now - UNCLAIMED, _INSTANT))))
    asked = held.filter(~pl.col("likely")).sort("until", descending=True, maintain_order=True)
    open_ = nothing
    if not asked.is_empty():
        told = telling(object_map, asked.select(_PLACE).unique(maintain_order=True))
        answered = asked.join(told, on=_PLACE, how="left", maintain_order="left")
        waits = pl.col("of_record").is_null() & (pl.col("until") >= pl.lit(now - ASKABLE, _INSTANT))
        of_field = pl.when(pl.col("of_record").eq_missing(pl.lit(value=False))).then(pl.col("changed_at") <= over)
        in_time = pl.coalesce(of_field, untouched & ~pl.col("overtaken"))
        nobody_else = pl.col("human").ne_missing(pl.lit(value=True)) & pl.col("ours").ne_missing(pl.lit(value=False))
        unsaid = answered.filter(waits)
        ours = pl.concat([ours, answered.filter(~waits & in_time & nobody_else).select(ours.columns)])
        intents = intents.join(unsaid, on=["record", "run"], how="anti", maintain_order="left")
        open_ = unsaid.select(_PLACE).unique(maintain_order=True)
    return Claims(ours.unique(_PLACE, keep="first", maintain_order=True).select(*_FOUND), intents, open_)


def _held(
    intents: pl.DataFrame,
    written: pl.DataFrame,
    records: pl.DataFrame,
    fields: Sequence[ManagedField],
    *,
    datetime_digits: int,
) -> pl.DataFrame:
    """Give what live records hold as a run meant it, and not as we last wrote it: with `until`, by when that run was
    over, the `stamp` of the record's last change, whether the field's policy takes it for ours if that is `likely`, and
    whether that run was `overtaken`: we have written something else there since, as far as can be told."""
    found = [pl.DataFrame(schema=_HELD)]
    live = records.join(intents.select("record").unique(), on="record", how="semi")
    live = live.join(stamped(live), on="record", maintain_order="left")
    for managed in fields:
        last, seen, meant, stood = (pl.col(name) for name in ("last", "seen", "c.value", "c.before"))
        known = written.select("record", last=f"last.{managed.field}")
        sides = (
            intents.filter(pl.col("field") == managed.field)
            .join(live.select("record", "stamp", seen=f"crm.{managed.field}"), on="record", maintain_order="left")
            .join(known, on="record", how="left", maintain_order="left")
            .with_columns(pl.col(name).alias(f"c.{name}") for name in ("value", "before"))
            .with_columns(
                canonical(one, managed.type, datetime_digits=datetime_digits) for one in (last, seen, meant, stood)
            )
        )
        holds = seen.eq_missing(meant) & seen.ne_missing(last) & meant.ne_missing(stood)
        overtaken = last.ne_missing(stood) & (pl.col("was_ours") | last.is_not_null())
        likely = pl.lit(managed.on_drift is OnDrift.OVERWRITE)
        found.append(sides.filter(holds).with_columns(likely=likely, overtaken=overtaken).select(*_HELD))
    return pl.concat(found)


def claimed(found: pl.DataFrame, fields: Sequence[ManagedField]) -> pl.DataFrame:
    """Give what was recognised as record and `last.FIELD`…. An emptied field is none: it is nobody's."""
    schema = {"record": pl.String(), **{f"last.{managed.field}": pl.String() for managed in fields}}
    told = found.drop_nulls("value")
    if told.is_empty():
        return pl.DataFrame(schema=schema)
    wide = told.pivot("field", index="record", values="value")
    wide = wide.rename({name: f"last.{name}" for name in wide.columns if name != "record"})
    return pl.concat([pl.DataFrame(schema=schema), wide], how="diagonal")


def laid_over(written: pl.DataFrame, claims: pl.DataFrame) -> pl.DataFrame:
    """Give what was last written, claims first."""
    if claims.is_empty():
        return written
    names = [name for name in written.columns if name.startswith("last.")]
    own = written.join(claims.select("record"), on="record", how="semi").select("record", *names)
    both = pl.concat([claims.select("record", *names), own]).group_by("record").agg(pl.all().drop_nulls().first())
    rest = written.join(claims.select("record"), on="record", how="anti")
    return pl.concat([rest, both.with_columns(ever=pl.lit(value=True)).select(rest.columns)])


def untold(remember: pl.DataFrame, open_: pl.DataFrame) -> pl.DataFrame:
    """Give what a plan remembers (record, `values`: a JSON object) without what is still to be asked about: remembered
    as ours, it would be no question any more, and the run that meant it would never have written it."""
    if open_.is_empty() or remember.is_empty():
        return remember
    fields = dict(open_.group_by("record").agg("field").iter_rows())
    mine = pl.col("record").is_in(list(fields))
    kept = {
        record: {name: text for name, text in json.loads(values).items() if name not in fields[record]}
        for record, values in remember.filter(mine).iter_rows()
    }
    lines = {"record": list(kept), "values": [json.dumps(values) for values in kept.values()]}
    rest = pl.DataFrame(lines, schema=remember.schema).filter(pl.col("values") != "{}")
    return pl.concat([remember.filter(~mine), rest])


def settle_claims(target: Target, claims: Claims, *, pulled_since: datetime | None) -> None:
    """Record what was recognised as written by the run that meant it, and drop every intent whose matter is known: it
    took effect, a pull begun at `pulled_since` shows that it did not, or it is too old to be told from other values."""
    state, object_ = target.workspace.state, target.kind.object
    found, intents = claims.found, claims.known
    if found.is_empty() and intents.is_empty():
        return
    at = target.clock()
    for (run,), rows in found.group_by("run", maintain_order=True):
        theirs = pl.col("field").filter(~pl.col("was_ours"))
        lines = rows.group_by("record", maintain_order=True).agg("field", "before", after="value", theirs=theirs)
        told = lines.with_columns(message=pl.lit(f"no answer came; run {target.run} found that it took effect"))
        state.record_outcomes(int(str(run)), target.name, object_, ended(told, Status.WRITTEN, at))
    over = pl.col("until") < pl.lit(at - UNCLAIMED, _INSTANT)
    if pulled_since is not None:
        over = over | (pl.col("until") + MARGIN < pl.lit(pulled_since, _INSTANT))
    took_effect = intents.join(found.select("record", "run"), on=["record", "run"], how="semi")
    state.drop_intents(target.name, object_, pl.concat([took_effect, intents.filter(over)]).select("record", "run"))


def forget_strangers(workspace: Workspace, now: datetime) -> None:
    """Drop what runs meant to write to objects that the project declares no more, as late as for those that it does."""
    declared = {(file.name, item.object) for file in workspace.project.connectors for item in file.objects}
    workspace.state.drop_strange_intents(declared, now - UNCLAIMED)


def catch_up(target: Target, object_map: ObjectMap, *, pulled_since: datetime) -> None:
    """Find, right after a pull, what runs without an answer wrote to one object, and record it."""
    state, key = target.workspace.state, (target.name, target.kind.object)
    intents = state.intents(*key)
    if intents.is_empty():
        return
    names = [managed.field for managed in object_map.write]
    written, records = state.written(*key, names), state.records(*key, names)
    digits = target.connector.limits.datetime_digits
    claims = recognised(
        *(intents, written, records, object_map),
        now=target.clock(),
        datetime_digits=digits,
        telling=lambda _, places: ask(target.connector, target.kind, places.head(ASKED)),
    )
    settle_claims(target, claims, pulled_since=pulled_since)
