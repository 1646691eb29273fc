"""`check NAME --accept-account`: a person confirms that a connector reaches another CRM account from now on. What was
mirrored, linked and written in the former one is forgotten, so that nothing of it comes into the new one. Writes to no
CRM.
"""

from __future__ import annotations

from dataclasses import dataclass

from engage_sync.errors import Mistake
from engage_sync.sync.accounts import ACCOUNT, REACHED, same
from engage_sync.sync.reports import Clock, running
from engage_sync.sync.wiring import Workspace, open_connector

COMMAND = "accept-account"
NOTES = (
    ACCOUNT, REACHED, "site", "baseline", "suspended", "quota", "timezone", "short", "reconciled", "pulling",
    "last_record",
)  # fmt: skip
"""The kinds of notes about a connector's account."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The account that a connector reaches, and the one before: the same where there was nothing to confirm."""

    connector: str
    account: str
    former: str | None

    @property
    def changed(self) -> bool:
        """Whether something was forgotten."""
        return self.former is not None and not same(self.former, self.account)


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
        accepted = Accepted(name, found, state.note(f"{ACCOUNT}.{name}"))
        if accepted.changed:
            aside = f"{name} (account {accepted.former}, until run {current.id})"
            state.set_aside(name, aside, NOTES, current.id)
        state.set_note(f"{ACCOUNT}.{name}", found)
        state.set_note(f"{REACHED}.{name}", connector.quota_key)
        current.finish(None)
        if accepted.changed:
            # As a run that planned the connector: what waited for approval of the former account does so no more.
            told = {"account": found, "former": accepted.former}
            state.add_to_summary(current.id, {"planned": [name], "counts": {}, "accepted": told})
        return accepted
