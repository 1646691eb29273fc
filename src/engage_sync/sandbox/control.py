"""The control interface under `/__sandbox/`: switch faults on and off, read the counters. For users and tests that run
the sandbox in another process; it reaches no record."""

from __future__ import annotations

from dataclasses import asdict

from engage_sync.sandbox.calls import Calls
from engage_sync.sandbox.faults import Faults, no_such, parse
from engage_sync.sandbox.refusal import Refused, not_found
from engage_sync.sandbox.wire import Answer, Call, refusal


def answer(faults: Faults, calls: Calls, request: Call) -> Answer:
    """Answer `GET|POST|DELETE /__sandbox/faults` and `GET|DELETE /__sandbox/calls`."""
    try:
        match request.method, request.path:
            case "GET", "/__sandbox/faults":
                known = {name: asdict(kind) for name, kind in faults.known.items()}
                return Answer(200, {"known": known, "active": [asdict(fault) for fault in faults.active()]})
            case "POST", "/__sandbox/faults":
                fault = parse(request.json())
                if fault.name not in faults.known:
                    raise Refused(no_such(fault.name, faults.known))
                faults.add(fault)
                return Answer(201, asdict(fault))
            case "DELETE", "/__sandbox/faults":
                faults.clear()
                return Answer(204)
            case "GET", "/__sandbox/calls":
                kinds = {kind: calls.count(kind) for kind in ("read", "search", "write", "login")}
                statuses = {str(status): count for status, count in calls.statuses().items()}
                return Answer(200, {"calls": calls.count(), "kinds": kinds, "statuses": statuses})
            case "DELETE", "/__sandbox/calls":
                calls.clear()
                return Answer(204)
        raise not_found(f"No resource at {request.path}.")
    except Refused as refused:
        return refusal(refused)
