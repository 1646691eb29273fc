"""Whether alerts would arrive, as far as that can be told without sending one: `check` connects to the webhook's host
and to the mail server, and says nothing there. Changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from engage_sync.config.project import Project
from engage_sync.errors import Mistake, Problem
from engage_sync.sync.alert_channels import SECONDS, NotTold, channels
from engage_sync.sync.alert_settings import alert_settings

PLACE = "config/engage.yaml"
TRY = "`engage-sync daemon --test-alert` sends a test"
REMEDY = f"see that it is up and can be reached from here, or correct the address; {TRY}"


@dataclass(frozen=True, slots=True)
class Heard:
    """What was found: `unheard` are sentences about channels that nobody would hear, `advice` about those that were not
    tried, `mistakes` the settings that cannot be used at all."""

    unheard: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    mistakes: tuple[Problem, ...] = ()


def listen(project: Project, seconds: float = SECONDS) -> Heard:
    """Try each channel that is configured."""
    try:
        found = channels(alert_settings(project), seconds)
    except Mistake as mistake:
        return Heard(mistakes=tuple(mistake.problems))
    unheard, advice = [], []
    for kind, channel in found.items():
        try:
            if not channel.reach():
                advice.append(f"{kind} {channel.name} is behind a proxy, so it was not tried; {TRY}")
        except NotTold as error:
            told = str(error)
            unheard.append(told if told.startswith("alerts.") else f"alerts.{kind}: {told}")
    return Heard(tuple(unheard), tuple(advice))
