"""What a daemon has told of itself: with its real schedule, state and work, to a real receiver."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from engage_sync.errors import Unreachable
from engage_sync.sandbox.faults import Fault
from engage_sync.state.store import State
from engage_sync.sync.daemon import Daemon
from engage_sync.sync.post import open_state
from engage_sync.sync.watching import Watching
from engage_sync.sync.worked import Settings
from tests.sync.command import answer, engage
from tests.sync.in_process import InProcess
from tests.sync.project import Project
from tests.sync.receiver import Inbox, receiver


class Told:
    """A daemon of a project and what it told, an instant after each look."""

    def __init__(self, project: Project, inbox: Inbox) -> None:
        self.project, self.inbox, self.away = project, inbox, False
        file = project.root / "config" / "engage.yaml"
        text = file.read_text(encoding="utf-8")
        if "alerts:" not in text:
            alerts = f'alerts: {{webhook: "{inbox.url}", missed: 3h}}'
            file.write_text(f"{text}\ndaemon: {{compute: 24h}}\n{alerts}\n", encoding="utf-8")
        self.watching = Watching(project.root, project.clock(), ticks=project.clock.tick)
        self.daemon = Daemon(
            project.root, InProcess(project), ticks=project.clock.tick, opening=self.open, observer=self.watching
        )

    def open(self, settings: Settings, root: Path) -> State:
        if self.away:
            raise Unreachable("the state database does not answer: gone")
        return open_state(settings, root)

    def go_on(self, minutes: float, step: float = 300.0) -> None:
        for _ in range(int(minutes * 60 / step)):
            self.project.clock.advance(step)
            self.daemon.tick(self.project.clock())
            self.watching.settle(10)

    def texts(self) -> list[str]:
        return [json.loads(one.body)["text"] for one in self.inbox.got]

    def kinds(self) -> list[str]:
        return ["FAILING" if "FAILING" in text else "RECOVERED" for text in self.texts()]


def test_a_crm_that_is_down_is_told_once_and_by_status_until_it_is_back(project: Project) -> None:
    with receiver() as inbox:
        told = Told(project, inbox)
        told.go_on(10)
        assert told.texts() == []
        project.crm.faults.add(Fault("unavailable", times=None))
        told.go_on(35)
        first = told.texts()[0]
        assert "the pull from hubspot failed" in first
        assert "failing:pull:hubspot" in [one["name"] for one in answer(project.root, "status")["alerts"]]
        shown = " ".join(engage(project.root, "status").split())
        assert "Failing since 2026-06-01" in shown
        assert "the pull from hubspot failed" in shown
        causes = {" ".join((job["message"] or "").split()) for job in answer(project.root, "status")["jobs"]} - {""}
        assert {why: shown.count(why) for why in causes} == dict.fromkeys(causes, 1), "each cause is read once"
        told.daemon.close()
        again = Told(project, inbox)  # another process knows what was told
        again.go_on(20)
        project.crm.faults.clear()
        again.go_on(70)
        again.daemon.close()
        begun = sum(text.count("FAILING") for text in told.texts())
        assert begun == sum(text.count("RECOVERED") for text in told.texts())
        assert sum("the pull from hubspot failed" in text for text in told.texts()) == 2
        assert max(inbox.keys().values()) == 1


def test_who_takes_over_tells_nothing_that_was_told(project: Project) -> None:
    """What a standby saw itself is as old as its start: the snapshot that the other left counts."""
    with receiver() as inbox:
        told = Told(project, inbox)
        told.go_on(10)
        standby = Told(project, inbox)
        standby.daemon.tick(project.clock())
        project.crm.faults.add(Fault("too_many_daily", times=None))
        told.go_on(15)  # the pull of 12:15 has been, the next is not due yet
        assert [text for text in told.texts() if "asked nothing more" in text] == told.texts()[:1]
        before = len(inbox.got)
        told.daemon.close()
        standby.go_on(1, 10.0)
        assert standby.daemon.led
        assert told.texts()[before:] == []
        standby.daemon.close()


def schedule(project: Project, text: str) -> None:
    file = project.root / "connectors" / "hubspot.yaml"
    file.write_text(f"{file.read_text(encoding='utf-8')}schedule: {text}\n", encoding="utf-8")


def test_a_push_that_the_quota_ended_does_not_fail_when_there_is_quota_again(project: Project) -> None:
    """The push comes once a day: the pulls in between show that the CRM has relented, and nothing of the push."""
    schedule(project, "{pull: 6h, push: 30 14 * * *}")  # 12:30 UTC
    with receiver() as inbox:
        told = Told(project, inbox)
        told.go_on(10)
        project.crm.faults.add(Fault("too_many_daily", times=None))
        told.go_on(25)
        assert told.daemon.jobs["push:hubspot"].status == "suspended"
        project.crm.faults.clear()
        told.go_on(360, 1800.0)  # beyond the pull of 18:00
        assert told.kinds() == ["FAILING", "RECOVERED"]
        assert all("asked nothing more" in text for text in told.texts())
        assert told.daemon.jobs["push:hubspot"].exit == 5
        told.daemon.close()


def test_a_clock_that_is_behind_has_pulled_nothing(project: Project) -> None:
    with receiver() as inbox:
        told = Told(project, inbox)
        told.go_on(10)
        project.clock.now -= timedelta(days=1)
        told.go_on(65)
        pull, push = (told.daemon.jobs[f"{kind}:hubspot"] for kind in ("pull", "push"))
        assert (push.exit, pull.exit, pull.status) == (3, 3, "held")
        assert pull.succeeded_at is not None
        assert push.started_at is not None
        assert pull.succeeded_at < push.started_at
        told.daemon.close()


def test_a_lease_that_has_ended_is_shown_as_that(project: Project) -> None:
    """By its length, whether or not the daemon still looks: the thread that serves asks while the daemon hangs."""
    with receiver() as inbox:
        told = Told(project, inbox)
        told.go_on(10)
        seen = told.watching.view()
        assert (seen.leader, seen.lease and seen.lease["holder"]) == (True, "engage-sync daemon")
        assert told.daemon.settings is not None
        project.clock.advance(told.daemon.settings["daemon"]["lease"] - 1)
        assert told.watching.view() == seen
        project.clock.advance(1)
        ended = told.watching.view()
        assert (ended.leader, ended.lease, ended.jobs) == (False, None, seen.jobs)
        told.go_on(1, 10.0)
        assert told.watching.view().leader
        file = project.root / "var" / "engage.db"
        away = file.rename(file.with_name("away.db"))
        told.go_on(1, 10.0)
        ended = told.watching.view()
        assert (ended.leader, ended.lease, ended.ready) == (False, None, False)
        away.rename(file)
        told.go_on(1, 10.0)
        assert told.watching.view().leader
        told.daemon.close()


def test_a_database_that_is_away_at_the_start_is_told(project: Project) -> None:
    with receiver() as inbox:
        told = Told(project, inbox)
        told.away = True
        told.go_on(2, 10.0)
        assert told.kinds() == ["FAILING"]
        assert "the state database has not answered since" in told.texts()[0]
        told.away = False
        told.go_on(1, 10.0)
        assert told.kinds() == ["FAILING", "RECOVERED"]
        told.daemon.close()


def test_a_broken_configuration_is_told_until_it_is_mended(project: Project) -> None:
    with receiver() as inbox:
        told = Told(project, inbox)
        told.go_on(10)
        file = project.root / "connectors" / "hubspot.yaml"
        good = file.read_text(encoding="utf-8")
        file.write_text(good.replace("objects:", "objekts:"), encoding="utf-8")
        told.go_on(20)
        assert told.kinds() == ["FAILING"]
        assert "objekts" in told.texts()[0]
        file.write_text(good, encoding="utf-8")
        told.go_on(15)
        assert told.kinds() == ["FAILING", "RECOVERED"]
        told.daemon.close()


def test_trying_the_channels_from_the_command_line(project: Project) -> None:
    with receiver() as inbox:
        Told(project, inbox)
        assert answer(project.root, "daemon", "--test-alert") == [
            {"told": True, "sentence": f"webhook: {inbox.name} took it"}
        ]
        assert "this is a test" in json.loads(inbox.got[0].body)["text"]
        inbox.otherwise = 404
        assert f"webhook: not told: {inbox.name} answered 404" in engage(project.root, "daemon", "--test-alert", code=5)
