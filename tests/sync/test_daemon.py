"""The daemon on a test clock: its schedule, its lease and its state are real, and so is the work, but for the processes
that do it (`in_process`)."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from engage_sync.errors import Locked, Mistake
from engage_sync.sandbox.faults import Fault
from engage_sync.state.store import State
from engage_sync.sync.children import Ended
from engage_sync.sync.daemon import Daemon
from engage_sync.sync.notify_systemd import Systemd
from engage_sync.sync.post import open_state
from engage_sync.sync.service import Signals, keep_going, once
from engage_sync.sync.service import begin as begin_service
from engage_sync.sync.watching import Watching
from engage_sync.sync.worked import JobDone, Settings
from tests.sync.in_process import Done, InProcess, Lost
from tests.sync.project import Project
from tests.sync.receiver import Inbox, receiver
from tests.sync.test_crash_safety import full_disk
from tests.sync.two_crms import Both, both

DAEMON = "\ndaemon: {jitter: 10s, compute: 1h, reconcile: 15 3 * * *, compact: 45 3 * * *, lease: 15s}\n"


@contextmanager
def daemon(runner: InProcess, **more: object) -> Iterator[Daemon]:
    """Begin a daemon, and end it."""
    made = begin(runner, **more)
    yield made
    made.close(wait=runner.project.clock.advance)


def begin(runner: InProcess, **more: object) -> Daemon:
    return Daemon(runner.project.root, runner, ticks=runner.project.clock.tick, **more)  # type: ignore[arg-type]


def engage(project: Project, text: str = DAEMON) -> None:
    """Add to `config/engage.yaml`."""
    file = project.root / "config" / "engage.yaml"
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


def expire(project: Project) -> None:
    """Let all leases end, as they do when their processes have died and time has passed."""
    with project.remembered() as state, state._database.writing() as transaction:
        transaction.run("UPDATE engage_lease SET expires_at = 1, renewed_at = 0")


def go_on(daemons: list[Daemon], project: Project, minutes: float, step: float = 60.0) -> None:
    """Let time pass, ticking."""
    until = project.clock() + timedelta(minutes=minutes)
    while project.clock() < until:
        project.clock.advance(step)
        for one in daemons:
            one.tick(project.clock())


def what(runner: InProcess) -> Counter[str]:
    return Counter(job for _, jobs in runner.begun for job in jobs)


def test_a_new_project_is_synced_at_once_then_as_scheduled(project: Project) -> None:
    contact = project.contact("ann@acme.example")
    project.tell(*project.person("ann", "ann@acme.example"))
    engage(project)
    runner = InProcess(project)
    with daemon(runner) as one:
        one.tick(project.clock())
        go_on([one], project, 1, 5.0)
        assert what(runner) == {"sync:hubspot": 1}
        assert project.values(contact)["engage_external_id"] == "ann"
        job = one.jobs["push:hubspot"]
        assert (job.status, job.exit, job.run) == ("ok", 0, 1)
        assert job.due.minute == 0
        go_on([one], project, 61)
        assert what(runner) == {"sync:hubspot": 2, "pull:hubspot": 3}
        with project.remembered() as state:
            assert [lease.name for lease in state.leases()] == ["daemon"]
    with project.remembered() as state:
        assert state.leases() == []
        assert {job.name for job in state.jobs()} == {
            *("pull:hubspot", "push:hubspot", "reconcile:hubspot", "compute", "compact")
        }


def test_computing_waits_for_something_new(project: Project) -> None:
    engage(project, DAEMON.replace("1h", "5m"))
    file = project.root / "connectors" / "hubspot.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "schedule: {pull: 15m, push: 24h}\n", encoding="utf-8")
    project.tell(*project.person("ann", "ann@acme.example"))
    runner = InProcess(project)
    with daemon(runner) as one:
        one.tick(project.clock())
        go_on([one], project, 14)
        assert what(runner) == {"sync:hubspot": 1}
        project.tell(*project.person("bob", "bob@acme.example"))
        go_on([one], project, 12)
        assert what(runner) == {"sync:hubspot": 1, "pull:hubspot": 1, "compute": 1}
        project.contact("bob@acme.example")
        go_on([one], project, 24)
        assert what(runner) == {"sync:hubspot": 1, "pull:hubspot": 3, "compute": 2}
        go_on([one], project, 60 * 10)  # past midnight in Berlin
        assert what(runner)["compute"] == 3


def test_a_broken_file_keeps_the_configuration_before(project: Project) -> None:
    engage(project)
    runner = InProcess(project)
    with daemon(runner) as one:
        one.tick(project.clock())
        file = project.root / "connectors" / "hubspot.yaml"
        good = file.read_text(encoding="utf-8")
        file.write_text(good.replace("objects:", "objekts:"), encoding="utf-8")
        go_on([one], project, 20)
        assert any("objekts" in problem for problem in one.configuration.wrong)
        assert [done["exit"] for done in runner.done] == [0, 0]
        file.write_text(good + "schedule: {pull: 5m, push: 1h}\n", encoding="utf-8")
        go_on([one], project, 2)
        assert one.configuration.wrong == []
        assert one.jobs["pull:hubspot"].schedule == "5m"
        assert one.jobs["pull:hubspot"].due <= project.clock() + timedelta(minutes=5)
        model = project.root / "config" / "model.yaml"
        model.write_text(
            model.read_text(encoding="utf-8").replace("crm.hubspot.jobtitle", "traits.title"), encoding="utf-8"
        )
        file.unlink()
        go_on([one], project, 2)
        assert sorted(one.jobs) == ["compact", "compute"]


def test_a_post_that_was_lost_and_taken_again_between_two_looks_is_a_new_one(project: Project) -> None:
    """Another daemon led meanwhile and is gone: its schedule goes on, and nothing that it did is done again."""
    engage(project)
    first, second = InProcess(project), InProcess(project)
    with daemon(first) as one:
        one.tick(project.clock())
        go_on([one], project, 1, 5.0)
        expire(project)
        with daemon(second) as two:
            go_on([two], project, 61)
            assert two.leads
        go_on([one], project, 1)
        assert one.leads
        with project.remembered() as state:
            kept = {job.name: job for job in state.jobs()}
        assert (one.jobs, kept["push:hubspot"].run) == (kept, 5)
        assert what(first) == {"sync:hubspot": 1}


def test_a_standby_takes_over_and_goes_on_with_what_was_cut_off(project: Project) -> None:
    engage(project)
    runner = InProcess(project)
    first, second = begin(runner), begin(runner)
    runner.instead = Lost
    first.tick(project.clock())
    second.tick(project.clock())
    go_on([first, second], project, 1, 5.0)
    assert (first.leads, second.leads) == (True, False)
    assert second.post.holder is not None
    assert what(runner) == {"sync:hubspot": 1}
    runner.instead = None
    expire(project)  # the first hangs, and does not renew
    go_on([second], project, 1, 5.0)
    assert second.leads
    assert what(runner) == {"sync:hubspot": 2}
    assert runner.done[-1]["status"] == "ok"
    go_on([first, second], project, 2, 5.0)  # the first wakes up
    assert (first.leads, second.leads) == (False, True)
    assert first.working == ()
    assert what(runner) == {"sync:hubspot": 2}
    first.close()
    second.close()


def test_somebody_elses_run_is_waited_for(project: Project) -> None:
    engage(project)
    runner = InProcess(project)
    with daemon(runner) as one, project.remembered() as state:
        with state.lock("engage-sync sync"):
            one.tick(project.clock())
            go_on([one], project, 1, 5.0)
            assert what(runner) == {}
        go_on([one], project, 0.2, 5.0)
        assert what(runner) == {"sync:hubspot": 1}
        assert one.exits == {0}


def test_a_job_that_finds_the_lock_taken_is_tried_again_soon(project: Project) -> None:
    engage(project)
    runner = InProcess(project)
    locked = {**_done("sync:hubspot"), "status": "locked", "exit": 4, "message": "another run holds the lock"}
    worked = {"jobs": [locked], "settings": None, "snapshot": None, "mirror": None, "problems": []}
    with daemon(runner) as one:
        runner.instead = lambda: Done(Ended(worked))  # type: ignore[arg-type]
        one.tick(project.clock())
        go_on([one], project, 0.2, 12.0)
        begun = len(runner.begun)
        assert begun >= 1
        assert one.jobs["push:hubspot"].due <= project.clock()
        runner.instead = None
        project.clock.advance(6)
        one.tick(project.clock())
        assert len(runner.begun) == begun + 1
        assert one.jobs["push:hubspot"].status == "ok"


def _done(job: str) -> dict[str, object]:
    at = "2026-06-01T12:00:00Z"
    told: dict[str, object] = {"job": job, "run": None, "errors": {}, "held": [], "counts": {}}
    return {**told, "started_at": at, "ended_at": at}


def test_a_crm_that_is_away_is_asked_again_soon_and_never_more_often_than_it_helps(project: Project) -> None:
    """First after a minute, then after twice as long each time, until that is longer than the schedule's own."""
    contact = project.contact("ann@acme.example")
    project.tell(*project.person("ann", "ann@acme.example"))
    engage(project, DAEMON.replace("10s", "0s"))
    runner = InProcess(project)
    project.crm.faults.add(Fault("unavailable", times=None))
    begun = project.clock()
    with daemon(runner) as one:
        one.tick(project.clock())
        go_on([one], project, 26)
        pulls = [(at - begun).total_seconds() / 60 for at, jobs in runner.begun if jobs[0] != "push:hubspot"]
        pauses = [later - earlier for earlier, later in pairwise(pulls)]
        assert (len(pulls), pulls[1] <= 3, pauses[:3]) == (5, True, sorted(pauses[:3]))
        assert pulls[-1] == pytest.approx(15, abs=1), "as its schedule says, for the next pause is longer"
        assert one.jobs["pull:hubspot"].due == begun + timedelta(minutes=30)
        project.crm.faults.clear()
        go_on([one], project, 10)
        assert project.values(contact)["engage_external_id"] == "ann"
        project.crm.faults.add(Fault("unavailable", times=None))
        go_on([one], project, 12)
        failed = one.jobs["pull:hubspot"]
        assert (failed.exit, failed.due < begun + timedelta(minutes=55)) == (5, True), "it counts anew"


def test_a_child_that_dies_is_told_and_the_schedule_goes_on(project: Project) -> None:
    engage(project)
    runner = InProcess(project)
    with daemon(runner) as one:
        runner.instead = lambda: Done(Ended(None, "the child ended with signal SIGKILL and no answer"))
        one.tick(project.clock())
        go_on([one], project, 1, 5.0)
        job = one.jobs["push:hubspot"]
        assert (job.status, job.exit, job.succeeded_at) == ("failed", 70, None)
        assert "SIGKILL" in (job.message or "")
        assert len(runner.begun) == 2  # compute, too
        runner.instead = None
        go_on([one], project, 60)
        assert one.jobs["push:hubspot"].exit == 0


def test_a_child_that_hangs_is_ended_at_the_time_limit(project: Project) -> None:
    engage(project, DAEMON.replace("}", ", time_limit: 10m}"))
    runner = InProcess(project)
    with daemon(runner) as one:
        runner.instead = Lost
        one.tick(project.clock())
        go_on([one], project, 10)
        assert one.working == ("sync:hubspot",)
        runner.instead = None
        go_on([one], project, 3)
        job = one.jobs["push:hubspot"]
        assert (job.status, job.exit) == ("failed", 5)
        assert "time_limit" in (job.message or "")


def test_a_database_that_is_away_is_waited_for(project: Project) -> None:
    engage(project)
    file = project.root / "var" / "engage.db"
    runner, away = InProcess(project), [True]

    def opening(settings: Settings, root: Path) -> State:
        if away[0]:
            return open_state({**settings, "database": f"sqlite:///{root}/config/engage.yaml/no.db"}, root)
        return open_state(settings, root)

    watching = Watching(project.root, project.clock(), ticks=project.clock.tick)
    with daemon(runner, opening=opening, observer=watching) as one:
        one.tick(project.clock())
        go_on([one], project, 1, 5.0)
        assert one.trouble is not None
        assert not one.leads
        assert watching.view().why_not_ready == [one.trouble]
        assert [alert.name for alert in watching.teller.active] == ["state"]
        away[0] = False
        go_on([one], project, 1, 5.0)
        assert one.trouble is None
        assert watching.view().ready
        assert watching.view().leader
        assert watching.teller.active == []
        assert what(runner) == {"sync:hubspot": 1}
        moved = file.rename(file.with_name("away.db"))  # in the middle
        go_on([one], project, 16)
        assert "deleted or replaced" in (one.trouble or "")
        moved.rename(file)
        go_on([one], project, 3)
        assert one.trouble is None
        assert what(runner)["pull:hubspot"] == 1


def test_a_clock_that_jumps_stops_no_schedule_and_starts_no_storm(project: Project) -> None:
    """A day forward, what fell due meanwhile is done once, and nobody is told that it is late; back again, all goes on
    by the clock as it is now, what waited for the night included."""
    engage(project, DAEMON.replace("10s", "0s") + "alerts: {missed: 1h}\n")
    runner, clock = InProcess(project), project.clock
    watching = Watching(project.root, clock(), ticks=clock.tick)
    with daemon(runner, observer=watching) as one:
        one.tick(clock())
        go_on([one], project, 8)
        clock.now += timedelta(days=1)
        go_on([one], project, 2)
        assert watching.teller.active == []
        assert what(runner) == {"sync:hubspot": 1, "reconcile:hubspot": 1, "push:hubspot": 1, "compact": 1}
        project.crm.faults.add(Fault("invalid_token", times=None))
        go_on([one], project, 16)
        assert [alert.name for alert in watching.teller.active] == ["credentials:hubspot"]
        project.crm.faults.clear()
        clock.now -= timedelta(days=1)
        runner.begun.clear()
        go_on([one], project, 34)  # from 12:26 to 13:00, where a push is due, too
        assert [(f"{at:%d %H:%M}", jobs) for at, jobs in runner.begun] == [
            ("01 12:30", ("pull:hubspot",)),
            ("01 12:45", ("pull:hubspot",)),
            ("01 13:00", ("sync:hubspot",)),
        ]
        assert {job.name: f"{job.due:%d %H:%M}" for job in one.jobs.values()} == {
            "pull:hubspot": "01 13:15",
            "push:hubspot": "01 14:00",
            "compute": "01 14:00",
            "reconcile:hubspot": "02 01:15",
            "compact": "02 01:45",
        }
        assert "credentials:hubspot" not in [alert.name for alert in watching.teller.active]


def test_a_full_disk_is_told_waited_for_and_costs_nothing(project: Project) -> None:
    contact = project.contact("ann@acme.example")
    project.tell(*project.person("ann", "ann@acme.example"))
    with receiver() as inbox:
        engage(project, DAEMON.replace("compute: 1h", "compute: 24h") + f'alerts: {{webhook: "{inbox.url}"}}\n')
        runner = InProcess(project)
        watching = Watching(project.root, project.clock(), ticks=project.clock.tick)
        with daemon(runner, observer=watching) as one:
            one.tick(project.clock())
            go_on([one], project, 1, 5.0)
            project.tell(project.track("ann", "report_run", days=0))
            with full_disk(4_000):
                for minutes in (1, 1, 59):  # a message has real time to go out
                    go_on([one], project, minutes)
                    watching.settle(10)
                assert "room" in (one.trouble or "")
                assert what(runner) == {"sync:hubspot": 1}, "what cannot be noted is not begun, again and again"
                assert told(inbox) == {("FAILING", "the state database has not answered"): 1}
            for _ in range(2):
                go_on([one], project, 1)
                watching.settle(10)
            assert (one.trouble, one.leads) == (None, True)
            assert what(runner) == {"sync:hubspot": 2}
            assert project.values(contact)["engage_reports"] == "1"
            assert told(inbox)["RECOVERED", "the state database has not answered"] == 1


def test_files_that_could_not_be_copied_are_read_when_there_is_room(project: Project) -> None:
    engage(project)
    with daemon(InProcess(project)) as one:
        one.tick(project.clock())
        file = project.root / "connectors" / "hubspot.yaml"
        more = "schedule: {pull: 5m, push: 1h}\n" + "# long\n" * 1_000
        file.write_text(file.read_text(encoding="utf-8") + more, encoding="utf-8")
        with full_disk(4_000):
            go_on([one], project, 1, 5.0)
            assert one.configuration.wrong == [f"the configuration could not be checked: File too large: {file}"]
        go_on([one], project, 1, 5.0)
        assert one.configuration.wrong == []
        assert one.jobs["pull:hubspot"].schedule == "5m"


def test_what_of_a_configuration_cannot_be_done_here_is_told_and_tried_again(project: Project) -> None:
    engage(project)
    free, asked = [True], list[int]()

    def adopting(settings: Settings) -> None:
        asked.append(settings["server"]["port"])
        if not free[0]:
            raise Mistake("cannot listen on 127.0.0.1:81: Address already in use")

    watching = Watching(project.root, project.clock(), ticks=project.clock.tick)
    with daemon(InProcess(project), observer=watching, adopting=adopting) as one:
        one.tick(project.clock())
        engage(project, "\nserver: {port: 81}\n")
        free[0] = False
        go_on([one], project, 2)
        assert (asked[0], asked[-1]) == (8080, 81)
        (alert,) = watching.teller.active
        assert "cannot listen on 127.0.0.1:81: Address already in use (that stays as it was;" in alert.sentence
        free[0] = True
        go_on([one], project, 16)
        assert watching.teller.active == []
    free[0] = False
    runner = InProcess(project)
    with daemon(runner, adopting=adopting) as one, pytest.raises(Mistake, match="cannot listen"):
        go_on([one], project, 1, 5.0)
    assert runner.begun == []


@dataclass
class Until:
    """A child that ends at an instant, or when it is asked to."""

    result: Ended
    end: datetime
    project: Project

    def ended(self) -> Ended | None:
        return self.result if self.project.clock() >= self.end else None

    def stop(self) -> None:
        self.end = self.project.clock()


def test_what_is_due_again_at_once_is_told_of_too(project: Project) -> None:
    """The next run begins as soon as one has ended: how that went is seen nevertheless."""
    engage(project)
    file = project.root / "connectors" / "hubspot.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "schedule: {pull: 1s, push: 1s}\n", encoding="utf-8")
    refused = {**_done("sync:hubspot"), "status": "failed", "exit": 6, "message": "hubspot: the token is refused"}
    worked = {"jobs": [refused], "settings": None, "snapshot": None, "mirror": None, "problems": []}
    runner = InProcess(project)
    watching = Watching(project.root, project.clock(), ticks=project.clock.tick)
    with daemon(runner, observer=watching) as one:
        runner.instead = lambda: Until(Ended(worked), project.clock() + timedelta(seconds=4), project)  # type: ignore[arg-type]
        go_on([one], project, 0.5, 5.0)
        assert one.busy
        assert len(runner.begun) > 2
        assert [alert.name for alert in watching.teller.active] == ["credentials:hubspot"]
        runner.instead = None


def test_ending_leaves_nothing_behind(project: Project) -> None:
    engage(project)
    runner = InProcess(project)
    one = begin(runner)
    runner.instead = Lost
    one.tick(project.clock())
    go_on([one], project, 1, 5.0)
    assert one.busy
    copies = one.configuration.files.current
    assert copies is not None
    one.close()
    assert not copies.exists()
    runner.instead = None
    with daemon(runner) as another:  # takes over at once, and does what was cut off
        another.tick(project.clock())
        go_on([another], project, 1, 5.0)
        assert what(runner) == {"sync:hubspot": 2}


def test_asked_to_end_it_asks_its_child_before_anything_else(project: Project) -> None:
    """A child that hangs uses up its eight seconds, and there are ten for everything."""
    engage(project)
    runner, signals, lost = InProcess(project), Signals(), Lost()
    runner.instead = lambda: lost
    with daemon(runner) as one:
        one.tick(project.clock())
        go_on([one], project, 1, 5.0)
        assert one.working == ("sync:hubspot",)
        signals.ending = True
        keep_going(one, signals, project.clock, Systemd({}), at="here")
        assert lost.stopped


def test_once_ends_as_the_commands_do_where_the_database_is_of_a_newer_version(project: Project) -> None:
    engage(project)
    with sqlite3.connect(project.root / "var" / "engage.db") as changed:
        changed.execute("UPDATE engage_schema SET version_num = '9999'")
    changed.close()
    signals = Signals()
    with daemon(InProcess(project), at_once=True) as one:
        begin_service(one, signals, project.clock)
        with pytest.raises(Mistake, match="made by a newer version of engage-sync"):
            once(one, signals, project.clock)


def test_once_does_what_is_due_and_ends(project: Project) -> None:
    engage(project)
    runner, signals = InProcess(project), Signals()
    with daemon(runner, at_once=True) as one:
        begin_service(one, signals, project.clock)
        assert once(one, signals, project.clock) == 0
        assert what(runner) == {"sync:hubspot": 1}
        with daemon(runner, at_once=True) as another:
            begin_service(another, signals, project.clock)
            with pytest.raises(Locked, match=r"engage-sync daemon on .* schedules this project"):
                once(another, signals, project.clock)
    project.clock.advance(900)
    project.crm.faults.add(Fault("invalid_token", times=None))
    with daemon(runner, at_once=True) as one:
        begin_service(one, signals, project.clock)
        assert once(one, signals, project.clock) == 6
        assert [done["job"] for done in one.done] == ["pull:hubspot"]
    with daemon(runner, at_once=True) as one:  # what failed is due again at its next time
        begin_service(one, signals, project.clock)
        assert once(one, signals, project.clock) == 0
        assert one.done == []


def test_a_wrong_configuration_begins_nothing(project: Project) -> None:
    engage(project, "brkes: {}")
    with daemon(InProcess(project)) as one, pytest.raises(Mistake, match="did you mean `brakes`"):
        begin_service(one, Signals(), project.clock)


@dataclass
class Day:
    """A day of two daemons of one project, of which at most one works; what fails is told to a receiver."""

    crms: Both
    runner: InProcess
    daemons: list[Daemon] = field(default_factory=list)
    watching: list[Watching] = field(default_factory=list)

    def begin(self) -> None:
        """Start a daemon."""
        clock = self.crms.clock
        self.watching.append(Watching(self.crms.root, clock(), ticks=clock.tick))
        self.daemons.append(begin(self.runner, observer=self.watching[-1]))

    def restart(self) -> None:
        """End all, and start as many."""
        count = len(self.daemons)
        self.close()
        for _ in range(count):
            self.begin()

    def close(self) -> None:
        """End all."""
        self.watching.clear()
        while self.daemons:
            self.daemons.pop().close()

    def kill_leader(self) -> None:
        """The leader is gone in the middle of a sync, without a word, and its lease ends."""
        leader = next(one for one in self.daemons if one.leads)
        self.runner.instead = Lost
        while not leader.busy:
            self.crms.clock.advance(60)
            leader.tick(self.crms.clock())
        self.runner.instead = None
        self.daemons.remove(leader)
        expire(self.crms)

    def write(self, wrong: str) -> None:
        """Put something at the end of `config/engage.yaml`, or take it away."""
        file = self.crms.root / "config" / "engage.yaml"
        text = file.read_text(encoding="utf-8").partition("# the end")[0]
        file.write_text(f"{text}# the end\n{wrong}", encoding="utf-8")

    def go_on(self, minutes: float) -> None:
        """Let time pass in steps of five minutes."""
        for _ in range(int(minutes / 5)):
            self.crms.clock.advance(300)
            for one in self.daemons:
                one.tick(self.crms.clock())
            for one in self.watching:
                one.settle(10)


def test_a_day_with_restarts_reloads_a_failover_and_an_outage(tmp_path: Path) -> None:
    """A pull every two hours, a push every eight, one comparison and one compaction a night, for each connector: none
    is missed and none doubled, whatever happens in between; what fails is tried again between two times, ever less
    often, told once, and once when it has recovered."""
    with both(tmp_path) as crms, receiver() as inbox:
        ann, sold = crms.contact("ann@acme.example"), crms.sales("ann@acme.example")
        crms.tell(*crms.person("ann", "ann@acme.example"))
        engage(crms, f'{DAEMON.replace("compute: 1h", "compute: 24h")}alerts: {{webhook: "{inbox.url}", missed: 3h}}\n')
        for name in ("hubspot", "salesforce"):
            file = crms.root / "connectors" / f"{name}.yaml"
            file.write_text(file.read_text(encoding="utf-8") + "schedule: {pull: 2h, push: 8h}\n", encoding="utf-8")
        day, began = Day(crms, InProcess(crms)), crms.clock()
        happens = {
            2: day.restart,
            3: day.kill_leader,  # in the sync that is due in the next hour
            7: day.begin,
            9: lambda: day.write("# reloaded"),
            10: lambda: day.write("brkes: {}"),
            12: lambda: day.write(""),
            14: lambda: crms.crm.faults.add(Fault("unavailable", times=None)),
            17: crms.crm.faults.clear,
            20: day.restart,
        }
        day.begin()
        day.begin()
        for hour in range(24):
            happens.get(hour, lambda: None)()
            if hour in {1, 8, 21}:
                crms.tell(*(crms.track("ann", "report_run", days=n / 1000) for n in range(hour)))
            until = began + timedelta(hours=hour + 1)
            day.go_on((until - crms.clock()) / timedelta(minutes=1))
        day.close()
    assert done_by_hour([one for one in day.runner.done if not one["exit"]], began) == {
        "pull:hubspot": [0, 2, 4, 6, 8, 10, 12, 18, 20, 22],
        "pull:salesforce": [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22],
        **{f"push:{name}": [0, 4, 12, 20] for name in ("hubspot", "salesforce")},
        **{name: [13] for name in ("reconcile:hubspot", "reconcile:salesforce", "compact")},  # at three in Berlin
    }
    failed = done_by_hour([one for one in day.runner.done if one["exit"]], began)
    assert {name: Counter(hours) for name, hours in failed.items()} == {"pull:hubspot": {14: 6, 15: 1, 16: 1}}
    # Nine reports until the last push at eight in the morning, the rest comes with the next one.
    assert (crms.values(ann)["engage_reports"], crms.held(sold)["Engage_Reports__c"]) == ("9", "9")
    assert told(inbox) == {
        ("FAILING", "the configuration cannot be taken over"): 1,
        ("FAILING", "the pull from hubspot failed"): 1,
        ("FAILING", "no pull from hubspot has gone well"): 1,
        ("RECOVERED", "the configuration cannot be taken over"): 1,
        ("RECOVERED", "the pull from hubspot failed"): 1,
        ("RECOVERED", "no pull from hubspot has gone well"): 1,
    }


def told(inbox: Inbox) -> Counter[tuple[str, str]]:
    """Count what was told to have begun and to have ended, without instants."""
    texts = "\n".join(json.loads(got.body)["text"] for got in inbox.got)
    lines = re.findall(r"^(FAILING|RECOVERED)\b.*? UTC\)?: (.*)$", texts, re.MULTILINE)
    return Counter((what, re.split(r":| \(| since", line)[0]) for what, line in lines)


def done_by_hour(done: list[JobDone], began: datetime) -> dict[str, list[int]]:
    """Give in which hour each job was done, a sync being a pull and a push."""
    hours: dict[str, list[int]] = {}
    for one in done:
        kind, _, name = one["job"].partition(":")
        hour = (datetime.fromisoformat(one["started_at"]) - began) // timedelta(hours=1)
        for each in ("pull", "push") if kind == "sync" else (kind,):
            hours.setdefault(f"{each}:{name}".rstrip(":"), []).append(hour)
    return hours
