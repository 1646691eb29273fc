"""`check NAME --accept-account`: a person confirms that a connector reaches another CRM account from now on. What was
mirrored, linked and written in the former one is forgotten, so that nothing of it comes into the new one. Writes to no
CRM.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engage_sync.errors import Mistake
from engage_sync.sync.accounts import ACCOUNT, CREDENTIALS, UNNAMED, are_others, same
from engage_sync.sync.alerts import VOLUMES_NOTE
from engage_sync.sync.reports import Clock, running
from engage_sync.sync.wiring import Workspace, open_connector

COMMAND = "accept-account"
NOTES = (
    ACCOUNT, CREDENTIALS, "site", "baseline", "suspended", "quota", "timezone", "short", "reconciled", "pulling",
    "last_record", "reached", "field_limits", "brakes.inactive",
)  # fmt: skip
"""The kinds of notes about a connector's account; usual volumes are one note for all."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The account that a connector reaches, and the one before: the same where there was nothing to confirm."""

    connector: str
    account: str
    former: str | None
    forgotten: Mapping[str, int] = field(default_factory=dict)
    """How many records and written values of the former account."""

    @property
    def changed(self) -> bool:
        """Whether something was forgotten."""
        return self.former is not None and not same(self.former, self.account)

    def json(self) -> dict[str, object]:
        """Give the part of `check`'s answer."""
        known = {"connector": self.connector, "account": self.account, "former": self.former}
        return {**known, "changed": self.changed, "forgotten": dict(self.forgotten)}


def accept_account(workspace: Workspace, name: str, *, clock: Clock) -> Accepted:
    """Log in and take the account that is reached as the connector's. A CRM that does not name it is a Mistake."""
    (file,) = workspace.connector_files(name)
    with running(workspace, COMMAND, clock(), clock) as current:
        connector = open_connector(workspace, file, read_only=True)
        try:
            found = connector.account()
        finally:
            connector.close()
        if not found:
            raise Mistake(f"{name} does not tell which account it reaches, so there is nothing to accept")
        state = workspace.state
        former = state.note(f"{ACCOUNT}.{name}")
        if former is None and are_others(workspace, name, connector.quota_key):
            former = UNNAMED
        accepted = Accepted(name, found, former)
        if accepted.changed:
            accepted = replace(accepted, forgotten=_forgotten(workspace, accepted, current.id))
        state.set_note(f"{ACCOUNT}.{name}", found)
        state.set_note(f"{CREDENTIALS}.{name}", connector.quota_key)
        current.finish(None)
        if accepted.changed:
            # As a run that planned the connector: what waited for approval of the former account does so no more.
            told = {"account": found, "former": accepted.former}
            state.add_to_summary(current.id, {"planned": [name], "counts": {}, "accepted": told})
        return accepted


def _forgotten(workspace: Workspace, accepted: Accepted, run: int) -> dict[str, int]:
    state, name = workspace.state, accepted.connector
    aside = f"{name} (account {accepted.former}, until run {run})"
    rows = state.set_aside(name, aside, NOTES, run)
    volumes = json.loads(state.note(VOLUMES_NOTE) or "{}")
    if volumes.pop(name, None) is not None:
        state.set_note(VOLUMES_NOTE, json.dumps(volumes))
    return {"records": rows["engage_record"], "written": rows["engage_written"]}
