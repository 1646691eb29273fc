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
    """The account that a connector reaches, None where it does not name it, and the one before: the same where there
    was nothing to confirm."""

    connector: str
    account: str | None
    former: str | None
    forgotten: Mapping[str, int] = field(default_factory=dict)
    """How many records and written values of the former account."""

    @property
    def changed(self) -> bool:
        """Whether something was forgotten."""
        return self.former is not None and (self.account is None or not same(self.former, self.account))

    def json(self) -> dict[str, object]:
        """Give the part of `check`'s answer."""
        known = {"connector": self.connector, "account": self.account, "former": self.former}
        return {**known, "changed": self.changed, "forgotten": dict(self.forgotten)}


def accept_account(workspace: Workspace, name: str, *, clock: Clock) -> Accepted:
    """Log in and take the account that is reached as the connector's. One that is not named, by the same credentials as
    before, is a Mistake: there is nothing to confirm."""
    (file,) = workspace.connector_files(name)
    with running(workspace, COMMAND, clock(), clock) as current:
        connector = open_connector(workspace, file, read_only=True)
        try:
            found = connector.account() or connector.check().account  # which says, where it is away, that it is
        finally:
            connector.close()
        state, credentials = workspace.state, connector.quota_key
        others = are_others(workspace, name, credentials)
        if not (found or others):
            raise Mistake(f"{name} does not tell which account it reaches, so there is nothing to accept")
        former = state.note(f"{ACCOUNT}.{name}") or (UNNAMED if others else None)
        accepted = Accepted(name, found or None, former)
        if accepted.changed:
            accepted = replace(accepted, forgotten=_forgotten(workspace, accepted, current.id))
        state.set_note(f"{ACCOUNT}.{name}", found or None)
        state.set_note(f"{CREDENTIALS}.{name}", credentials)
        current.finish(None)
        if accepted.changed:
            # As a run that planned the connector: what waited for approval of the former account does so no more.
            told = {"account": accepted.account, "former": accepted.former}
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
