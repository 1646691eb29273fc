"""Whether computing is worth it: whether events came, a pull brought something, the configuration changed or a day
began since the verdicts were recorded. Looks at the names of the event store's log only, never into it.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from zoneinfo import ZoneInfo

from engage_sync.state.store import State
from engage_sync.sync.worked import Settings, Worked

NOTE = "daemon.computed"
Facts = dict[str, str | None]


class Freshness:
    """What the newest verdicts were computed from, and what there was when the work now under way began."""

    def __init__(self) -> None:
        self._computed: Facts = {}
        self._looked: Facts = {}

    def remember(self, state: State) -> None:
        """Go on with what another daemon, or this one before, has left."""
        self._computed = json.loads(state.note(NOTE) or "{}")

    def look(self, settings: Settings, now: datetime) -> None:
        """Look at what there is, before work begins: what comes meanwhile counts as not seen."""
        self._looked = _facts(settings, now)

    def stale(self, settings: Settings, last: Worked | None, now: datetime) -> bool:
        """Tell whether computing now may find something else than what is recorded."""
        facts = {**_facts(settings, now), "mirror": None if last is None else last["mirror"]}
        return any(value is None or self._computed.get(name) != value for name, value in facts.items())

    def computed(self, state: State | None, worked: Worked, *, since: datetime) -> None:
        """Take note of what a child computed from, if it did: it recorded something not before `since`."""
        recorded = None if worked["snapshot"] is None else worked["snapshot"]["recorded"]
        if state is None or recorded is None or datetime.fromisoformat(recorded["as_of"]) < since:
            return
        self._computed = {**self._looked, "mirror": worked["mirror"]}
        state.set_note(NOTE, json.dumps(self._computed))


def _facts(settings: Settings, now: datetime) -> Facts:
    return {
        "events": _events(settings["events"]),
        "digest": settings["digest"],
        "day": now.astimezone(ZoneInfo(settings["timezone"])).date().isoformat(),
    }


def _events(location: str) -> str | None:
    """Tell one state of the event store from another; None where it is not on this machine's disks."""
    if "://" in location:
        return None
    try:
        # The commits alone: of the names beside them `_last_checkpoint` is the greatest, and stays so.
        names = (entry.name for entry in os.scandir(f"{location}/_delta_log"))
        return max((name for name in names if name.endswith(".json")), default="")
    except FileNotFoundError:
        return ""
    except OSError:
        return None
