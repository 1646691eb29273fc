"""What every connector gets around it: retries, threads and throttling, a lock against writing, and observation.

Each is a connector around a connector; `harden` states their order once. They know the errors and the limits that the
seam declares, and nothing of any CRM. A push through them gives exactly one outcome for each change, also when it
raises in the end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

import structlog
import tenacity

from engage_sync.connectors.base import (
    CallKind,
    Change,
    Connector,
    Cursor,
    FieldSpec,
    Kind,
    Lack,
    Outcome,
    Page,
    Provisioned,
    Rate,
    Role,
    Schema,
    Status,
)
from engage_sync.connectors.counting import Counting
from engage_sync.connectors.halt import Halt
from engage_sync.connectors.throttle import Gate, Today, shared_gate
from engage_sync.connectors.wrapper import Wrapper
from engage_sync.errors import EngageError, Locked, Misbehaved, Mistake, Stopped, Suspended, Transient, Unreachable

ATTEMPTS = 6
LONGEST_PAUSE = 120.0
"""Seconds that a run waits when told to; told longer, it ends and a later run goes on."""
STOP_AFTER = 2
"""Batches in a row that find the CRM unreachable before a push gives up the rest."""
NOT_TRIED = "NOT_TRIED"
OVER_QUOTA = "OVER_QUOTA"
"""The code of changes that were not sent because nothing more may be asked of the CRM for a long while."""
STOPPED = "STOPPED"
"""The code of changes that were not sent because this process must end, or may not write any more."""
NOT_SENT = frozenset({OVER_QUOTA, STOPPED})

Step = TypeVar("Step")


class Retrying(Wrapper):
    """Repeats a step that failed in a way worth another try, as long as the CRM said or ever longer."""

    def __init__(
        self, inner: Connector, *, attempts: int = ATTEMPTS, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(inner)
        self._attempts, self._sleep = attempts, sleep
        self._growing = tenacity.wait_exponential_jitter(initial=1, max=60, jitter=1)

    def check(self) -> Schema:
        """Describe, with retries."""
        return self._repeat(self.inner.check)

    def account(self) -> str:
        """Name the account, with retries."""
        return self._repeat(self.inner.account)

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        """Fetch one page, with retries."""
        return self._repeat(lambda: self.inner.pull(kind, cursor))

    def read(self, kind: Kind, ids: Sequence[str]) -> Page:
        """Read, with retries."""
        return self._repeat(lambda: self.inner.read(kind, ids))

    def probe(self, objects: Sequence[str]) -> Sequence[Lack]:
        """Find out, with retries."""
        return self._repeat(lambda: self.inner.probe(objects))

    def provision(self, fields: Sequence[FieldSpec]) -> list[Provisioned]:
        """Create fields, with retries: what an earlier attempt created counts as created."""
        return self._repeat(lambda: self.inner.provision(fields))

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        """Write, repeating only the changes without a final answer; the last answer to the others stands as failed."""
        waiting = {change.record: change for change in changes}
        said: dict[str, Outcome] = {}
        # An attempt without an answer, or a job of the CRM's own, may have taken effect: that is no "not sent".
        unsure = self.limits.whole_above is not None and len(changes) > self.limits.whole_above
        try:
            for attempt in self._policy():
                before, error = len(waiting), None
                try:
                    yield from self._once(kind, waiting, said)
                except EngageError as met:
                    error = met
                    unsure = unsure or _unsent_code(met) is None
                if len(waiting) < before:  # it gets on: only attempts that bring nothing are counted
                    attempt.retry_state.attempt_number = 1
                with attempt:
                    if error is not None:
                        raise error
                    if waiting:
                        raise _Unanswered(f"{len(waiting)} changes without an answer")
        except _Unanswered:
            yield from (said.get(record) or _failed(record, "NO_ANSWER", "no answer") for record in waiting)
        except EngageError as error:
            code = type(error).__name__ if unsure else _unsent_code(error) or type(error).__name__
            yield from (said.get(record) or _failed(record, code, str(error)) for record in waiting)
            raise _final(error) from error

    def _once(self, kind: Kind, waiting: dict[str, Change], said: dict[str, Outcome]) -> Iterator[Outcome]:
        """Give the final answers of one attempt as they come, and keep what was said to the others."""
        for outcome in self.inner.push(kind, list(waiting.values())):
            if outcome.status is Status.FAILED:
                said[outcome.record] = outcome
            else:
                waiting.pop(outcome.record, None)
                yield outcome

    def _repeat(self, step: Callable[[], Step]) -> Step:
        try:
            return self._policy()(step)
        except EngageError as error:
            if (final := _final(error)) is error:
                raise
            raise final from error

    def _policy(self) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(_worth_another_try),
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=self._pause,
            sleep=self._sleep,
            before_sleep=self._tell,
            reraise=True,
        )

    def _tell(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = round(state.next_action.sleep, 1) if state.next_action else 0
        log = structlog.get_logger(__name__).bind(connector=self.name)
        log.warning("trying again", attempt=state.attempt_number, seconds=pause, because=str(error))

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        growing = self._growing(state)
        if isinstance(error, Transient) and error.retry_after is not None:
            return error.retry_after + min(growing, 1.0) / 10  # a little apart, so that threads do not return as one
        return growing


def _unsent_code(error: EngageError | None) -> str | None:
    """Give the code of changes that an error kept from being sent, and that wait; None where it may be otherwise."""
    if isinstance(error, Suspended):
        return OVER_QUOTA
    return STOPPED if isinstance(error, Stopped | Locked) else None


class _Unanswered(Transient):
    """The CRM answered, but not about every record."""


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, Transient) and not error.suspend and (error.retry_after or 0.0) <= LONGEST_PAUSE


def _final(error: EngageError) -> EngageError:
    """Give the error that stands after the last attempt: an answer that stayed senseless, or a CRM not reached."""
    if not isinstance(error, Transient) or error.suspend:
        return error
    return error.__cause__ if isinstance(error.__cause__, Misbehaved) else Unreachable(str(error))


class Throttled(Wrapper):
    """Holds every call to the quota's limits, and writes a big push as batches with several calls open at a time."""

    def __init__(self, inner: Connector, gate: Gate) -> None:
        super().__init__(inner)
        inner.turnstile = gate

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        """Write any number of changes, giving outcomes as batches end. Raises at the end what stopped the push.

        Tasks always come in batches: a CRM's bulk way could not tell which of them exist already.
        """
        size, whole = self.limits.push_batch, self.limits.whole_above
        if whole is not None and len(changes) > whole and kind.role is not Role.TASK:
            yield from self.inner.push(kind, changes)
            return
        batches = [changes[start : start + size] for start in range(0, len(changes), size)]
        if len(batches) <= 1:
            yield from self.inner.push(kind, changes)
            return
        yield from self._spread(kind, batches)

    def _spread(self, kind: Kind, batches: Sequence[Sequence[Change]]) -> Iterator[Outcome]:
        ending = _Ending()
        following = iter(batches)
        with ThreadPoolExecutor(self.limits.in_flight, thread_name_prefix="push") as pool:
            running: set[Future[list[Outcome]]] = set()
            try:
                while True:
                    # Twice as many as can run: the next ones wait here, not for the reader of the outcomes.
                    while not ending.stopped and len(running) < 2 * self.limits.in_flight:
                        if (batch := next(following, None)) is None:
                            break
                        running.add(pool.submit(copy_context().run, self._one, kind, batch, ending))
                    if not running:
                        break
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield from future.result()
            except KeyboardInterrupt:
                ending.stopped = True
                for future in running:
                    yield from future.result()  # what is under way takes effect: its outcomes must be known
                raise
            finally:
                ending.stopped = True  # a reader that leaves, or a bug: what waits in the pool is not sent
        for batch in following:
            yield from ending.not_tried(batch)
        if ending.error is not None:
            raise ending.error

    def _one(self, kind: Kind, batch: Sequence[Change], ending: _Ending) -> list[Outcome]:
        if ending.stopped:
            return ending.not_tried(batch)
        outcomes: list[Outcome] = []
        try:
            for outcome in self.inner.push(kind, batch):
                outcomes.append(outcome)  # noqa: PERF402  (what came before an error must be kept)
        except EngageError as error:
            ending.met(error)
        else:
            ending.fine()
        return outcomes


@dataclass(slots=True)
class _Ending:
    """Whether and why a push stops before its end. One unreachable batch is no reason, when others get through."""

    error: EngageError | None = None
    stopped: bool = False
    in_a_row: int = 0
    lock: Lock = field(default_factory=Lock)

    def met(self, error: EngageError) -> None:
        with self.lock:
            self.error = self.error if self.stopped and self.error else error
            self.in_a_row += 1
            lasting = not isinstance(error, Unreachable) or isinstance(error, Transient)
            self.stopped = self.stopped or lasting or self.in_a_row >= STOP_AFTER

    def fine(self) -> None:
        with self.lock:
            self.in_a_row = 0
            if not self.stopped:
                self.error = None

    def not_tried(self, batch: Sequence[Change]) -> list[Outcome]:
        why = f"not tried after: {self.error}" if self.error else "not tried"
        code = _unsent_code(self.error) or NOT_TRIED
        return [_failed(change.record, code, why) for change in batch]


def _failed(record: str, code: str, message: str) -> Outcome:
    return Outcome(record, Status.FAILED, code, message)


class ReadOnly(Wrapper):
    """Refuses whatever would change the CRM."""

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        """Refuse."""
        raise Mistake(f"{len(changes)} changes of {kind.object} were not sent: this command only reads")

    def provision(self, fields: Sequence[FieldSpec]) -> list[Provisioned]:
        """Refuse."""
        raise Mistake(f"{len(fields)} fields were not created: this command only reads")


class Observed(Wrapper):
    """Counts calls, pages and outcomes, and logs one line a step: a page at debug level, a whole step at info."""

    def __init__(self, inner: Connector, gate: Gate, halt: Halt, sleep: Callable[[float], None]) -> None:
        super().__init__(inner)
        self._gate = gate
        self._counting = Counting(gate, halt, sleep)
        inner.turnstile = self._counting
        self._log = structlog.get_logger(__name__).bind(connector=inner.name)
        self.pages = 0
        self.outcomes: Counter[Status] = Counter()

    @property
    def calls(self) -> dict[str, int]:
        """Give the HTTP calls sent so far: `write`, and `read` for all others."""
        counts = self._counting.calls.copy()
        write = counts.pop(CallKind.WRITE, 0)
        return {"read": counts.total(), "write": write}

    @property
    def ended(self) -> Mapping[tuple[str, str], int]:
        """Give the calls that have ended, by kind and outcome."""
        return self._counting.ended.copy()

    @property
    def today(self) -> Today | None:
        """Give the day's calls as the CRM told in this run, all integrations' included; None where it did not."""
        return self._gate.today

    @property
    def rates(self) -> Mapping[CallKind, Rate]:
        """Give how fast calls may be sent, as declared or learned from answers."""
        return self._gate.rates

    @property
    def asking(self) -> bool:
        """Whether a suspended CRM has not shown yet that it has relented."""
        return self._gate.day.asking

    def only_ask(self, why: Suspended, limit: int | None, used: int) -> None:
        """Send one call to see whether the CRM has relented, and more only if that is answered as usual."""
        self._gate.day.only_ask(why, limit, used)

    def check(self) -> Schema:
        """Describe, and log what was found."""
        schema = self.inner.check()
        found = {name: len(fields) for name, fields in schema.objects.items()}
        self._log.info("checked", account=schema.account, fields=found, missing=len(schema.missing))
        return schema

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        """Fetch one page, and log its size."""
        page = self.inner.pull(kind, cursor)
        self.pages += 1
        log = self._log.info if page.done else self._log.debug
        log("pulled", object=kind.object, records=len(page.records), vanished=len(page.vanished), done=page.done)
        return page

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        """Write, counting outcomes as they pass, and log the sums."""
        ends: Counter[Status] = Counter()
        try:
            for outcome in self.inner.push(kind, changes):
                ends[outcome.status] += 1
                yield outcome
        finally:
            self.outcomes += ends
            self._log.info("pushed", object=kind.object, changes=len(changes), **{one.value: ends[one] for one in ends})

    def provision(self, fields: Sequence[FieldSpec]) -> list[Provisioned]:
        """Create fields, and log how that ended."""
        done = self.inner.provision(fields)
        self._log.info("provisioned", **Counter(one.result.replace(" ", "_") for one in done))
        return done


def harden(
    connector: Connector,
    *,
    read_only: bool = False,
    daily_share: float = 1.0,
    gate: Gate | None = None,
    sleep: Callable[[float], None] = time.sleep,
    halt: Halt | None = None,
) -> Observed:
    """Wrap a connector for use: observed, perhaps read-only, throttled with its quota's other users, retrying.

    `daily_share` is the part of the CRM's daily limit that this process may use. `gate` and `sleep` are the process's
    own unless given; `halt` ends its calls and pauses. Raises from the result are final: Unreachable, LoginFailed,
    Misbehaved, Mistake, Stopped.
    """
    gate = gate or shared_gate(connector.quota_key or f"{connector.name} {id(connector)}", connector.limits.rates)
    gate.share = daily_share
    gate.day.begin()
    halt = halt or Halt()
    hardened: Connector = Throttled(Retrying(connector, sleep=lambda seconds: halt.pause(seconds, sleep)), gate)
    return Observed(ReadOnly(hardened) if read_only else hardened, gate, halt, sleep)
