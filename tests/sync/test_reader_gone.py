"""A reader of the answer that goes away, as `head` does: the command ends as it would have, and its run is finished."""

from __future__ import annotations

from engage_sync.sandbox.faults import Fault
from tests.forks import engage
from tests.sync.command import engage as printed
from tests.sync.project import Project


def unread(made: Project, *arguments: str) -> int:
    """Run a command whose answer nobody reads; give its exit code."""
    process = engage(*arguments, "--project", str(made.root))
    process.stdout.close()
    return process.wait(30)


def test_the_exit_code_is_the_commands_own(project: Project) -> None:
    project.contact("ann@a.example")
    project.tell(project.identify("ann", email="ann@a.example"))
    project.sync()
    assert unread(project, "rollback", "1", "--plan") == 0
    project.crm.faults.add(Fault("invalid_token", times=None))
    assert unread(project, "plan") == 6
    assert unread(project, "runs", "9", "--json") == 2
    with project.remembered() as state:
        assert [(run.status, run.exit) for run in state.runs(3)] == [("failed", 6), ("ok", 0), ("ok", 0)]


def test_an_unfinished_run_has_no_exit_code(project: Project) -> None:
    with project.remembered() as state:
        state.start_run("sync", project.clock(), project.clock())
    assert printed(project.root, "runs", "1").splitlines()[0].endswith("UTC, unfinished")
