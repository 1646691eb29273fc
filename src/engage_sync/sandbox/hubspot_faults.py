"""What HubSpot's faults do to a call: instead of its work, or to its answer afterwards. The names are in
`fault_kinds.py`, the socket is the server's."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace

from engage_sync.sandbox.fault_answers import BEFORE, html, not_found_rows, without_one
from engage_sync.sandbox.faults import Ending, Fault
from engage_sync.sandbox.wire import Answer, Call


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
