"""What a project looks like from outside at one instant, kept in the state for whoever shows it: the answer of `status`
without its sentences, the running totals, and how fresh the events and the mirror are. Asks no CRM.
"""

from __future__ import annotations

import json
from datetime import datetime

import structlog

from engage_sync.config.project import ConnectorFile
from engage_sync.core.overview import ConnectorView, EventsView, SilentView, Snapshot
from engage_sync.errors import EngageError
from engage_sync.events.freshness import newest_message_at
from engage_sync.state.store import State
from engage_sync.sync.pull import reached_at, rhythm
from engage_sync.sync.rows import iso_text
from engage_sync.sync.shown import SNAPSHOT, stored
from engage_sync.sync.status import ConnectorAnswer, status_json
from engage_sync.sync.steps import CALLS, RUNS
from engage_sync.sync.wiring import Workspace


def take(workspace: Workspace, now: datetime) -> Snapshot:
    """Look at a project, and keep what is seen as the note `snapshot`."""
    before, status = stored(workspace.state), status_json(workspace, now)
    recorded = workspace.state.newest_recorded()
    snapshot: Snapshot = {
        "at": iso_text(now),
        "connectors": {
            file.name: _connector(workspace, file, status["connectors"][file.name])
            for file in workspace.project.connectors
        },
        "events": _events(workspace, now, before),
        "runs": _runs(workspace.state),
        "calls": _calls(workspace.state),
        "deliveries": status["signals"],
        "recorded": None if recorded is None else {"run": recorded.id, "as_of": iso_text(recorded.as_of)},
    }
    workspace.state.set_note(SNAPSHOT, json.dumps(snapshot))
    return snapshot


def _connector(workspace: Workspace, file: ConnectorFile, answer: ConnectorAnswer) -> ConnectorView:
    quota, suspended = answer["quota"], answer["suspended"]
    return {
        "last_pull": answer["last_pull"],
        "last_push": answer["last_push"],
        "failures": answer["failures"],
        "held": bool(answer["holds"]),
        "holds": answer["holds"],
        "drift": {"kept": answer["drift"]["kept"], "overwritten": answer["drift"]["overwritten"]},
        "quota": None if quota is None else {"limit": quota["limit"], "used": quota["used"], "left": quota["left"]},
        "suspended_until": None if suspended is None else suspended["until"],
        "records": answer["records"],
        "linked": answer["linked"],
        "cursor_at": {item.object: reached_at(workspace, file.name, item.object) for item in file.objects},
        "silent": _silent(workspace, file),
    }


def _silent(workspace: Workspace, file: ConnectorFile) -> dict[str, SilentView]:
    """Find the objects of which pulls that go well bring nothing new for far longer than usual."""
    found: dict[str, SilentView] = {}
    for item in file.objects:
        known, reached = rhythm(workspace, file.name, item.object), reached_at(workspace, file.name, item.object)
        if known is None or known.usual is None or reached is None:
            continue
        if known.silent_at(datetime.fromisoformat(reached)):
            found[item.object] = {"since": iso_text(known.at), "usual": known.usual.total_seconds()}
    return found


def _events(workspace: Workspace, now: datetime, before: Snapshot | None) -> EventsView:
    """Tell when the newest message happened; what was known before, where the store cannot be read now."""
    try:
        newest = newest_message_at(workspace.store, now)
    except EngageError as error:
        structlog.get_logger(__name__).warning("how fresh the events are is not known", because=str(error))
        return {"newest_at": None} if before is None else before["events"]
    return {"newest_at": None if newest is None else iso_text(newest)}


def _runs(state: State) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for labels, n in state.tallies(RUNS):
        found.setdefault(labels["command"], {})[labels["status"]] = n
    return found


def _calls(state: State) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for labels, n in state.tallies(CALLS):
        found.setdefault(labels["connector"], {}).setdefault(labels["kind"], {})[labels["outcome"]] = n
    return found
