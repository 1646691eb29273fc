"""What fails, as `status` tells it: alerts and jobs of the daemon by their cause, so that one that stops many is read
once. Finds out nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engage_sync.cli.output import minute

if TYPE_CHECKING:
    from engage_sync.sync.status import AlertAnswer, JobAnswer, StatusAnswer

NO_REASON = "no reason was told"


@dataclass(slots=True)
class Cause:
    """One cause: `why`, '' where the only sentence about it says that itself; what fails by it, as alerts tell it and
    else as jobs do; and what to do."""

    why: str
    alerts: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    advice: dict[str, None] = field(default_factory=dict)
    about: set[str] = field(default_factory=set)
    """The jobs and connectors that the alerts are about."""

    def told(self, *, known: bool) -> str:
        """Say it in one line; `known` tells that the cause is read above."""
        why = ", as said above" if known else f": {self.why}" if self.why else ""
        return "; ".join([*self.alerts, *self.jobs]) + why


def causes(alerts: Sequence[AlertAnswer], jobs: Sequence[JobAnswer]) -> list[Cause]:
    """Gather what fails by its cause: alerts that end with what a job told, then what jobs told that no alert did."""
    bad = [job for job in jobs if job["exit"] and job["status"] != "stopped"]
    whys = sorted({one_line(job["message"] or NO_REASON) for job in bad}, key=len, reverse=True)
    found: dict[str, Cause] = {}
    for alert in alerts:
        what, _, advice = alert["sentence"].partition("\n")
        why = next((why for why in whys if what.endswith(f": {why}")), "")
        cause = found.setdefault(why or what, Cause(why))
        cause.alerts.append(f"since {minute(alert['since'])} UTC: {what.removesuffix(f': {why}')}")
        cause.about.add(alert["name"].partition(":")[2])
        cause.advice |= dict.fromkeys([advice] if advice else [])
    for job in bad:
        why = one_line(job["message"] or NO_REASON)
        cause = found.setdefault(why, Cause(why))
        if not {job["name"], job["connector"]} & cause.about:
            at = "" if job["started_at"] is None else f" at {minute(job['started_at'])} UTC"
            cause.jobs.append(f"{job['name']} {job['status']}{at}")
    return list(found.values())


def read_before(why: str, sentences: Iterable[str]) -> bool:
    """Tell whether a cause says nothing but what some sentences have said."""
    rest = why
    for sentence in sorted(map(one_line, sentences), key=len, reverse=True):
        rest = rest.replace(sentence, "")
    return bool(why) and not rest.strip("; ")


def held_sentences(answer: StatusAnswer) -> list[str]:
    """Give what `status` says that runs are held for."""
    newest = answer["newest_run"]
    waiting = [sentence for one in answer["waiting"] for sentence in one["held"]]
    return waiting or ([] if newest is None else list(newest["held"]))


def one_line(text: str) -> str:
    """Write a text as alerts quote it."""
    return " ".join(text.split())
