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
from engage_sync.errors import EXIT_DONE, EXIT_PARTIAL, EngageError, Held, Mistake
from engage_sync.sync.planning import Prepared
from engage_sync.sync.wiring import Workspace, open_connector

Buckets = Mapping[str, int]


@dataclass(slots=True)
class Session:
    """One connector during a run: what the CRM described, the plan, the counts, and the error that ended it, if any."""

    file: ConnectorFile
    connector: Observed
    schema: Schema | None = None
    prepared: Prepared | None = None
    buckets: dict[str, Buckets] = field(default_factory=dict)
    error: EngageError | None = None
    incomplete: bool = False
    """A write failed or was refused, also one to a record that counts as unlinked."""

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep an error of this connector to itself, so that the others' work is done."""
        try:
            yield
        except (Mistake, Unsupported):
            raise  # a mistake in the project's files is nothing that a CRM met: the run ends
        except EngageError as error:
            self.error = error

    def exit(self) -> int:
        """Give the exit code this connector asks for."""
        if self.error is not None:
            return self.error.exit_code
        if self.prepared is not None and self.prepared.held:
            return Held.exit_code
        failed = any(counts.get("failed", 0) + counts.get("refused", 0) for counts in self.buckets.values())
        return EXIT_PARTIAL if failed or self.incomplete else EXIT_DONE


@contextmanager
def open_sessions(workspace: Workspace, only: str | None, unopened: dict[str, Mistake]) -> Iterator[list[Session]]:
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
