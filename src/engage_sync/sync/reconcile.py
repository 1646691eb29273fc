"""Prove that the cursor of a pull lost nothing: list a CRM's records from the beginning, compare them with the mirror,
and mend what differs. Neither the cursor nor the mirror's loads move, and nothing is ever written to the CRM.

In this order: an ordinary increment; the whole list, of which only ids, stamps and hashes are kept; a second increment,
so that what changed meanwhile is no false alarm; the comparison; candidates read again by their ids; one transaction
that mends. Whatever fails before that last step, nothing is mended and the next reconciliation finds it all again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Connector, Cursor, Kind, Record, Unsupported
from engage_sync.core.definitions import ObjectMap, ValueType
from engage_sync.core.reconcile import PRINTS, Judged, Loss, candidates, judge, prints, shortfall, unread
from engage_sync.errors import Misbehaved
from engage_sync.state.mirror import clean
from engage_sync.sync.progress import SILENT, Progress
from engage_sync.sync.pull import as_rows, pull_object
from engage_sync.sync.wiring import Workspace, kind_of

Json = object
"""A value that `json.dumps` takes."""
NAMED = 100
"""Ids of each kind of loss that a report names; all are counted."""
HASHED_AT_ONCE = 5_000
READ_AGAIN = 20_000
"""Candidates above which reading each again costs more than loading the object from the beginning."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What the reconciliation of one object found. Records: `crm` listed, `mirror` held before mending; `expected` is
    the CRM's own count, None where it tells none, and `short` how many of those its list did not show. `lost` are ids
    by kind; `fresh` differ too, but changed so lately that the next increment shows them. `mended` were put right at
    once; with `reload` the next pull loads the object from the beginning instead.
    """

    connector: str
    object: str
    crm: int
    mirror: int
    expected: int | None
    short: int
    lost: Mapping[Loss, Sequence[str]]
    fresh: int
    mended: int
    reload: bool

    @property
    def losses(self) -> int:
        """Count what must not have happened."""
        return self.short + sum(map(len, self.lost.values()))

    def json(self) -> dict[str, Json]:
        """Give it as `pull --json` and `runs ID` show it."""
        counts: dict[str, Json] = {one.value: len(self.lost[one]) for one in Loss}
        return {
            "crm": self.crm,
            "mirror": self.mirror,
            "expected": self.expected,
            **counts,
            "short": self.short,
            "fresh": self.fresh,
            "mended": self.mended,
            "reload": self.reload,
            "ids": {one.value: list(self.lost[one][:NAMED]) for one in Loss},
        }


@dataclass(frozen=True, slots=True)
class _Listed:
    """A CRM's list of one object: PRINTS, the CRM's own count, and the ids it told as gone on the way."""

    prints: pl.DataFrame
    expected: int | None
    gone: int


@dataclass(slots=True)
class _Again:
    """What the CRM answered for candidates that were read again."""

    records: list[Record] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)

    def answered(self) -> set[str]:
        """Give the ids that the CRM said something of."""
        return {record.id for record in self.records} | {*self.vanished} | self.merged.keys()


@dataclass(frozen=True, slots=True)
class _Object:
    """One object under reconciliation."""

    workspace: Workspace
    connector: Connector
    name: str
    kind: Kind
    types: Mapping[str, ValueType | None]
    run: int
    began: datetime

    def prints(self, records: pl.DataFrame) -> pl.DataFrame:
        return prints(records, self.types, datetime_digits=self.connector.limits.datetime_digits)


def reconcile(
    workspace: Workspace,
    file: ConnectorFile,
    connector: Connector,
    *,
    run: int,
    began: datetime,
    progress: Progress = SILENT,
) -> Iterator[Reconciled]:
    """Reconcile every object of one connector, giving each when it is mended. `began` is now. Raises what a pull
    raises; what was found and mended before stands, and is noted for `status`."""
    losses = 0
    for object_map in file.objects:
        kind = kind_of(object_map, connector.limits)
        here = _Object(workspace, connector, file.name, kind, _types(kind, object_map), run, began)
        pull_object(workspace, file.name, connector, kind, run, progress.pulled)
        progress.step(f"listing {file.name} {kind.object}")
        listed = _list(here)
        pull_object(workspace, file.name, connector, kind, run, progress.pulled)
        found, mending = _compare(here, listed)
        losses += found.losses
        if found.losses:  # first, so that a loss is told also when this process dies before its report
            _note(workspace, file.name, run, began, losses, whole=False)
        _mend(here, found, mending)
        yield found
    _note(workspace, file.name, run, began, losses, whole=True)


def note_of(workspace: Workspace, connector: str) -> dict[str, object] | None:
    """Give when a connector was last reconciled: at, run, lost, whole (every object was reached); None: never."""
    kept = workspace.state.note(_key(connector))
    return None if kept is None else dict(json.loads(kept))


def _key(connector: str) -> str:
    return f"reconciled.{connector}"


def _note(workspace: Workspace, connector: str, run: int, at: datetime, lost: int, *, whole: bool) -> None:
    told = {"at": at.isoformat(), "run": run, "lost": lost, "whole": whole}
    workspace.state.set_note(_key(connector), json.dumps(told))


def _types(kind: Kind, object_map: ObjectMap) -> dict[str, ValueType | None]:
    """Give the fields that are compared, with the types of those that we write."""
    managed = {one.field: one.type for one in object_map.write}
    return {name: managed.get(name) for name in kind.fields}


def _list(here: _Object) -> _Listed:
    """Read the whole list, from the beginning, and keep hashes of it."""
    parts = [pl.DataFrame(schema=PRINTS)]
    waiting: list[Record] = []
    gone: set[str] = set()
    expected: int | None = None
    cursor: Cursor | None = None
    while True:
        page = here.connector.pull(here.kind, cursor)
        if not page.done and page.cursor == cursor:
            raise Misbehaved(f"{here.name}: the list of {here.kind.object} does not move on")
        expected = page.expected if cursor is None else expected
        cursor = page.cursor
        gone |= {*page.vanished} | page.merged.keys()
        waiting += page.records
        if page.done or len(waiting) >= HASHED_AT_ONCE:
            parts.append(here.prints(_frame(waiting, here.kind.fields)))
            waiting = []
        if page.done:
            listed = pl.concat(parts).unique("record", keep="last")
            return _Listed(listed, expected, len(gone))


def _frame(records: Sequence[Record], fields: Sequence[str]) -> pl.DataFrame:
    """Give records as the state gives them: record, updated_at, `crm.FIELD`…, without what no database text holds."""
    columns: dict[str, list[str | None]] = {
        "record": [record.id for record in records],
        "updated_at": [record.updated_at for record in records],
        **{f"crm.{name}": [record.values.get(name) for record in records] for name in fields},
    }
    schema = dict.fromkeys(columns, pl.String())
    try:
        frame = pl.DataFrame(columns, schema=schema)
    except UnicodeEncodeError:  # half a surrogate pair
        frame = pl.DataFrame({name: list(map(clean, values)) for name, values in columns.items()}, schema=schema)
    return frame.with_columns(pl.col(pl.String).str.replace_all("\0", "", literal=True))


def _compare(here: _Object, listed: _Listed) -> tuple[Reconciled, _Again]:
    """Compare the list with the mirror as it is now, read the candidates again and judge them."""
    mirror = here.prints(here.workspace.state.records(here.name, here.kind.object, here.kind.fields))
    sides = candidates(listed.prints, mirror)
    again = _read_again(here, sides["record"].to_list()) if sides.height <= READ_AGAIN else None
    if again is None:
        judged = unread(sides, began=here.began)
    else:
        answered = sides.filter(pl.col("record").is_in(list(again.answered())))
        judged = judge(answered, here.prints(_frame(again.records, here.kind.fields)), mirror, began=here.began)
    found = Reconciled(
        connector=here.name,
        object=here.kind.object,
        crm=listed.prints.height,
        mirror=mirror.height,
        expected=listed.expected,
        short=shortfall(listed.expected, listed.prints.height, listed.gone),
        lost=judged.lost,
        fresh=len(judged.fresh),
        mended=0,
        reload=again is None and any(judged.lost.values()),
    )
    if again is None:
        return found, _Again()
    mending = _mending(judged, again)
    return replace(found, mended=len(mending.answered())), mending


def _read_again(here: _Object, ids: Sequence[str]) -> _Again | None:
    """Read candidates by id; None where the connector cannot."""
    again, size = _Again(), here.connector.limits.push_batch
    try:
        for start in range(0, len(ids), size):
            page = here.connector.read(here.kind, ids[start : start + size])
            again.records += page.records
            again.vanished += page.vanished
            again.merged |= page.merged
    except Unsupported:
        return None
    return again


def _mending(judged: Judged, again: _Again) -> _Again:
    """Give the part of the answers that puts the mirror right."""
    live = {*judged.lost[Loss.MISSING], *judged.lost[Loss.STALE], *judged.fresh}
    gone = {*judged.lost[Loss.EXTRA]}
    return _Again(
        [record for record in again.records if record.id in live],
        [one for one in again.vanished if one in gone],
        {old: new for old, new in again.merged.items() if old in gone},
    )


def _mend(here: _Object, found: Reconciled, mending: _Again) -> None:
    state, object_ = here.workspace.state, here.kind.object
    if found.reload:
        state.drop_cursor(here.name, object_)
    elif found.mended:
        rows, vanished, merged = as_rows(mending.records), mending.vanished, mending.merged
        state.mend(here.name, object_, records=rows, run=here.run, vanished=vanished, merged=merged)
