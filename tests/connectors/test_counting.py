from __future__ import annotations

import pytest

from engage_sync.connectors.base import CallKind, Quota, Rate
from engage_sync.connectors.counting import Counting, ended_as
from engage_sync.connectors.halt import Halt
from engage_sync.connectors.throttle import Gate
from engage_sync.errors import Locked, Stopped, Suspended

CLOSED = Quota(closed=Suspended("the day is over", why="daily limit"))


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ((200, None, None), "ok"),
        ((207, Quota(limit=10), None), "ok"),
        ((429, None, 1.0), "throttled"),
        ((429, None, None), "throttled"),
        ((403, None, 30.0), "throttled"),  # Salesforce tells a limit with 403 (crm-apis §B9)
        ((403, CLOSED, None), "throttled"),
        ((403, Quota(daily_limit=5), None), "refused"),
        ((400, None, None), "refused"),
        ((401, None, None), "refused"),
        ((423, None, None), "refused"),
        ((408, None, None), "unavailable"),
        ((500, None, None), "unavailable"),
        ((524, None, None), "unavailable"),
        ((None, None, None), "unanswered"),
    ],
)
def test_how_a_call_ended(told: tuple[int | None, Quota | None, float | None], name: str) -> None:
    assert ended_as(*told) == name


def test_calls_are_counted_by_kind_and_end() -> None:
    counting = Counting(Gate({}), Halt())
    for kind, status in ((CallKind.READ, 200), (CallKind.READ, 200), (CallKind.WRITE, 503), (CallKind.LOGIN, None)):
        counting.enter(kind)
        counting.leave(kind, status=status)
    assert counting.ended == {("read", "ok"): 2, ("write", "unavailable"): 1, ("login", "unanswered"): 1}
    assert counting.calls == {CallKind.READ: 2, CallKind.WRITE: 1, CallKind.LOGIN: 1}


def test_what_was_not_sent_is_not_counted() -> None:
    halt = Halt()
    counting = Counting(Gate({}), halt)
    halt.stop("ended")
    with pytest.raises(Stopped):
        counting.enter(CallKind.READ)
    assert not counting.calls
    assert not counting.ended


def test_a_call_that_is_stopped_at_the_gate_gives_its_place_back() -> None:
    """There is one place a second; the fence refuses two calls after they were let in, the third has its place."""
    now, asked, halt = [0.0], list[int](), Halt()

    def fence() -> None:
        asked.append(1)
        if len(asked) in {2, 4}:
            raise Locked("somebody else writes")

    def wait(seconds: float) -> None:
        raise AssertionError(f"a place is taken for {seconds} s")

    gate = Gate({CallKind.WRITE: Rate("writes", calls=1, interval=1.0)}, clock=lambda: now[0], sleep=wait)
    counting = Counting(gate, halt)
    with halt.guarded(fence):
        for _ in range(2):
            with pytest.raises(Locked):
                counting.enter(CallKind.WRITE)
            now[0] += 2.0
        counting.enter(CallKind.WRITE)
    assert counting.calls == {CallKind.WRITE: 1}
