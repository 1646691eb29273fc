"""Faults a CRM shows now and then, switched on by tests and users (crm-apis §E). Each says whether the call took effect
before its answer went wrong. Decides what happens; the server carries it out on the socket."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from engage_sync.sandbox.fault_answers import BEFORE, html, not_found_rows, without_one
from engage_sync.sandbox.refusal import Refused
from engage_sync.sandbox.wire import Answer, Call


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault: what it is, whether the call takes effect, and whether trying again later mends it."""

    what: str
    takes_effect: bool
    passing: bool = True


FAULTS: Mapping[str, FaultKind] = {
    "too_many_ten_secondly": FaultKind("429, policy TEN_SECONDLY_ROLLING", takes_effect=False),
    "too_many_secondly": FaultKind("429, policy SECONDLY (searches)", takes_effect=False),
    "too_many_daily": FaultKind("429, policy DAILY: nothing works before midnight", takes_effect=False, passing=False),
    "locked": FaultKind("423: the record is locked, wait two seconds", takes_effect=False),
    "migration": FaultKind("477 with Retry-After: the account is being moved", takes_effect=False, passing=False),
    "server_error": FaultKind("500 with HubSpot's error body", takes_effect=False),
    "server_error_after": FaultKind("500 although the call took effect", takes_effect=True),
    "not_utf8": FaultKind("500 with a body that is not UTF-8", takes_effect=False),
    "bad_gateway": FaultKind("502 with an HTML page", takes_effect=False),
    "unavailable": FaultKind("503 with an HTML page", takes_effect=False),
    "gateway_timeout": FaultKind("504 with an HTML page", takes_effect=False),
    "gateway_timeout_after": FaultKind("504 although the call took effect", takes_effect=True),
    "html_200": FaultKind("200 with an HTML page", takes_effect=False),
    "html_200_after": FaultKind("200 with an HTML page although the call took effect", takes_effect=True),
    "truncated_200": FaultKind("200 whose JSON ends in the middle; the call took effect", takes_effect=True),
    "cut_body": FaultKind("the connection ends in the middle of the body; the call took effect", takes_effect=True),
    "accepted_202": FaultKind("202 without a body; nothing happened", takes_effect=False),
    "accepted_202_after": FaultKind("202 without a body; the call took effect", takes_effect=True),
    "empty_results": FaultKind("2xx whose results and errors are empty; nothing happened", takes_effect=False),
    "missing_result": FaultKind("one record is left out of the results, without an error", takes_effect=True),
    "rows_not_found": FaultKind("207: one error names half of the rows, the others are done", takes_effect=True),
    "batch_refused": FaultKind("400 VALIDATION_ERROR that names no row", takes_effect=False, passing=False),
    "invalid_token": FaultKind("401 INVALID_AUTHENTICATION", takes_effect=False, passing=False),
    "expired_token": FaultKind("401 EXPIRED_AUTHENTICATION", takes_effect=False),
    "missing_scopes": FaultKind("403 MISSING_SCOPES", takes_effect=False, passing=False),
    "drop_before": FaultKind("the connection ends before the call took effect", takes_effect=False),
    "drop_after": FaultKind("the connection ends after the call took effect", takes_effect=True),
    "reset_after": FaultKind("the connection is reset after the call took effect", takes_effect=True),
    "hang": FaultKind("no answer for `seconds`, then 524; nothing happened", takes_effect=False),
    "hang_after": FaultKind("no answer for `seconds`, then 524; the call took effect", takes_effect=True),
    "shuffled": FaultKind("the results come in another order", takes_effect=True),
}
"""Every fault by name, for a test that tries them all."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to show. It strikes calls that fit `method`, `path` (globs), `kind` (read, search, write, login) and
    whose body holds `contains`: not the first `skip` of them, then `times` of them (None: all), each with
    `probability`.

    `seconds` is the Retry-After or how long to hang. `lasting` makes the fault end that many seconds after it first
    struck.
    """

    name: str
    method: str = "*"
    path: str = "*"
    kind: str = "*"
    contains: str = ""
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    seconds: float = 100.0
    lasting: float | None = None

    def __post_init__(self) -> None:
        """Refuse a name that is no fault."""
        if self.name not in FAULTS:
            raise ValueError(f"{self.name} is not a fault; there are {', '.join(FAULTS)}")

    def fits(self, call: Call, kind: str) -> bool:
        """Say whether this fault is about such a call."""
        return (
            fnmatchcase(call.method, self.method.upper())
            and fnmatchcase(call.path, self.path.rstrip("/") or "*")
            and fnmatchcase(kind, self.kind)
            and self.contains.encode() in call.body
        )


@dataclass(slots=True)
class _Armed:
    fault: Fault
    dice: random.Random
    met: int = 0
    struck: int = 0
    first: float | None = None


class Faults:
    """The faults that are switched on, in order; the first that fits a call strikes. `tick` is a monotonic clock."""

    def __init__(self, tick: Callable[[], float]) -> None:
        self._tick = tick
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self.struck = 0

    def add(self, fault: Fault) -> None:
        """Switch a fault on."""
        with self._lock:
            self._armed.append(_Armed(fault, random.Random(fault.seed)))  # noqa: S311  (repeatable on purpose)

    def clear(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._armed.clear()

    def active(self) -> list[Fault]:
        """Give the faults that can still strike."""
        with self._lock:
            return [armed.fault for armed in self._armed if not self._over(armed)]

    def take(self, call: Call, kind: str) -> Fault | None:
        """Find the fault that strikes this call, if one does."""
        with self._lock:
            for armed in self._armed:
                if self._over(armed) or not armed.fault.fits(call, kind):
                    continue
                armed.met += 1
                if armed.met <= armed.fault.skip or armed.dice.random() >= armed.fault.probability:
                    continue
                armed.struck += 1
                armed.first = armed.first if armed.first is not None else self._tick()
                self.struck += 1
                return armed.fault
        return None

    def _over(self, armed: _Armed) -> bool:
        fault = armed.fault
        if fault.lasting is not None and armed.first is not None and self._tick() >= armed.first + fault.lasting:
            return True
        return fault.times is not None and armed.struck >= fault.times


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ends on the socket. `answer` None: no answer at all. `wait` seconds pass first. `cut` sends half of
    the body, `reset` ends the connection hard."""

    answer: Answer | None
    wait: float = 0.0
    cut: bool = False
    reset: bool = False


def strike(fault: Fault, call: Call, work: Callable[[Call], Answer], dice: random.Random) -> Ending:
    """Let a fault happen to a call. A call that is refused anyway (status 300 and more) is answered as it is."""
    if fault.name in BEFORE:
        return Ending(BEFORE[fault.name](fault.seconds))
    if fault.name in ("drop_before", "hang"):
        return Ending(
            None if fault.name == "drop_before" else _too_late(), fault.seconds if fault.name == "hang" else 0
        )
    if fault.name == "empty_results":
        return Ending(Answer(200, {"status": "COMPLETE", "results": []}))
    if fault.name == "rows_not_found":
        return Ending(not_found_rows(call, work))
    answer = work(call)
    return Ending(answer) if answer.status >= 300 else _spoilt(fault, answer, dice)


def _spoilt(fault: Fault, answer: Answer, dice: random.Random) -> Ending:
    match fault.name:
        case "drop_after" | "reset_after":
            return Ending(None, reset=fault.name == "reset_after")
        case "hang_after":
            return Ending(_too_late(), fault.seconds)
        case "cut_body":
            return Ending(answer, cut=True)
    return Ending(_garbled(fault, answer, dice))


def _garbled(fault: Fault, answer: Answer, dice: random.Random) -> Answer:
    match fault.name:
        case "truncated_200":
            encoded = answer.encoded()
            return replace(answer, body=encoded[: len(encoded) // 2])
        case "shuffled":
            return _mixed(answer, dice)
        case "missing_result":
            return without_one(answer)
    instead = BEFORE[fault.name.removesuffix("_after")](fault.seconds)
    return replace(instead, headers={**answer.headers, **instead.headers})


def _mixed(answer: Answer, dice: random.Random) -> Answer:
    body = json.loads(answer.encoded() or b"null")
    if isinstance(body, dict) and isinstance(body.get("results"), list):
        dice.shuffle(body["results"])
        return replace(answer, body=body)
    return answer


def _too_late() -> Answer:
    return html(524, "524 A timeout occurred")


def parse(given: Mapping[str, object]) -> Fault:
    """Read a fault from JSON. Raises Refused for unknown keys, names or types."""
    kinds: Mapping[str, tuple[type, ...]] = {
        "name": (str,),
        "method": (str,),
        "path": (str,),
        "kind": (str,),
        "contains": (str,),
        "times": (int, type(None)),
        "skip": (int,),
        "probability": (int, float),
        "seed": (int,),
        "seconds": (int, float),
        "lasting": (int, float, type(None)),
    }
    for name, value in given.items():
        if name not in kinds:
            raise Refused(f"{name} is not a key of a fault; there are {', '.join(kinds)}")
        if not isinstance(value, kinds[name]):
            raise Refused(f"{name} cannot be {value!r}")
    try:
        return Fault(**given)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise Refused(str(error)) from error
