"""How often a CRM brings something new, learnt from the pulls that did, and when it has brought nothing for far longer
than it ever usually does: a cursor may stand without any error (lessons 15). Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

KEPT = 8
"""Weeks whose longest wait is remembered, of those in which something came."""
FEWEST = 5
"""Without so many of them nothing is usual yet."""
FAR = 3.0
"""Times the second longest of them: weekends are in it, and one accident is not."""
LEAST = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When the last pull of an object began that brought something new, and how long it usually takes until the next:
    `longest` are the longest waits in seconds that ended in a week, by the week's name. `newest` is the latest stamp of
    a record as the CRM writes it."""

    at: datetime
    newest: str
    longest: Mapping[str, float] = field(default_factory=dict)

    @property
    def usual(self) -> timedelta | None:
        """How long nothing comes at most, usually; None as long as too little is known."""
        if len(self.longest) < FEWEST:
            return None
        return timedelta(seconds=sorted(self.longest.values())[-2])

    def silent_at(self, reached: datetime) -> bool:
        """Tell whether nothing new had come for far too long at an instant up to which pulls went well."""
        usual = self.usual
        return usual is not None and reached - self.at > max(LEAST, FAR * usual)

    def heard(self, at: datetime, newest: str) -> Rhythm:
        """Add a pull that brought something new."""
        year, number, _ = at.astimezone(UTC).isocalendar()
        week = f"{year}-W{number:02}"
        waited = max((at - self.at).total_seconds(), self.longest.get(week, 0.0))
        return Rhythm(at, newest, dict(sorted({**self.longest, week: waited}.items())[-KEPT:]))

    def text(self) -> str:
        """Write it as it is kept."""
        return json.dumps({"at": self.at.isoformat(), "newest": self.newest, "longest": dict(self.longest)})

    @classmethod
    def read(cls, text: str) -> Rhythm:
        """Read what was kept, also by a version that knew no waits."""
        kept = json.loads(text)
        return cls(datetime.fromisoformat(kept["at"]), kept["newest"], kept.get("longest", {}))
