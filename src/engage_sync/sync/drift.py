"""What one run learns about values that somebody else set in our fields: since when, by whom as far as the CRM tells,
and what became of them. Asks the CRM about what is new only; an answer that fails leaves that unknown, no run fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl
import structlog

from engage_sync.connectors.base import Author, Connector, Kind
from engage_sync.core.definitions import ObjectMap, OnDrift
from engage_sync.core.fitting import FieldLimit
from engage_sync.core.ownership import INSTANT, KNOWN, answered, doubtful, drifting, met, owned
from engage_sync.core.plan import DEFERRED, EXECUTED, Bucket, ObjectPlan
from engage_sync.errors import EngageError
from engage_sync.events.message import read_instant
from engage_sync.sync.computed import ObjectKey
from engage_sync.sync.wiring import Workspace, kind_of

ASKED = 200
"""Drifting fields that one run asks about; the rest are asked about by later runs."""
LISTED = 10_000
"""Drifting fields that are kept with a run; all are counted."""
PLACE = ("connector", "object", "record", "field")
LISTING: Mapping[str, pl.DataType] = {
    **dict.fromkeys((*PLACE, "theirs", "ours", "decision", "outcome", "author"), pl.String()),
    "changed_at": INSTANT,
    "seen_at": INSTANT,
    "human": pl.Boolean(),
}
"""One row per field that somebody else set. `outcome`: kept, overwritten, held (by a brake, or for want of quota),
waiting (the CRM refused the write before), rolled_back, or how the write ended otherwise."""
_NOT_SENT = {"drift_kept": "kept", DEFERRED: Bucket.HELD.value}
"""Outcomes of what was not to be sent; that of any other decision is called like the decision."""
TOLD: Mapping[str, pl.DataType] = {
    **{name: KNOWN[name] for name in ("record", "field", "author", "changed_at", "human")},
    "ours": pl.Boolean(),
    "of_record": pl.Boolean(),
}
"""What the CRM tells of a field, as `Author` has it."""
_ONE = ["record", "field"]


@dataclass(frozen=True, slots=True)
class _Question:
    """Drifting fields of one object that were never asked about: record and field, the newest first; asked `at`."""

    connector: Connector
    kind: Kind
    key: ObjectKey
    at: datetime
    unasked: pl.DataFrame


@dataclass(slots=True)
class Onlooker:
    """What a run learns, over all its connectors. Without `keeps` it asks and tells, and keeps nothing."""

    workspace: Workspace
    run: int
    keeps: bool
    known: dict[ObjectKey, pl.DataFrame] = field(default_factory=dict)
    heard: dict[ObjectKey, pl.DataFrame] = field(default_factory=dict)
    """What was told in this run: nothing is asked twice."""
    ended: dict[ObjectKey, Mapping[str, Bucket]] = field(default_factory=dict)
    left: int = ASKED
    later: list[_Question] = field(default_factory=list)
    """What no decision of this run depends on: asked when all connectors are planned."""

    def owned(
        self,
        connector: Connector,
        as_of: datetime,
        plan: ObjectPlan,
        object_map: ObjectMap,
        records: pl.DataFrame,
        limits: Mapping[str, FieldLimit] | None,
    ) -> ObjectPlan:
        """Find out about the drift of a plan, keep it, and decide about the fields that a person may have locked. Only
        these are asked about at once; the others are left to `ask_rest`."""
        drift = drifting(plan)
        stored = self.workspace.state.drifts(plan.connector, plan.object)
        if drift.is_empty() and stored.is_empty():
            return plan
        found = met(drift, stored, as_of=as_of)
        locked = pl.col("field").is_in([one.field for one in object_map.write if one.on_drift is OnDrift.HUMAN_LOCK])
        kind = kind_of(object_map, connector.limits)
        stamps = stamped(records.join(found, on="record", how="semi", maintain_order="left"))
        unasked = _newest_first(found.filter(pl.col("author").is_null()), stamps)
        self.later.append(_Question(connector, kind, (plan.connector, plan.object), as_of, unasked.filter(~locked)))
        found = answered(found, self._told(connector, kind, unasked.filter(locked)), at=as_of)
        unsure = doubtful(found, stamps, object_map.write, as_of=as_of)
        told = self._told(connector, kind, _newest_first(unsure, stamps))
        found, unsure = answered(found, told, at=as_of), unsure.join(told, on=_ONE, how="anti", maintain_order="left")
        if self.keeps:
            self._keep(plan, found.select(*KNOWN), stored)
        self.known[plan.connector, plan.object] = found
        return owned(plan, object_map.write, found, unsure, as_of=as_of, limits=limits)

    def ask_rest(self) -> None:
        """Ask about the fields that no decision depends on, as far as the run's questions go, and keep the answers."""
        for one in self.later:
            told = self._told(one.connector, one.kind, one.unasked)
            met = self.known[one.key] = answered(self.known[one.key], told, at=one.at)
            if self.keeps:
                news = met.join(told, on=_ONE, how="semi", maintain_order="left").select(*KNOWN)
                self.workspace.state.change_drifts(*one.key, news, news.clear(), self.run)
        self.later.clear()

    def told(self, connector: Connector, object_map: ObjectMap, places: pl.DataFrame) -> pl.DataFrame:
        """Ask who set some fields (record, field) of one object; give TOLD."""
        return self._told(connector, kind_of(object_map, connector.limits), places)

    def _told(self, connector: Connector, kind: Kind, unasked: pl.DataFrame) -> pl.DataFrame:
        """Ask about as many fields as the run has questions left, and give what was told before as it was told. A call
        that fails takes nothing from them: the other fields are asked about."""
        if unasked.is_empty():
            return pl.DataFrame(schema=TOLD)
        key = (connector.name, kind.object)
        heard = self.heard.get(key, pl.DataFrame(schema=TOLD))
        told = ask(connector, kind, unasked.join(heard, on=_ONE, how="anti", maintain_order="left").head(self.left))
        self.left -= told.height
        self.heard[key] = pl.concat([heard, told])
        return self.heard[key].join(unasked, on=_ONE, how="semi", maintain_order="left")

    def _keep(self, plan: ObjectPlan, met: pl.DataFrame, stored: pl.DataFrame) -> None:
        """Keep what is new, and drop what is gone. Drift that is to be overwritten is kept if it was asked for."""
        decided = plan.changes.select(*_ONE, "decision")
        worth = met.join(decided, on=_ONE, how="left", maintain_order="left").filter(
            (pl.col("decision") == "drift_kept") | pl.col("author").is_not_null()
        )
        new = worth.select(*KNOWN).join(stored.select(*KNOWN), on=list(KNOWN), how="anti", nulls_equal=True)
        state = self.workspace.state
        # While a mirror is loaded, a record that is not there yet is not gone.
        whole = state.loaded(plan.connector, plan.object)
        gone = stored.join(met, on=_ONE, how="anti") if whole else stored.clear()
        state.change_drifts(plan.connector, plan.object, new, gone, self.run)

    def settle(self, plan: ObjectPlan, ended: Mapping[str, Bucket]) -> None:
        """Note how the push of a plan ended. What was overwritten is forgotten: set again, it is another drift."""
        key = (plan.connector, plan.object)
        self.ended[key] = ended
        if not self.keeps or key not in self.known:
            return
        sent = plan.changes.filter(pl.col("decision") == "drift_written").select(*_ONE)
        over = sent.filter(
            pl.Series([ended.get(record) is Bucket.WRITTEN for record in sent["record"]], dtype=pl.Boolean)
        )
        kept = self.known[key].select(*_ONE).join(over, on=_ONE, how="semi")
        self.workspace.state.change_drifts(*key, pl.DataFrame(schema=KNOWN), kept, self.run)

    def keep(self, listing: pl.DataFrame) -> None:
        """Keep a list with the run, the first of it where it is long."""
        if self.keeps and not listing.is_empty():
            self.workspace.state.keep_run_drift(self.run, listing.head(LISTED))

    def listing(self, plans: Sequence[ObjectPlan], *, otherwise: str) -> pl.DataFrame:
        """Give LISTING of some plans; `otherwise` is the outcome of what was to be overwritten and was not sent."""
        parts = [self._listed(plan, otherwise) for plan in plans]
        return pl.concat([pl.DataFrame(schema=LISTING), *parts])

    def _listed(self, plan: ObjectPlan, otherwise: str) -> pl.DataFrame:
        """List what was met of one plan, whatever later passes decided about it."""
        key = (plan.connector, plan.object)
        known = self.known.get(key, pl.DataFrame(schema=KNOWN))
        known = known.select(*_ONE, "author", "changed_at", "human", "seen_at")
        rows = plan.changes.join(known, on=_ONE, maintain_order="left")
        if rows.is_empty():
            return pl.DataFrame(schema=LISTING)
        ended = self.ended.get(key, {})
        buckets = [None if (one := ended.get(record)) is None else one.value for record in rows["record"]]
        done = pl.Series(buckets, dtype=pl.String).replace(Bucket.WRITTEN.value, "overwritten")
        sent = pl.col("decision").is_in(EXECUTED)
        left = pl.col("decision").replace(_NOT_SENT)
        return rows.with_columns(
            theirs="before",
            ours="after",
            author=pl.col("author").replace("", None),
            outcome=pl.when(sent).then(done.fill_null(otherwise)).otherwise(left),
        ).select(*LISTING)


def ask(connector: Connector, kind: Kind, places: pl.DataFrame) -> pl.DataFrame:
    """Ask who set some fields (record, field); give TOLD, nothing where the call fails. What the CRM has no answer to
    has the author ''."""
    pairs = list(places.select(*_ONE).iter_rows())
    if not pairs:
        return pl.DataFrame(schema=TOLD)
    log = structlog.get_logger(__name__).bind(connector=connector.name, object=kind.object, fields=len(pairs))
    try:
        found = connector.authors(kind, pairs)
    except EngageError as error:
        log.warning("who changed our fields is not known", because=str(error))
        return pl.DataFrame(schema=TOLD)
    log.info("asked who changed our fields", told=len(found))
    return pl.DataFrame([_row(pair, found.get(pair, Author())) for pair in pairs], schema=TOLD, orient="row")


def counted(listing: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Count what was kept and overwritten, by connector."""
    found = listing.group_by("connector", maintain_order=True).agg(
        kept=(pl.col("outcome") == "kept").sum(), overwritten=(pl.col("outcome") == "overwritten").sum()
    )
    return {name: {"kept": int(kept), "overwritten": int(over)} for name, kept, over in found.iter_rows()}


def stamped(records: pl.DataFrame) -> pl.DataFrame:
    """Give the instants at which mirrored records last changed, as far as they tell: record, stamp."""
    stamps = pl.Series([read_instant(text or "") for text in records["updated_at"]], dtype=INSTANT)
    return records.select("record", stamp=stamps)


def _newest_first(open_: pl.DataFrame, stamps: pl.DataFrame) -> pl.DataFrame:
    if open_.is_empty():
        return open_
    joined = open_.join(stamps, on="record", how="left", maintain_order="left")
    return joined.sort("stamp", descending=True, nulls_last=True, maintain_order=True)


def _row(pair: tuple[str, str], author: Author) -> tuple[object, ...]:
    return (*pair, author.name or "", read_instant(author.at or ""), author.human, author.ours, author.of_record)
