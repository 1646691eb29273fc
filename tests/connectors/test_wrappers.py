"""The wrappers repeat, spread, lock and count, whatever connector is inside."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from engage_sync.connectors.base import (
    CallKind,
    Change,
    Connector,
    Cursor,
    FieldSpec,
    Kind,
    Limits,
    Outcome,
    Page,
    Provisioned,
    Role,
    Schema,
    Status,
    Turnstile,
)
from engage_sync.connectors.throttle import Gate
from engage_sync.connectors.wrappers import ATTEMPTS, Observed, harden
from engage_sync.core.definitions import ValueType
from engage_sync.errors import EngageError, LoginFailed, Misbehaved, Mistake, Transient, Unreachable

KIND = Kind("things", Role.CONTACT)
PAGE = Page([], [], {}, Cursor("next"), done=True)
SPEC = FieldSpec("things", "f", "F", ValueType.TEXT)

Push = Callable[[Sequence[Change]], Iterator[Outcome]]


class Settings(BaseModel):
    """Nothing to set."""


class Fake(Connector):
    """A connector whose steps are told by a test."""

    name = "fake"
    Settings = Settings
    limits = Limits(push_batch=2, in_flight=3, objects={"things": Role.CONTACT})

    def __init__(self, *ends: Exception | Page, push: Push | None = None) -> None:
        self.turnstile = Turnstile()
        self.quota_key = ""
        self.ends = list(ends)
        self.pushed: list[list[str]] = []
        self._push = push or written
        self.closed = 0

    def check(self) -> Schema:
        self._step(CallKind.READ)
        return Schema("1", {"things": {}})

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        self._step(CallKind.SEARCH)
        return PAGE

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        self.pushed.append([change.record for change in changes])
        self.turnstile.enter(CallKind.WRITE)
        self.turnstile.leave(CallKind.WRITE, status=200)
        yield from self._push(changes)

    def provision(self, fields: Sequence[FieldSpec]) -> list[Provisioned]:
        self._step(CallKind.WRITE)
        return [Provisioned(spec, "created") for spec in fields]

    def close(self) -> None:
        self.closed += 1

    def _step(self, kind: CallKind) -> None:
        self.turnstile.enter(kind)
        self.turnstile.leave(kind, status=200)
        end = self.ends.pop(0) if self.ends else PAGE
        if isinstance(end, Exception):
            raise end


def written(changes: Sequence[Change]) -> Iterator[Outcome]:
    return (Outcome(change.record, Status.WRITTEN) for change in changes)


class OneByOne(Fake):
    """One that takes a batch at a time: which one ends last is known."""

    limits = replace(Fake.limits, in_flight=1)


def hard(inner: Connector, pauses: list[float] | None = None, *, read_only: bool = False) -> Observed:
    return harden(inner, read_only=read_only, gate=Gate({}), sleep=(pauses if pauses is not None else []).append)


def changes(count: int) -> list[Change]:
    return [Change(str(number), {"f": "x"}) for number in range(count)]


def test_pauses_are_as_told() -> None:
    pauses: list[float] = []
    crm = hard(Fake(Transient("busy", 10.0), Transient("busy", 1.0)), pauses)
    assert crm.pull(KIND, None) == PAGE
    assert [round(pause) for pause in pauses] == [10, 1]
    assert all(pause >= told for pause, told in zip(pauses, (10.0, 1.0), strict=True))


def test_pauses_grow_when_nothing_is_told() -> None:
    pauses: list[float] = []
    hard(Fake(*[Transient("down")] * 4), pauses).pull(KIND, None)
    assert all(low <= pause <= low + 1 for pause, low in zip(pauses, (1, 2, 4, 8), strict=True))


def test_attempts_are_limited() -> None:
    pauses: list[float] = []
    crm = hard(Fake(*[Transient("down")] * ATTEMPTS), pauses)
    with pytest.raises(Unreachable, match="down") as caught:
        crm.pull(KIND, None)
    assert type(caught.value) is Unreachable
    assert len(pauses) == ATTEMPTS - 1
    assert crm.pull(KIND, None) == PAGE


@pytest.mark.parametrize("error", [Transient("day", suspend=True), Transient("late", 3_600.0)])
def test_no_retry_when_it_is_pointless(error: Transient) -> None:
    pauses: list[float] = []
    with pytest.raises(Unreachable):
        hard(Fake(error), pauses).pull(KIND, None)
    assert pauses == []


@pytest.mark.parametrize("error", [LoginFailed("no"), Misbehaved("what"), Mistake("unknown object")])
def test_other_errors_pass_at_once(error: Exception) -> None:
    pauses: list[float] = []
    with pytest.raises(type(error)):
        hard(Fake(error), pauses).check()
    assert pauses == []


def test_answer_that_stays_senseless_is_misbehaviour() -> None:
    def senseless() -> Transient:
        error = Transient("html")
        error.__cause__ = Misbehaved("html", "<html>")
        return error

    with pytest.raises(Misbehaved) as caught:
        hard(Fake(*[senseless() for _ in range(ATTEMPTS)])).check()
    assert caught.value.answer == "<html>"


def test_only_unanswered_changes_are_repeated() -> None:
    def first_only(asked: Sequence[Change]) -> Iterator[Outcome]:
        yield Outcome(asked[0].record, Status.WRITTEN)
        if len(asked) > 1:
            raise Transient("cut off")

    fake = Fake(push=first_only)
    assert [outcome.status for outcome in hard(fake).push(KIND, changes(2))] == [Status.WRITTEN] * 2
    assert fake.pushed == [["0", "1"], ["1"]]


def test_failed_outcomes_are_tried_again_and_stand_after_the_last_attempt() -> None:
    def second_fails(asked: Sequence[Change]) -> Iterator[Outcome]:
        for change in asked:
            bad = change.record == "1"
            yield Outcome(change.record, Status.FAILED if bad else Status.WRITTEN, "NO_ANSWER" if bad else None)

    fake = Fake(push=second_fails)
    ends = {outcome.record: outcome for outcome in hard(fake).push(KIND, changes(2))}
    assert ends["0"].status is Status.WRITTEN
    assert (ends["1"].status, ends["1"].code) == (Status.FAILED, "NO_ANSWER")
    assert fake.pushed == [["0", "1"]] + [["1"]] * (ATTEMPTS - 1)


def test_refusals_and_gone_records_are_final() -> None:
    ends = {"0": Status.REFUSED, "1": Status.GONE}
    fake = Fake(push=lambda asked: (Outcome(change.record, ends[change.record]) for change in asked))
    assert {outcome.record: outcome.status for outcome in hard(fake).push(KIND, changes(2))} == ends
    assert len(fake.pushed) == 1


def take_all(outcomes: Iterator[Outcome]) -> tuple[list[Outcome], Exception | None]:
    taken: list[Outcome] = []
    try:
        for outcome in outcomes:
            taken.append(outcome)
    except EngageError as error:
        return taken, error
    return taken, None


@pytest.mark.parametrize("count", [1, 2, 3, 50])
@pytest.mark.parametrize(
    ("error", "final"),
    [
        (Transient("down"), Unreachable),
        (Transient("day over", suspend=True), Unreachable),
        (LoginFailed("no"), LoginFailed),
        (Misbehaved("what"), Misbehaved),
    ],
)
def test_push_that_stops_gives_every_change_one_failed_outcome_and_then_raises(
    count: int, error: Exception, final: type[Exception]
) -> None:
    def breaks(asked: Sequence[Change]) -> Iterator[Outcome]:
        raise error
        yield

    fake = Fake(push=breaks)
    taken, raised = take_all(hard(fake).push(KIND, changes(count)))
    assert Counter(outcome.record for outcome in taken) == Counter(str(number) for number in range(count))
    assert {outcome.status for outcome in taken} == {Status.FAILED}
    assert isinstance(raised, final)
    assert len(fake.pushed) <= 6 * ATTEMPTS


def test_one_batch_that_never_gets_through_stops_no_other() -> None:
    def poisoned(asked: Sequence[Change]) -> Iterator[Outcome]:
        if any(change.record == "6" for change in asked):
            raise Transient("500")
        yield from written(asked)

    taken, raised = take_all(hard(OneByOne(push=poisoned)).push(KIND, changes(40)))
    failed = {outcome.record for outcome in taken if outcome.status is Status.FAILED}
    assert failed == {"6", "7"}
    assert len(taken) == 40
    assert raised is None


def test_batches_are_sent_with_so_many_calls_open_as_the_limits_say() -> None:
    together, together_most, lock = [0], [0], threading.Lock()
    all_open = threading.Barrier(3, timeout=60)

    def watched(asked: Sequence[Change]) -> Iterator[Outcome]:
        with lock:
            together[0] += 1
            together_most[0] = max(together_most[0], together[0])
        all_open.wait()
        with lock:
            together[0] -= 1
        yield from written(asked)

    fake = Fake(push=watched)
    ends = list(hard(fake).push(KIND, changes(12)))
    assert Counter(outcome.record for outcome in ends) == Counter(str(number) for number in range(12))
    assert together_most[0] == 3
    assert sorted(len(batch) for batch in fake.pushed) == [2] * 6


def test_outcomes_arrive_before_the_push_ends() -> None:
    """The reader records them as they come: the last batch waits until the first outcomes were read."""
    read_some = threading.Event()

    def last_waits(asked: Sequence[Change]) -> Iterator[Outcome]:
        if asked[0].record == "6":
            assert read_some.wait(60)
        yield from written(asked)

    outcomes = hard(Fake(push=last_waits)).push(KIND, changes(8))
    first = [next(outcomes) for _ in range(6)]
    read_some.set()
    assert {outcome.record for outcome in [*first, *outcomes]} == {str(number) for number in range(8)}


def test_reader_that_leaves_stops_the_push() -> None:
    fake = Fake()
    outcomes = hard(fake).push(KIND, changes(1_000))
    next(outcomes)
    outcomes.close()
    assert len(fake.pushed) < 100


def test_bug_in_a_batch_is_not_swallowed() -> None:
    def bug(asked: Sequence[Change]) -> Iterator[Outcome]:
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        list(hard(Fake(push=bug)).push(KIND, changes(10)))


def test_read_only_refuses_before_any_call() -> None:
    fake = Fake()
    crm = hard(fake, read_only=True)
    assert crm.pull(KIND, None) == PAGE
    with pytest.raises(Mistake):
        list(crm.push(KIND, changes(1)))
    with pytest.raises(Mistake):
        crm.provision([SPEC])
    assert fake.pushed == []
    assert crm.calls == {"read": 1, "write": 0}


def test_calls_pages_and_outcomes_are_counted_and_logged() -> None:
    crm = hard(Fake(Transient("once")))
    with capture_logs() as logs:
        crm.check()
        crm.pull(KIND, None)
        list(crm.push(KIND, changes(5)))
        crm.provision([SPEC])
    assert crm.calls == {"read": 3, "write": 4}
    assert crm.pages == 1
    assert crm.outcomes == {Status.WRITTEN: 5}
    assert [line["event"] for line in logs] == ["trying again", "checked", "pulled", "pushed", "provisioned"]
    assert logs[0]["because"] == "once"
    assert logs[3]["written"] == 5


def test_hardened_connector_shows_the_limits_of_the_one_inside() -> None:
    fake = Fake()
    crm = hard(fake)
    assert (crm.name, crm.limits, crm.Settings) == ("fake", Fake.limits, Settings)
    crm.close()
    assert fake.closed == 1


class Whole(Fake):
    """Takes more than two changes whole."""

    limits = Limits(push_batch=2, in_flight=3, objects={"things": Role.CONTACT}, whole_above=2)


def test_whole_push_that_gets_on_is_not_given_up_and_tells_as_it_goes() -> None:
    """It is cut off after every record: far more often than a push that brings nothing is tried."""

    def cut_off(waiting: Sequence[Change]) -> Iterator[Outcome]:
        yield Outcome(waiting[0].record, Status.WRITTEN)
        if len(waiting) > 1:
            raise Transient("away for a moment")

    inner = Whole(push=cut_off)
    count = 3 * ATTEMPTS
    outcomes = hard(inner).push(KIND, changes(count))
    assert next(outcomes).record == "0"
    assert len(inner.pushed) == 1
    assert [outcome.status for outcome in outcomes] == [Status.WRITTEN] * (count - 1)


def test_whole_push_that_brings_nothing_is_given_up() -> None:
    def nothing(waiting: Sequence[Change]) -> Iterator[Outcome]:
        raise Transient("away")
        yield Outcome(waiting[0].record, Status.WRITTEN)

    inner = Whole(push=nothing)
    ends: list[Outcome] = []
    with pytest.raises(Unreachable):
        ends.extend(hard(inner).push(KIND, changes(5)))
    assert len(inner.pushed) == ATTEMPTS


def test_tasks_are_never_handed_over_whole() -> None:
    """What may exist already is looked up batch by batch."""
    inner = Whole()
    ends = list(hard(inner).push(Kind("tasks", Role.TASK), changes(5)))
    assert {end.status for end in ends} == {Status.WRITTEN}
    assert sorted(len(batch) for batch in inner.pushed) == [1, 2, 2]
