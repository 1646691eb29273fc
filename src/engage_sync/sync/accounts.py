"""Which CRM account a connector reaches, and refusing to work with another one than before: what was mirrored, linked
and written in one company's CRM is never mixed with another's. Asks the CRM; forgets and confirms nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Connector, Schema
from engage_sync.errors import Mistake, Problem, Unreachable
from engage_sync.sync.sessions import Session
from engage_sync.sync.wiring import Workspace

ACCOUNT = "account"
CREDENTIALS = "credentials"
"""The note that names the credentials with which all that is remembered was had, by their fingerprint."""
UNNAMED = "unknown"
"""Stands for an account that the CRM never named."""


class OtherAccount(Mistake):
    """The connector reaches another account than the one that is remembered, and nobody has confirmed that."""

    def __init__(self, file: ConnectorFile, known: str, found: str) -> None:
        self.connector, self.known, self.found = file.name, known, found
        back, former = "Put the former credentials back", known
        if known == UNNAMED:
            known, former = "that other credentials reached and that was not named then", "that one"
            back = f"{back} for one run, which learns its name" if found else f"{back} until it names its account"
        reached = f"reaches the account {found} now, and all that is remembered of it is of the account {known}"
        if not found:
            reached = f"reaches an account that it does not name, and all that is remembered of it is of one {known}"
        what = (
            f"{file.name} {reached}: nothing was pulled from it or written to it. {back}, or, if the change is meant,"
            f" confirm it by `engage-sync check {file.name} --accept-account`, which forgets what was mirrored, linked"
            f" and written in {former}"
        )
        super().__init__([Problem(what, file.file)])


def recognised(workspace: Workspace, sessions: list[Session], unopened: dict[str, Mistake]) -> list[Session]:
    """Give the sessions that reach the account that is remembered. One that reaches another leaves the others to work;
    `unopened` takes why. Raises Mistake where none is left."""
    kept, others = [], dict[str, OtherAccount]()
    for session in sessions:
        try:
            with session.guarded():
                recognise(workspace, session.file, session.connector)
        except OtherAccount as other:
            others[session.file.name] = other
        else:
            kept.append(session)
    if others and not kept:
        raise Mistake([problem for other in (*unopened.values(), *others.values()) for problem in other.problems])
    unopened.update(others)
    return kept


def recognise(workspace: Workspace, file: ConnectorFile, connector: Connector) -> None:
    """Ask which account the credentials reach, and remember it. Raises OtherAccount for another than before, or
    where nothing tells whether it is; Unreachable where a CRM that named its account does not name that of new
    credentials."""
    account = connector.account()
    if not account and are_others(workspace, file.name, connector.quota_key):
        account = connector.check().account  # which says, where they are refused, that they are
    remember(workspace, file, {ACCOUNT: account}, connector.quota_key)


def remember_account(workspace: Workspace, file: ConnectorFile, schema: Schema, credentials: str) -> None:
    """Keep which account a connector reaches and where its people work, for the links to its records; raises as
    `recognise` does."""
    remember(workspace, file, {ACCOUNT: schema.account, "site": schema.site}, credentials)


def remember(workspace: Workspace, file: ConnectorFile, told: Mapping[str, str], credentials: str) -> None:
    """Keep what a CRM told of its account, unless that is another one."""
    state, name = workspace.state, file.name
    known, found = state.note(f"{ACCOUNT}.{name}"), told[ACCOUNT]
    if known and found and not same(known, found):
        raise OtherAccount(file, known, found)
    if not (known and found) and are_others(workspace, name, credentials):
        if not known:
            raise OtherAccount(file, UNNAMED, found)
        raise Unreachable(
            f"{name} does not tell which account the new credentials in {file.file} reach, and all that is"
            f" remembered is of the account {known}: the next run asks again; if another account is meant, confirm it"
            f" by `engage-sync check {name} --accept-account`"
        )
    facts = {**told, CREDENTIALS: credentials}
    for what, text in facts.items():
        key = f"{what}.{name}"
        if text and state.note(key) != text:
            state.set_note(key, text)


def are_others(workspace: Workspace, name: str, credentials: str) -> bool:
    """Tell whether something is remembered of a connector's account, and was had by other credentials than these."""
    state = workspace.state
    if state.note(f"{CREDENTIALS}.{name}") in {None, credentials}:
        return False
    return bool(state.note(f"{ACCOUNT}.{name}")) or state.remembers(name)


def same(known: str, found: str) -> bool:
    """Tell whether two names are of one account: a Salesforce org has an id of 15 letters and one of 18, which adds a
    check sum."""
    return known == found or (
        known.startswith("00D") and {len(known), len(found)} == {15, 18} and known[:15] == found[:15]
    )
