"""What changes while the daemon works: its configuration, its database, a secret, and what is due. On a test clock; the
state and the files are real, and so is the work, where there is any."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from engage_sync.state.database import Database, backend_of
from engage_sync.state.migrate import migrate
from engage_sync.sync.children import Child, Ended
from engage_sync.sync.notify_systemd import Systemd
from engage_sync.sync.service import Signals, keep_going, once
from engage_sync.sync.service import begin as begin_service
from tests.sync.in_process import InProcess
from tests.sync.project import Project
from tests.sync.test_daemon import Until, daemon, engage, go_on, what


@dataclass
class Late(InProcess):
    """Children that have done their work at once, and end so many seconds later; a check that cannot be started."""

    late: float = 0.0
    full: bool = False
    checks: list[Path] = field(default_factory=list)

    def start(self, jobs: Sequence[str], files: Path) -> Child:
        if not jobs:
            self.checks.append(files)
            if self.full:
                raise OSError(11, "Resource temporarily unavailable")
        child = super().start(jobs, files)
        result = child.ended()
        if not (jobs and self.late) or result is None:
            return child
        return Until(result, self.project.clock() + timedelta(seconds=self.late), self.project)


def schedule(project: Project, text: str) -> None:
    """Put a connector's schedule at the end of its file."""
    file = project.root / "connectors" / "hubspot.yaml"
    file.write_text(f"{file.read_text(encoding='utf-8')}schedule: {text}\n", encoding="utf-8")


def test_what_was_read_while_a_child_works_stands_when_it_ends(project: Project) -> None:
    engage(project)
    runner = Late(project, late=600.0)
    with daemon(runner) as one:
        go_on([one], project, 1, 5.0)
        assert one.working == ("sync:hubspot",)
        schedule(project, "{pull: 5m, push: 3h}")
        go_on([one], project, 0.5, 5.0)
        assert one.busy
        assert one.jobs["pull:hubspot"].schedule == "5m"
        go_on([one], project, 11)
        assert one.jobs["push:hubspot"].status == "ok"
        assert one.jobs["pull:hubspot"].schedule == "5m"
        assert one.settings is not None
        assert one.settings["connectors"]["hubspot"] == {"pull": "5m", "push": "3h"}


def test_what_a_child_did_is_kept_in_the_database_that_it_worked_for(project: Project) -> None:
    engage(project, "\ndatabase: ${file:place}\n")
    place = project.root / "place"
    place.write_text("sqlite:///var/engage.db", encoding="utf-8")
    runner = Late(project, late=300.0)
    with daemon(runner) as one:
        go_on([one], project, 1, 5.0)
        assert one.working == ("sync:hubspot",)
        place.write_text("sqlite:///var/../var/engage.db", encoding="utf-8")  # the same, as with another password
        one.configuration.reload()
        go_on([one], project, 6)
        assert one.jobs["push:hubspot"].status == "ok"
        assert what(runner)["sync:hubspot"] == 1
        while one.working != ("sync:hubspot",):
            go_on([one], project, 1)
        place.write_text("sqlite:///var/two.db", encoding="utf-8")
        one.configuration.reload()
        runner.late = 0.0
        go_on([one], project, 1, 5.0)
        assert one.busy
        assert one.jobs["push:hubspot"].started_at is None
        go_on([one], project, 6)
        assert what(runner)["sync:hubspot"] == 3  # that of the new database, too
        assert one.jobs["push:hubspot"].run == 1
        assert [done["run"] for done in one.done if done["job"] == "sync:hubspot"] == [1, 1]


def test_a_secret_of_the_database_that_was_changed_is_read_while_it_refuses_the_old_one(project: Project) -> None:
    engage(project, "\ndatabase: ${file:place}\n")
    place, var = project.root / "place", project.root / "var"
    place.write_text("sqlite:///var/engage.db", encoding="utf-8")
    runner = Late(project)
    with daemon(runner) as one:
        go_on([one], project, 0.5, 5.0)
        checks = len(runner.checks)
        (var / "engage.db").rename(var / "new.db")  # what it knows is refused from now on
        go_on([one], project, 3, 5.0)
        assert one.trouble is not None
        assert 3 <= len(runner.checks) - checks <= 4  # once a minute
        place.write_text("sqlite:///var/new.db", encoding="utf-8")
        go_on([one], project, 2, 5.0)
        assert one.trouble is None
        assert one.post.holder is not None  # its own lease of before, which ends by itself


def test_an_upgrade_waits_until_nobody_writes(project: Project) -> None:
    """As when the program is replaced while the daemon before still pushes."""
    engage(project)
    (project.root / "var" / "engage.db").unlink(missing_ok=True)
    database = Database(backend_of(f"sqlite:///{project.root}/var/engage.db"))
    migrate(database, "0003")
    database.close()
    runner = Late(project)
    runner.instead = lambda: Until(Ended(None), project.clock() + timedelta(hours=1), project)
    with daemon(runner) as one:
        with database.backend.lock("engage-sync push"):
            go_on([one], project, 0.5, 5.0)
            assert "upgraded from schema 0003" in (one.trouble or "")
            assert one.configuration.wrong == []
        go_on([one], project, 0.5, 5.0)
        assert one.leads
        assert one.working == ("sync:hubspot",)


def test_once_leaves_what_comes_due_meanwhile(project: Project) -> None:
    engage(project)
    schedule(project, "{pull: 10s, push: 1h}")
    runner, signals = Late(project), Signals()
    answer = {"jobs": [], "settings": None, "snapshot": None, "mirror": None, "problems": []}
    ended = Ended(answer)  # type: ignore[arg-type]
    runner.instead = lambda: Until(ended, project.clock() + timedelta(seconds=12), project)

    def wait(seconds: float) -> None:
        project.clock.advance(seconds)
        signals.ending |= len(runner.begun) > 5

    signals.wait = wait  # type: ignore[method-assign]
    with daemon(runner, at_once=True) as one:
        begin_service(one, signals, project.clock)
        once(one, signals, project.clock)
        assert what(runner) == {"sync:hubspot": 1, "compute": 1}


def test_ready_is_told_when_the_files_have_been_read_again(project: Project, tmp_path: Path) -> None:
    """SIGHUP comes in the very look that finds a file changed: half a change is not read, and the wish stands."""
    engage(project)
    runner, signals, heard = Late(project), Signals(), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with heard, daemon(runner) as one:
        heard.bind(str(tmp_path / "notify"))
        begin_service(one, signals, project.clock)
        waits, read = 0, len(runner.checks)

        def wait(seconds: float) -> None:
            nonlocal waits
            project.clock.advance(seconds)
            waits += 1
            if waits == 2:
                schedule(project, "{pull: 5m, push: 3h}")
                signals.reload = True
            signals.ending = waits == 5

        signals.wait = wait  # type: ignore[method-assign]
        runner.instead = lambda: Until(Ended(None), project.clock() + timedelta(hours=1), project)
        told: list[tuple[str, int]] = []

        class Told(Systemd):
            """Notes how often the files had been read when something was told."""

            def _send(self, text: str) -> None:
                super()._send(text)
                told.append((heard.recv(4096).decode().partition("=")[0], len(runner.checks) - read))

        keep_going(one, signals, project.clock, Told({"NOTIFY_SOCKET": str(tmp_path / "notify")}), at="")
        assert [one for one in told if one[0] != "STATUS"] == [
            ("READY", 0),
            ("RELOADING", 0),
            ("READY", 1),
            ("STOPPING", 1),
        ]


def test_the_copies_of_checks_that_could_not_begin_do_not_heap_up(project: Project) -> None:
    engage(project)
    runner = Late(project)
    runner.instead = lambda: Until(Ended(None), project.clock() + timedelta(hours=1), project)
    with daemon(runner) as one:
        one.tick(project.clock())
        runner.full = True
        for _ in range(4):
            one.configuration.reload()
            go_on([one], project, 1, 30.0)
        assert len(runner.checks) > 4
        assert sum(folder.exists() for folder in runner.checks) <= 2
        assert one.configuration.files.current == runner.checks[0]
        assert runner.checks[0].exists()
