"""The plan of a rollback: what a run wrote, read live, and which of it can be taken back. It reads the CRM and the
state, and writes to neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Kind, Unsupported
from engage_sync.core.definitions import ObjectMap
from engage_sync.core.plan import CHANGES, FORGET, REMEMBER, Bucket, ObjectPlan
from engage_sync.core.undo import LEFT, RESTORE, STANDS, disowned, judged, taken_back, with_text
from engage_sync.sync.readback import Fields
from engage_sync.sync.sessions import Session
from engage_sync.sync.wiring import ENTITIES, Workspace, kind_of

_GONE = dict.fromkeys(("record", "field", "why"), pl.String)
_LIVE = dict.fromkeys(("record", "field", "live"), pl.String)


@dataclass(frozen=True, slots=True)
class Undoing:
    """The plan of a rollback: `changes` as CHANGES, where `before` is what the CRM holds now and `after` what stood
    there before run `undone`; decision RESTORE, or LEFT with the reason. `actions` of its signals are done and stay
    done; `nothing` says why there is nothing to plan."""

    run: int
    undone: int
    changes: pl.DataFrame
    actions: int
    nothing: str | None

    def restores(self) -> pl.DataFrame:
        """Give the changes that are to be written."""
        return self.changes.filter(pl.col("decision") == RESTORE)

    def restores_as(self, other: Undoing) -> bool:
        """Tell whether it writes just what another plan does."""
        what = ("connector", "object", "record", "field", "before", "after")
        ours, theirs = (one.restores().select(what).sort(what[:4]) for one in (self, other))
        return ours.equals(theirs)


@dataclass(slots=True)
class Taking:
    """One object of a rollback: the values of the run on it, what became of each, and the records' buckets."""

    session: Session
    kind: Kind
    map: ObjectMap | None
    values: pl.DataFrame
    fields: Fields
    judged: pl.DataFrame = field(default_factory=pl.DataFrame)
    gone: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_GONE))


def taking(session: Session, name: str, values: pl.DataFrame) -> Taking | None:
    """Prepare one object; None for one that the connector, or these credentials, do not know any more."""
    role = session.connector.limits.objects.get(name)
    if role is None or session.schema is None or name not in session.schema.objects:
        return None
    declared = next((item for item in session.file.objects if item.object == name), None)
    of = () if declared is None else kind_of(declared, session.connector.limits).fields
    there = [one for one in values["field"].unique().sort().to_list() if one in session.schema.objects[name]]
    kind = Kind(name, role, tuple(sorted({*of, *there})))
    fields = Fields.of(() if declared is None else declared.write, session.schema, name)
    return Taking(session, kind, declared, values, fields)


def judge(workspace: Workspace, one: Taking) -> None:
    """Read the records of one object live, and say what becomes of each value."""
    live, one.gone = _live(workspace, one)
    described = {} if one.session.schema is None else one.session.schema.objects[one.kind.object]
    why = {}
    for name in one.values["field"].unique().to_list():
        known = described.get(name)
        if known is None:
            why[name] = f"{one.kind.object} has no field {name} any more"
        elif not known.readable:
            why[name] = f"{name} is hidden from these credentials"
        elif not known.writable:
            why[name] = f"{name} is read-only for these credentials"
    hindrances = pl.DataFrame([(None, name, text) for name, text in why.items()], schema=one.gone.schema, orient="row")
    state, key = workspace.state, (one.session.file.name, one.kind.object)
    written = state.written(*key, one.values["field"].unique().sort().to_list())
    one.judged = judged(
        with_text(one.values, disowned(written, state.undone(*key)), "last.", "last"),
        live,
        pl.concat([one.gone, hindrances]),
        one.fields.types,
        one.fields.blanks,
        datetime_digits=one.session.connector.limits.datetime_digits,
    )


def _live(workspace: Workspace, one: Taking) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give record, field, live of the records that are there, by their ids now or from the mirror where the connector
    cannot read by id; and record, field (null), why of those that are gone."""
    ids = one.values["record"].unique(maintain_order=True).to_list()
    names = one.values["field"].unique().sort().to_list()
    lost: dict[str, str | None] = {}
    rows: list[tuple[str, str, str | None]] = []
    size = one.session.connector.limits.push_batch
    try:
        for start in range(0, len(ids), size):
            page = one.session.connector.read(one.kind, ids[start : start + size])
            rows += [(it.id, name, it.values[name]) for it in page.records for name in names if name in it.values]
            lost.update(dict.fromkeys(page.vanished))
            lost.update(page.merged)
    except Unsupported:
        return _mirrored(workspace, one, names)
    live = pl.DataFrame(rows, schema=_LIVE, orient="row")
    return live, _gone(lost)


def _mirrored(workspace: Workspace, one: Taking, names: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    state, connector, object_ = workspace.state, one.session.file.name, one.kind.object
    pulled = [name for name in names if name in one.kind.fields]
    records = state.records(connector, object_, pulled).join(
        one.values.select("record").unique(), on="record", how="semi"
    )
    columns = records.select("record", *(pl.col(f"crm.{name}").alias(name) for name in pulled))
    live = columns.unpivot(pulled, index="record", variable_name="field", value_name="live")
    return live, _gone(dict(state.gone(connector, object_).select("record", "moved_to").iter_rows()))


def _gone(lost: Mapping[str, str | None]) -> pl.DataFrame:
    rows = [
        (record, None, "the record is gone from the CRM" if into is None else f"the record was merged into {into}")
        for record, into in lost.items()
    ]
    return pl.DataFrame(rows, schema=_GONE, orient="row")


def unreached(values: pl.DataFrame, sessions: Mapping[str, Session], reached: Sequence[Taking] = ()) -> pl.DataFrame:
    """Give the changes of the values that cannot even be looked at, as LEFT: their connector or object is no more, or
    did not answer."""
    seen = {(one.session.file.name, one.kind.object) for one in reached}
    parts = [pl.DataFrame(schema=CHANGES)]
    for (connector, object_), rows in values.group_by("connector", "object", maintain_order=True):
        if (connector, object_) in seen:
            continue
        session = sessions.get(str(connector))
        if session is None:
            why = f"the connector {connector} is not in this project, or cannot be opened"
        elif session.error is not None:
            why = f"{connector} could not be asked: {session.error}"
        else:
            why = f"{connector} does not show {object_} to these credentials any more"
        told = rows.with_columns(
            live=pl.lit(None, dtype=pl.String),
            decision=pl.lit(LEFT),
            reason=pl.lit(why),
            entity=pl.lit(None, pl.String),
        )
        parts.append(_changes(told, None))
    return pl.concat(parts)


def unanswered(workspace: Workspace, undone: int, values: pl.DataFrame) -> pl.DataFrame:
    """Give the changes that run `undone` had no answer for, as LEFT, where nobody knows by now what became of them."""
    parts = [pl.DataFrame(schema=CHANGES)]
    for file, item in declared(workspace):
        meant = workspace.state.intents(file.name, item.object).filter(
            (pl.col("run") == undone) & pl.col("value").ne_missing(pl.col("before"))
        )
        if meant.is_empty():
            continue
        live = workspace.state.records(file.name, item.object, meant["field"].unique().sort().to_list())
        here = (pl.col("connector") == file.name) & (pl.col("object") == item.object)
        rows = with_text(meant, live, "crm.", "live").join(values.filter(here), on=["record", "field"], how="anti")
        told = rows.with_columns(
            connector=pl.lit(file.name),
            object=pl.lit(item.object),
            entity=pl.lit(item.entity.value),
            decision=pl.lit(LEFT),
            reason=pl.lit(f"no answer came for what run {undone} was to write, and whether it did cannot be told yet"),
            after="value",
        )
        parts.append(_changes(told, workspace.state.links(file.name, item.object)))
    return pl.concat(parts)


def declared(workspace: Workspace) -> Iterator[tuple[ConnectorFile, ObjectMap]]:
    """Give every declared object with its connector."""
    return ((file, item) for file in workspace.connector_files() for item in file.objects)


def _changes(rows: pl.DataFrame, links: pl.DataFrame | None) -> pl.DataFrame:
    """Bring judged values to the form of a plan: what the CRM holds is `before`, what comes back is `after`."""
    named = rows.drop("after").rename({"before": "after", "live": "before"})
    if links is None:
        named = named.with_columns(external_id=pl.lit(None, dtype=pl.String))
    else:
        named = named.join(links.select("record", "external_id"), on="record", how="left", maintain_order="left")
    return named.select(pl.col(name).cast(dtype) for name, dtype in CHANGES.items())


def taken(workspace: Workspace, one: Taking) -> pl.DataFrame:
    """Give what the rollback takes back of one object, as `State.save_undone` wants it."""
    name, object_ = one.session.file.name, one.kind.object
    rows = taken_back(one.judged, workspace.state.undone(name, object_))
    return rows.with_columns(connector=pl.lit(name), object=pl.lit(object_))


def note_standing(workspace: Workspace, one: Taking, run: int) -> None:
    """Remember what stands there where the rollback writes nothing, as it would what it writes: nothing of it is still
    to be put back, whatever somebody makes of it. That it is theirs says the note of what was taken back."""
    rows = one.judged.filter(pl.col("theirs") | pl.col("back"))
    lines = rows.group_by("record", maintain_order=True).agg("field", "live")
    texts = [json.dumps(dict(zip(names, live, strict=True))) for _, names, live in lines.iter_rows()]
    known = lines.select("record", values=pl.Series(texts, dtype=pl.String))
    workspace.state.remember(one.session.file.name, one.kind.object, known, run)


def changes_of(workspace: Workspace, one: Taking) -> pl.DataFrame:
    """Give the judged values of one object as CHANGES, for people to read."""
    links = workspace.state.links(one.session.file.name, one.kind.object)
    told = one.judged.filter(pl.col("decision") != STANDS)
    return _changes(told.with_columns(entity=pl.lit(ENTITIES[one.kind.role].value)), links)


def plan_of(one: Taking, changes: pl.DataFrame) -> ObjectPlan:
    """Give the plan that push carries out. Every record that the run wrote to ends in a bucket."""
    restore = pl.col("decision") == RESTORE
    how = pl.when(pl.col("after").is_null()).then(pl.lit("clear")).otherwise(pl.lit("write"))
    executed = changes.filter(restore).with_columns(decision=how)
    marks = changes.group_by("record").agg(restored=restore.any(), left=(~restore).any())
    buckets = (
        one.values.select("record")
        .unique(maintain_order=True)
        .join(marks, on="record", how="left", maintain_order="left")
        .join(one.gone.select("record", why="why").unique("record"), on="record", how="left", maintain_order="left")
        .select(
            "record",
            bucket=pl.when(pl.col("why").is_not_null())
            .then(pl.lit(Bucket.GONE.value))
            .when(pl.col("restored"))
            .then(pl.lit(Bucket.WRITTEN.value))
            .when(pl.col("left"))
            .then(pl.lit(Bucket.DRIFT_KEPT.value))
            .otherwise(pl.lit(Bucket.UNCHANGED.value)),
        )
    )
    return ObjectPlan(
        connector=one.session.file.name,
        object=one.kind.object,
        changes=executed,
        buckets=buckets,
        remember=pl.DataFrame(schema=REMEMBER),
        forget=pl.DataFrame(schema=FORGET),
        no_record=0,
        linked=buckets.height,
        written_before=buckets.height,
        changing=executed["record"].n_unique(),
        clearing=executed.filter(pl.col("decision") == "clear")["record"].n_unique(),
        unlinking=0,
        known=buckets.select("record"),
        lost=pl.DataFrame(schema=FORGET),
    )
