"""Deliver what signals ask for: the waiting rows of the outbox, to the CRMs of this run and to webhooks.

At least once: an attempt is noted before the call and its end when it comes, so a process that dies in between leads
to a repetition under the same key with the same content, never to a loss. What belongs to one chain (one signal on one
entity at one target; one field of one entity) goes one after the other, the oldest first: an end never overtakes its
beginning, whichever addresses they go to. It decides nothing about signals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl
import structlog

from engage_sync.config.secrets import UnresolvedError, resolve
from engage_sync.connectors.base import Connector
from engage_sync.core.definitions import Entity, Model
from engage_sync.core.facts import INSTANT
from engage_sync.core.verdict_rules import WebhookAction
from engage_sync.errors import EngageError, Mistake
from engage_sync.state import instants
from engage_sync.sync.couriers import Courier, Delivery, End, Ended, FieldCourier, TaskCourier
from engage_sync.sync.outbox import FIELD, TASK, WEBHOOK, action_kind
from engage_sync.sync.progress import SILENT, Progress
from engage_sync.sync.standing import standing
from engage_sync.sync.wiring import Workspace

OFTEN = 3
"""Attempts after which a webhook goes behind the others, so that it cannot keep them from being tried."""
NEWS_FOR = timedelta(days=14)
"""After so long nobody is told any more what happened then; receivers have to remember keys for longer."""
_ENDS = {"key": pl.String, "status": pl.String, "message": pl.String, "result": pl.String}

NOTHING_DELIVERED: Mapping[str, object] = {
    **{end.value: 0 for end in End},
    "signals": {},
    "problems": [],
}
"""What `Delivered.json` gives where nothing waited."""

Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of the outbox. `counts` has every `End`; `pending` counts all that still wait, of other runs and of
    connectors that had no part in this one, too. `told` are sentences about what was not delivered, `errors` the
    errors that ended a connector's part."""

    counts: Mapping[str, int]
    signals: Mapping[str, Mapping[str, int]]
    unreached: bool = False
    """Whether something that was to be delivered in this run still waits."""
    told: tuple[str, ...] = ()
    errors: Mapping[str, EngageError] = field(default_factory=dict)

    @property
    def incomplete(self) -> bool:
        """Whether something was refused or is to be tried again. What was skipped, or not yet tried, is no failure."""
        return self.counts[End.FAILED] > 0 or self.unreached

    def json(self) -> dict[str, object]:
        """Give the part of a report: the counts, `signals` with the same by name, and `problems`."""
        return {
            **self.counts,
            "signals": {name: dict(counts) for name, counts in self.signals.items()},
            "problems": list(self.told),
        }


def deliver(
    workspace: Workspace,
    targets: Mapping[str, Connector],
    *,
    run: int,
    clock: Callable[[], datetime],
    progress: Progress = SILENT,
    webhooks: bool = True,
    sleep: Sleep | None = None,
) -> Delivered:
    """Deliver what waits for `targets` (open connectors by their file's name, none of them held by a brake) and, if
    allowed, for webhooks, pausing by `sleep`. An error of one target leaves the others to be served; it comes back in
    the answer."""
    waiting = _in_order(workspace.state.pending_deliveries(), workspace.project.model)
    round_ = _Round(workspace, clock, progress, waiting)
    if waiting.is_empty():
        return round_.summary({})
    progress.step("delivering signals")
    waiting = _still_news(round_, _still_asked_for(round_, waiting))
    errors = _serve_crms(round_, waiting.filter(pl.col("connector").is_not_null()), targets)
    if webhooks:
        _call_webhooks(round_, waiting.filter(pl.col("action") == WEBHOOK), sleep)
    done = round_.summary(errors)
    log = structlog.get_logger(__name__).bind(run=run)
    log.info("delivered signals", **done.counts)
    return done


def _still_asked_for(round_: _Round, waiting: pl.DataFrame) -> pl.DataFrame:
    """End what the model asks for no longer, and give the rest."""
    columns = ["signal", "entity", "phase", "number", "action"]
    asked = [
        (signal.name, signal.entity.value, phase, number, action_kind(action))
        for signal in round_.workspace.project.model.signals
        for phase, actions in (("on", signal.actions), ("off", signal.clear_actions))
        for number, action in enumerate(actions)
    ]
    known = pl.DataFrame(asked, schema=waiting.select(columns).schema, orient="row")
    gone = waiting.join(known, on=columns, how="anti", maintain_order="left")
    told = "the model no longer asks for it"
    round_.settle([Ended(key, End.SKIPPED, told, result) for key, result in gone.select("key", "result").iter_rows()])
    return waiting.join(known, on=columns, how="semi", maintain_order="left")


def _still_news(round_: _Round, waiting: pl.DataFrame) -> pl.DataFrame:
    """End the tasks and webhooks of runs that are long past, as of the newest one, and give the rest. A field is no
    news: it says how things are, and one that was set has to be cleared."""
    newest = round_.workspace.state.newest_recorded()
    if newest is None:
        return waiting
    since = pl.lit(newest.as_of - NEWS_FOR, INSTANT)
    old = (pl.col("action") != FIELD) & (instants.column_from_text("at") < since)
    told = f"it waited for more than {NEWS_FOR.days} days"
    ends = [
        Ended(key, End.EXPIRED, told if message is None else f"{told}; last: {message}", result)
        for key, message, result in waiting.filter(old).select("key", "message", "result").iter_rows()
    ]
    round_.settle(ends)
    return waiting.filter(~old)


def _serve_crms(round_: _Round, waiting: pl.DataFrame, targets: Mapping[str, Connector]) -> dict[str, EngageError]:
    """Deliver tasks and fields, a CRM after the other; give the errors that ended the part of one."""
    errors: dict[str, EngageError] = {}
    workspace = round_.workspace
    files = {file.name: file for file in workspace.project.connectors}
    mine = waiting.filter(pl.col("connector").is_in(list(targets)))
    if mine.is_empty():
        return errors
    owed = workspace.state.owed_episodes()
    for name, connector in targets.items():
        found = standing(workspace, files[name], mine.filter(connector=name), owed)
        confined = any(item.only is not None for item in files[name].objects)
        round_.leave(found.waiting, f"it waits for a record in {name}" + " that may be written" * confined)
        round_.settle([Ended(key, End.SKIPPED, message, result) for key, message, result in found.ended.iter_rows()])
        for action, courier in (
            (TASK, TaskCourier(workspace, files[name], connector)),
            (FIELD, FieldCourier(workspace, files[name], connector, found.left)),
        ):
            rows = found.ready.filter(action=action)
            if rows.is_empty() or name in errors:
                continue
            items = [_Waiting(row, name, chain, row.key, (chain,)) for row, chain, _ in _deliveries(rows)]
            round_.carry({name: (name, courier)}, items)
            if courier.error is not None:
                errors[name] = courier.error
    return errors


def _in_order(waiting: pl.DataFrame, model: Model) -> pl.DataFrame:
    """Put the oldest first, within one instant an older episode first, on before off, and then by the model's order;
    add `chain`, within which one goes after the other."""
    names = [signal.name for signal in model.signals]
    place = pl.col("signal").replace_strict(names, range(len(names)), default=len(names), return_dtype=pl.Int64)
    name = pl.when(pl.col("action") == FIELD).then(pl.col("payload").str.json_path_match("$.field"))
    parts = [pl.col("connector").fill_null(""), "action", "entity", "external_id", name.otherwise("signal")]
    return waiting.sort(
        "at", "episode", pl.col("phase") == "off", place, "number", "entity", "external_id"
    ).with_columns(pl.concat_list(parts).list.join("\0").alias("chain"))


_Aim = Hashable
"""What one courier goes to."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A delivery and where it stands. Of a chain the steps go one after the other, and what is of one step side by
    side. One that still waits holds up what follows it in any of its lanes. `aim` None: nothing can be called."""

    row: Delivery
    aim: _Aim | None
    chain: str
    step: str
    lanes: tuple[str, ...]


def _deliveries(frame: pl.DataFrame) -> Iterator[tuple[Delivery, str, str]]:
    """Give each delivery with its chain and its episode."""
    columns = ("key", "signal", "entity", "external_id", "phase", "number", "payload", "attempts", "chain", "episode")
    for key, signal, entity, external_id, phase, number, payload, attempts, chain, episode in frame.select(
        columns
    ).iter_rows():
        yield Delivery(key, signal, Entity(entity), external_id, phase, number, payload, attempts), chain, episode


def _turns(rows: Iterable[_Waiting]) -> list[list[_Waiting]]:
    """Give the first step of each chain, then the second of each, and so on; the order within a turn is kept."""
    turns: list[list[_Waiting]] = []
    at: dict[str, tuple[int, str]] = {}
    for one in rows:
        turn, step = at.get(one.chain, (-1, None))
        turn += step != one.step
        at[one.chain] = turn, one.step
        if turn == len(turns):
            turns.append([])
        turns[turn].append(one)
    return turns


@dataclass(slots=True)
class _Round:
    """One delivery of the outbox: notes attempts and ends, and counts."""

    workspace: Workspace
    clock: Callable[[], datetime]
    progress: Progress
    waiting: pl.DataFrame
    ended: dict[str, Ended] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)

    def carry(self, couriers: Mapping[_Aim, tuple[str, Courier]], rows: Sequence[_Waiting]) -> None:
        """Give couriers (by aim, each with a name) their deliveries, turn by turn; what comes in a lane after one that
        still waits, wherever that goes, waits too."""
        blocked: set[str] = set()
        for turn in _turns(rows):
            due: dict[_Aim, list[Delivery]] = {}
            for one in turn:
                if one.aim in couriers and blocked.isdisjoint(one.lanes):
                    due.setdefault(one.aim, []).append(one.row)
            for aim, mine in due.items():
                courier = couriers[aim][1]
                for start in range(0, len(mine), courier.batch):
                    if courier.stopped is None:
                        self._batch(courier, mine[start : start + courier.batch])
            blocked |= {lane for one in turn if not self._settled(one.row.key) for lane in one.lanes}
        left = Counter(one.aim for one in rows if one.row.key not in self.ended)
        for aim, (name, courier) in couriers.items():
            if courier.stopped is not None and left[aim]:
                self.stopped.append(f"{name}: {courier.stopped}; {left[aim]} more wait for the next run")

    def leave(self, rows: pl.DataFrame, message: str) -> None:
        """Let deliveries wait that nothing is wrong with; those that were never tried get a message."""
        new = rows.filter(pl.col("message").is_null(), attempts=0)
        told = new.select("key", "status", pl.lit(message).alias("message"), "result")
        self.workspace.state.settle_deliveries(told)

    def settle(self, ends: Sequence[Ended]) -> None:
        """Note how some deliveries ended."""
        if not ends:
            return
        rows = [(one.key, one.status.value, one.message, one.result) for one in ends]
        self.workspace.state.settle_deliveries(pl.DataFrame(rows, schema=_ENDS, orient="row"))
        self.ended |= {one.key: one for one in ends}
        self.progress.pushed("signals", len(self.ended), self.waiting.height)

    def summary(self, errors: Mapping[str, EngageError]) -> Delivered:
        """Count what was waiting by how it ended, and say what was not delivered and why."""
        schema = {"key": pl.String, "status": pl.String, "message": pl.String}
        rows = [(one.key, one.status.value, one.message) for one in self.ended.values()]
        ends = pl.DataFrame(rows, schema=schema, orient="row")
        known = self.waiting.select("key", "signal", "entity", "external_id").join(
            ends, on="key", how="left", maintain_order="left"
        )
        known = known.with_columns(pl.col("status").fill_null(End.PENDING.value))
        signals: dict[str, dict[str, int]] = {}
        for signal, status, count in known.group_by("signal", "status", maintain_order=True).len().iter_rows():
            signals.setdefault(signal, _zeros())[status] = count
        totals = {end: sum(counts[end] for counts in signals.values()) for end in _zeros()}
        unreached = bool(self.stopped) or any(one.status is End.PENDING for one in self.ended.values())
        return Delivered(totals, dict(sorted(signals.items())), unreached, (*_told(known), *self.stopped), errors)

    def _batch(self, courier: Courier, rows: Sequence[Delivery]) -> None:
        ready, unable = courier.ready(rows)
        self.settle(unable)
        if not ready:
            return
        self.workspace.state.note_attempts([row.key for row in ready], self.clock())
        for ends in courier.carry(ready):
            self.settle(ends)

    def _settled(self, key: str) -> bool:
        return key in self.ended and self.ended[key].status is not End.PENDING


def _zeros() -> dict[str, int]:
    return {end.value: 0 for end in End}


def _told(known: pl.DataFrame) -> Iterator[str]:
    """Say once for all alike why deliveries did not get through, with an example."""
    alike = known.filter(pl.col("message").is_not_null(), pl.col("status") != End.DELIVERED.value)
    grouped = alike.group_by("signal", "status", "message", maintain_order=True).agg(
        pl.len(), pl.col("entity").first(), pl.col("external_id").first()
    )
    for signal, status, message, count, entity, external_id in grouped.iter_rows():
        others = f" and {count - 1} more" if count > 1 else ""
        after = ", tried again by the next run" if status == End.PENDING.value else ""
        yield f"signal {signal} ({entity} {external_id}{others}): {message}{after}"


def _call_webhooks(round_: _Round, waiting: pl.DataFrame, sleep: Sleep | None) -> None:
    """Call the webhooks: each address has its own courier; one that cannot be looked up leaves the others be."""
    if waiting.is_empty():
        return
    from engage_sync.sync.webhooks import WebhookCourier  # noqa: PLC0415  start-up: `requests` takes 0.1 s

    often = pl.col("attempts").max().over("chain") >= OFTEN
    aims = _addresses(round_, waiting)
    lanes = _lanes(round_.workspace.project.model)
    rows = [
        _Waiting(
            row, aims.get(place := (row.signal, row.phase, row.number)), chain, f"{episode} {row.phase}",
            tuple(f"{chain}\0{url}" for url in lanes[place]),
        )
        for row, chain, episode in _deliveries(waiting.sort(often, maintain_order=True))
    ]  # fmt: skip
    couriers: dict[_Aim, tuple[str, Courier]] = {}
    with ExitStack() as opened:
        for url, secret in dict.fromkeys(aims.values()):
            try:
                courier = WebhookCourier(url, secret, sleep=sleep, clock=round_.clock)
            except Mistake as mistake:
                wrong = [one.row.key for one in rows if one.aim == (url, secret)]
                round_.settle([Ended(key, End.PENDING, str(mistake)) for key in wrong])
                continue
            opened.callback(courier.close)
            couriers[url, secret] = "webhook", courier
        round_.carry(couriers, rows)


_Place = tuple[str, str, int]
"""A signal, a phase and the number of an action."""


def _addresses(round_: _Round, waiting: pl.DataFrame) -> Mapping[_Place, tuple[str, str | None]]:
    """Look up address and secret of each action that something waits for. What cannot be had leaves its deliveries
    waiting, with a sentence."""
    found: dict[_Place, tuple[str, str | None]] = {}
    project = round_.workspace.project
    actions = _webhooks(project.model)
    grouped = waiting.group_by("signal", "phase", "number", maintain_order=True).agg("key")
    for signal, phase, number, keys in grouped.iter_rows():
        action = actions[signal, phase, number]
        try:
            secret = None if action.secret is None else resolve(action.secret, project.root)
            found[signal, phase, number] = (resolve(action.url, project.root), secret)
        except UnresolvedError as error:
            round_.settle([Ended(key, End.PENDING, f"its webhook: {error}") for key in keys])
    return found


def _webhooks(model: Model) -> Mapping[_Place, WebhookAction]:
    return {
        (signal.name, phase, number): action
        for signal in model.signals
        for phase, actions in (("on", signal.actions), ("off", signal.clear_actions))
        for number, action in enumerate(actions)
        if isinstance(action, WebhookAction)
    }


def _lanes(model: Model) -> Mapping[_Place, Sequence[str]]:
    """Give the addresses, as the model writes them, whose order each webhook keeps: its own; and an end that goes where
    no beginning goes has to wait for all beginnings."""
    actions = _webhooks(model)
    begun: dict[str, list[str]] = {}
    for (signal, phase, _), action in actions.items():
        if phase == "on":
            begun.setdefault(signal, []).append(action.url)
    return {
        place: [action.url] if action.url in begun.get(place[0], [action.url]) else begun[place[0]]
        for place, action in actions.items()
    }
