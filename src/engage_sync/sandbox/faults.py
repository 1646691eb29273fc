"""Faults a CRM shows now and then, switched on by tests and users (crm-apis §E). Each says whether the call took effect
before its answer went wrong. Keeps which are on and which call meets one; what it does is in the dialects' modules."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from engage_sync.sandbox.fault_kinds import HUBSPOT, SALESFORCE, FaultKind
from engage_sync.sandbox.refusal import Refused
from engage_sync.sandbox.wire import Answer, Call

FAULTS = HUBSPOT
"""Every fault of the HubSpot stand-in by name, for a test that tries them all."""


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
        if self.name not in HUBSPOT and self.name not in SALESFORCE:
            raise ValueError(no_such(self.name, {**HUBSPOT, **SALESFORCE}))

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
    """The faults that are switched on, in order; the first that fits a call strikes. `tick` is a monotonic clock,
    `known` the table of the dialect."""

    def __init__(self, tick: Callable[[], float], known: Mapping[str, FaultKind] = FAULTS) -> None:
        self.known = known
        self._tick = tick
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self.struck = 0

    def add(self, fault: Fault) -> None:
        """Switch a fault on. Raises ValueError for one of another dialect."""
        if fault.name not in self.known:
            raise ValueError(no_such(fault.name, self.known))
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
                if self._over(armed) or not (self._possible(armed, call) and armed.fault.fits(call, kind)):
                    continue
                armed.met += 1
                if armed.met <= armed.fault.skip or armed.dice.random() >= armed.fault.probability:
                    continue
                armed.struck += 1
                armed.first = armed.first if armed.first is not None else self._tick()
                self.struck += 1
                return armed.fault
        return None

    def _possible(self, armed: _Armed, call: Call) -> bool:
        where = self.known[armed.fault.name].where
        return where == ("*",) or any(fnmatchcase(f"{call.method} {call.path}", glob) for glob in where)

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


def no_such(name: str, known: Mapping[str, FaultKind]) -> str:
    """Say which names there are."""
    return f"{name} is not a fault; there are {', '.join(known)}"


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
