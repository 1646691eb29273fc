"""One connector during a run: opened with its wrappers, what the CRM described, the plan, the counts and the error that
ended it. Opens and closes connectors; pulls, decides and pushes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Schema, Unsupported
from engage_sync.connectors.wrappers import Observed
from engage_sync.core.plan import ObjectPlan
from engage_sync.errors import EXIT_DONE, EXIT_PARTIAL, EngageError, Held, Mistake, Unreachable
from engage_sync.sync.planning import Prepared
from engage_sync.sync.readback import Verified
from engage_sync.sync.reconcile import Reconciled
from engage_sync.sync.wiring import Only, Workspace, open_connector

Buckets = Mapping[str, int]


@dataclass(slots=True)
class Short:
    """A push that the day's quota cut short: `sent` records of `of`. `until` says when the quota resets."""

    sent: int
    of: int
    until: str = ""
    exit_code = Unreachable.exit_code

    def __str__(self) -> str:
        sent = f"{self.sent:,} of {self.of:,} records were sent, the ones that matter most first"
        return f"the day's quota is short: {sent}; the rest waits until the quota resets at {self.until}"


@dataclass(slots=True)
class Session:
    """One connector during a run: what the CRM described, the plan, the counts, and the error that ended it, if any."""

    file: ConnectorFile
    connector: Observed
    schema: Schema | None = None
    prepared: Prepared | None = None
    buckets: dict[str, Buckets] = field(default_factory=dict)
    error: EngageError | None = None
    ranked: bool = False
    """The changes are in the order in which they matter, because there may not be quota for all."""
    short: Short | None = None
    """What of the plan there is no quota for today, if any."""
    incomplete: bool = False
    """A write failed or was refused, also one to a record that counts as unlinked."""
    verified: dict[str, Verified] = field(default_factory=dict)
    """By object, what reading back showed; nothing where nothing was written."""
    reconciled: dict[str, Reconciled] | None = None
    """By object, where the run reconciles; None where it does not."""

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep an error of this connector to itself, so that the others' work is done."""
        try:
            yield
        except (Mistake, Unsupported):
            raise  # a mistake in the project's files is nothing that a CRM met: the run ends
        except EngageError as error:
            self.error = error

    def free(self) -> Prepared | None:
        """Give the plan where nothing stands in its way: no brake holds it, and no error ended the connector's part."""
        return None if self.error is not None or self.prepared is None or self.prepared.held else self.prepared

    def planned(self) -> Mapping[str, ObjectPlan]:
        """Give the plan of each object; none where it did not get that far."""
        return {} if self.prepared is None else self.prepared.plans

    def exit(self) -> int:
        """Give the exit code this connector asks for."""
        if self.error is not None:
            return self.error.exit_code
        if self.short is not None:
            return self.short.exit_code
        if self.prepared is not None and self.prepared.held:
            return Held.exit_code
        failed = any(counts.get("failed", 0) + counts.get("refused", 0) for counts in self.buckets.values())
        lost = any(one.losses for one in (self.reconciled or {}).values())
        return EXIT_PARTIAL if failed or self.incomplete or lost else EXIT_DONE


@contextmanager
def open_sessions(workspace: Workspace, only: Only, unopened: dict[str, Mistake]) -> Iterator[list[Session]]:
    """Open the connectors. One whose file is wrong, as with a variable that is not set, leaves the others to work. A
    project without any has none: what it records, and its webhooks, need no CRM. `unopened` takes what is wrong."""
    files = workspace.connector_files(only)
    sessions: list[Session] = []
    with ExitStack() as stack:
        for file in files:
            try:
                connector = open_connector(workspace, file)
            except Mistake as mistake:
                if len(files) == 1:
                    raise
                unopened[file.name] = mistake
                continue
            stack.callback(connector.close)
            sessions.append(Session(file, connector))
        if files and not sessions:
            raise Mistake([problem for mistake in unopened.values() for problem in mistake.problems])
        yield sessions
