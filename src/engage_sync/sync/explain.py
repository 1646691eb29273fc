"""`explain`: one user's or account's verdicts as a tree down to the rules and values, what changed since the last run,
the record it is matched with and what a push would write there, and the newest events. Reads only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import polars as pl

from engage_sync.core.asking import Asking
from engage_sync.core.assess import with_only_account
from engage_sync.core.definitions import Entity
from engage_sync.core.history import Marks, benchmark_moved
from engage_sync.core.scores import benchmark_numbers
from engage_sync.errors import Mistake
from engage_sync.events import newest
from engage_sync.sync.compute import compute, documents
from engage_sync.sync.documents import decode, with_ages
from engage_sync.sync.explain_tree import Node, tree
from engage_sync.sync.explain_types import Reason, reasons
from engage_sync.sync.history import kept_benchmarks
from engage_sync.sync.link_history import Link, link_history, links_json, why_unlinked
from engage_sync.sync.places import Place, places
from engage_sync.sync.rows import iso_text, json_value
from engage_sync.sync.unknown import unknown
from engage_sync.sync.views import DELIVERED, Json, Shown, counts_of, json_rows
from engage_sync.sync.wiring import Workspace

NEWEST = 5
COUNTED = 10


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not what it was in the last run."""

    name: str
    before: Json
    after: Json
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything known of one entity at one instant. `row` is its row of `show`; `since` the run that `changes` compare
    with, None where there is none. With `model_changed` the verdicts are of another model than the rules of `tree`."""

    entity: Entity
    external_id: str
    as_of: datetime
    run: int | None
    row: dict[str, Json]
    reasons: tuple[Reason, ...]
    tree: tuple[Node, ...]
    model_changed: bool
    since: int | None
    changes: tuple[Difference, ...]
    places: tuple[Place, ...]
    counts: tuple[dict[str, Json], ...]
    newest: tuple[dict[str, Json], ...]
    links: tuple[Link, ...]
    """Which records stood for it through time, under all its ids, as of today's mirror."""
    deliveries: tuple[dict[str, Json], ...]
    """The newest actions that its signals asked for, whatever became of them by now."""


@dataclass(frozen=True, slots=True)
class _Read:
    """The verdicts that one explanation reads: the entity's own row, those of its accounts, the benchmarks."""

    shown: Shown
    accounts: pl.DataFrame
    benchmarks: dict[str, float | None]
    model: str | None
    """The digest of the model that the recorded run used, where it kept one."""


def explain(
    workspace: Workspace, entity: Entity, external_id: str, as_of: datetime | None, *, now: datetime | None = None
) -> Explanation:
    """Explain one user or account. An id nobody has is a Mistake with the nearest ones. What a push would write is told
    for the instant `now`; locks are looked at as of `as_of`, if that is given. Without both it is the shown instant."""
    project = workspace.project
    read = _read(workspace, entity, external_id, as_of)
    shown, model = read.shown, project.model
    values = shown.frame.row(0, named=True)
    asking = Asking(model, entity, shown.as_of, project.timezone)
    last = workspace.state.previous(shown.as_of)
    before = kept_benchmarks(last)
    marks = {name: (before.get(name), now) for name, now in read.benchmarks.items()}
    full = Shown(entity, shown.run, shown.as_of, ready(shown.frame, read.accounts, asking), shown.counts)
    judged = not values.get("deactivated")
    ids = newest.ids_of(workspace.store, external_id, shown.as_of) if entity is Entity.USER else [external_id]
    counts, messages = _happened(workspace, shown, ids)
    links = link_history(workspace, entity, ids)
    return Explanation(
        entity=entity,
        external_id=external_id,
        as_of=shown.as_of,
        run=shown.run,
        row=json.loads(json_rows(workspace, shown)[0]),
        reasons=reasons(model, shown, values, parted=why_unlinked(links)),
        tree=tree(full.frame, asking, marks) if judged else (),
        model_changed=read.model is not None and read.model != project.model_digest,
        since=None if last is None else last.id,
        changes=tuple(_changes(workspace, shown, marks)) if last is not None else (),
        places=tuple(places(workspace, full, as_of=as_of or now or shown.as_of, now=now or shown.as_of)),
        counts=counts,
        newest=messages,
        links=links,
        deliveries=_deliveries(workspace, entity, ids),
    )


def explanation_json(found: Explanation) -> Json:
    """Give the answer of `explain`."""
    return {
        "entity": found.entity.value,
        "external_id": found.external_id,
        "as_of": iso_text(found.as_of),
        "run": found.run,
        "verdicts": found.row,
        "reasons": [asdict(reason) for reason in found.reasons],
        "tree": [_plain(asdict(node)) for node in found.tree],
        "model_changed": found.model_changed,
        "since": found.since,
        "changes": [_plain(asdict(change)) for change in found.changes],
        "records": [asdict(place) for place in found.places],
        "events": list(found.counts),
        "newest": list(found.newest),
        "link_history": links_json(found.links),
        "deliveries": list(found.deliveries),
    }


def ready(frame: pl.DataFrame, accounts: pl.DataFrame, asking: Asking) -> pl.DataFrame:
    """Add to decoded rows what rules read and documents do not hold: a Boolean per segment and signal, and for users
    what their only account says. `accounts` are decoded rows of the accounts of those users."""
    model, entity = asking.model, asking.entity
    names = [("segments", one.name) for one in model.segments_of(entity)]
    names += [("signals", one.name) for one in model.signals_of(entity)]
    frame = frame.with_columns(
        pl.col(kind).list.contains(name).fill_null(value=False).alias(f"{kind}.{name}") for kind, name in names
    )
    if entity is Entity.ACCOUNT:
        return frame
    return with_only_account(frame, accounts, model, as_of=asking.as_of, timezone=asking.timezone)


def _read(workspace: Workspace, entity: Entity, external_id: str, as_of: datetime | None) -> _Read:
    """Read what is recorded of one entity; at an instant without a recorded run compute it."""
    state, model = workspace.state, workspace.project.model
    run = state.newest_recorded() if as_of is None else state.recorded_at(as_of)
    if run is None and as_of is None:
        raise Mistake("nothing has been computed yet: run `engage-sync compute` or `engage-sync sync`")
    if run is not None:
        frame = decode(state.verdicts(entity, run=run.id, ids=[external_id]), model, entity)
        ids = frame["accounts"][0] if entity is Entity.USER and frame.height else None
        others = state.verdicts(Entity.ACCOUNT, run=run.id, ids=[] if ids is None else ids.to_list())
        accounts = decode(others, model, Entity.ACCOUNT)
        shown = Shown(entity, run.id, run.as_of, frame, counts_of(run))
        marks, digest = kept_benchmarks(run), run.summary.get("model")
    else:
        assert as_of is not None
        computed = compute(workspace, as_of)
        frame = documents(workspace, computed, entity).filter(pl.col("external_id") == external_id)
        accounts = documents(workspace, computed, Entity.ACCOUNT)
        shown = Shown(entity, None, as_of, frame, computed.counts)
        marks, digest = benchmark_numbers(computed.verdicts.benchmarks), None
    if not shown.frame.height:
        raise unknown(workspace, entity, external_id, as_of)
    aged = Shown(entity, shown.run, shown.as_of, with_ages(shown.frame, shown.as_of), shown.counts)
    return _Read(aged, with_ages(accounts, shown.as_of), marks, digest)


def _changes(workspace: Workspace, shown: Shown, marks: Marks) -> Iterator[Difference]:
    """Give what differs from the last run before this instant: verdicts with their reasons, then what they read."""
    state, model, entity = workspace.state, workspace.project.model, shown.entity
    last = state.previous(shown.as_of)
    identity = shown.frame["external_id"][0]
    try:
        old = None if last is None else decode(state.verdicts(entity, run=last.id, ids=[identity]), model, entity)
    except Mistake:
        return  # a property has another type since: the values of then cannot be compared
    if last is None or old is None or not old.height:
        return
    told = state.transitions(entity, identity).filter(pl.col("run") == shown.run)
    why: dict[str, tuple[str, ...]] = {}
    for kind, name, texts in told.select("kind", "name", "reasons").iter_rows():
        column = _COLUMNS.get(kind, f"scores.{name}_band")
        named = [f"{name}: {text}" if kind in {"segment", "signal"} else text for text in json.loads(texts)]
        why[column] = (*why.get(column, ()), *named)
    was, now = with_ages(old, last.as_of).row(0, named=True), shown.frame.row(0, named=True)
    for column in sorted(now, key=_weight):
        quiet = column in _QUIET or column.startswith("raw.")
        if not quiet and (was.get(column) or None) != (now[column] or None):
            yield Difference(column, was.get(column), now[column], _because(column, why, marks))


_COLUMNS = {"type": "user_types", "stage": "stage", "health": "health", "segment": "segments", "signal": "signals"}
_QUIET = frozenset(
    {"health_raw", "health_runs", "signal_marks", "rested_stage", "age_days", "linked", "active", "ambiguous"}
)
_ORDER = ("user_types", "primary_user_type", "lapsed_influencer", "stage", "health", "segments", "signals")


def _weight(name: str) -> tuple[int, str]:
    """Put verdicts first, then scores, then the rest by name."""
    if name in _ORDER:
        return _ORDER.index(name), name
    return (len(_ORDER) if name.startswith("scores.") else len(_ORDER) + 1), name


def _because(column: str, why: Mapping[str, tuple[str, ...]], marks: Marks) -> tuple[str, ...]:
    """Give the kept reasons of a change; of a score what its benchmark did."""
    moved = benchmark_moved(column.removeprefix("scores."), marks).removeprefix("; ")
    return (moved,) if column.startswith("scores.") and moved else why.get(column, ())


def _happened(
    workspace: Workspace, shown: Shown, ids: Sequence[str]
) -> tuple[tuple[dict[str, Json], ...], tuple[dict[str, Json], ...]]:
    """Give the commonest events in the activity window, and the newest messages, under all ids of the entity; of an
    account those that are attributed to it, too."""
    store = workspace.store
    window = workspace.project.model.activity.window
    members = newest.members_of(store, ids[0], shown.as_of) if shown.entity is Entity.ACCOUNT else []
    whose = newest.Whose(shown.entity, ids, members)
    counted = newest.event_counts(store, whose, as_of=shown.as_of, window=window, limit=COUNTED)
    messages = newest.newest_messages(store, whose, as_of=shown.as_of, limit=NEWEST)
    return _lines(counted), _lines(messages)


def _deliveries(workspace: Workspace, entity: Entity, ids: Sequence[str]) -> tuple[dict[str, Json], ...]:
    """Give the newest actions of signals about an entity, under all its ids."""
    parts = [workspace.state.deliveries(entity=entity.value, external_id=one, limit=COUNTED) for one in ids]
    return _lines(pl.concat(parts).sort("run", descending=True, maintain_order=True).head(COUNTED).select(DELIVERED))


def _lines(frame: pl.DataFrame) -> tuple[dict[str, Json], ...]:
    return tuple({key: json_value(cell) for key, cell in line.items()} for line in frame.iter_rows(named=True))


def _plain(value: Json) -> Json:
    """Turn every cell below into what JSON can say."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return json_value(value)
