"""The daemon: it keeps a project's schedule and has its work done by children, one at a time. It pulls, computes and
pushes nothing itself and imports nothing that does, so that it stays small; whatever fails is told and tried again.

`tick` looks once at everything: the project's files, the state database, the lease, the child, what is due.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

import structlog

from engage_sync.errors import EngageError, Locked, Mistake
from engage_sync.state.jobs import Job
from engage_sync.state.keeper import RENEWALS
from engage_sync.state.store import WRITER, State
from engage_sync.sync.agenda import COMPUTE, Batch, after, choose, group_of, planned, resumed
from engage_sync.sync.children import Child, Ended, Runner
from engage_sync.sync.configuration import Configuration
from engage_sync.sync.freshness import Freshness
from engage_sync.sync.patience import Patience
from engage_sync.sync.post import Post, open_state
from engage_sync.sync.shown import stored
from engage_sync.sync.stint import UNFINISHED, Unborn, Working
from engage_sync.sync.worked import JobDone, Settings, Worked

AGAIN = 5.0
"""Seconds after which work that somebody's run was in the way of is tried again; at the latest, a database, too."""
RELOAD = 60.0
"""Seconds after which, while the database fails, the configuration is read again, with the secrets that it names."""
LOOK = 1.0
"""Seconds after which it is looked again whether somebody else's run is over: that costs no child."""
SALT = "daemon.salt"


class Observer(Protocol):
    """Hears after every tick how the daemon is, to tell people what fails and what has recovered."""

    def __call__(self, daemon: Daemon, now: datetime) -> None:
        """Look at the daemon; raises nothing but EngageError."""


class Daemon:
    """One daemon of one project. Not for several threads; `tick` and `close` are called by one."""

    def __init__(
        self,
        root: Path,
        runner: Runner,
        *,
        ticks: Callable[[], float] = time.monotonic,
        opening: Callable[[Settings, Path], State] = open_state,
        observer: Observer | None = None,
        adopting: Callable[[Settings], None] = lambda _: None,
        at_once: bool = False,
    ) -> None:
        """`adopting` is given the settings before they are worked by, and again with every child, and raises Mistake
        where they cannot be done; `at_once` puts nothing off; `ticks` is a monotonic clock in seconds."""
        self._root, self._runner, self._ticks, self._opening = root, runner, ticks, opening
        self._observer, self._adopting, self._at_once = observer, adopting, at_once
        self._log = structlog.get_logger("engage_sync.daemon")
        self.configuration = Configuration(root, runner, ticks)
        self.post = Post(ticks)
        self.settings: Settings | None = None
        self.jobs: dict[str, Job] = {}
        self.last: Worked | None = None
        """What the newest child told."""
        self.trouble: str | None = None
        """Why the state database does not serve; `unserved` is the error that said so last."""
        self.unserved: EngageError | None = None
        self.state: State | None = None
        self.exits: set[int] = set()
        """The exit codes of all jobs so far."""
        self.done: list[JobDone] = []
        """How all jobs went since somebody looked and cleared it."""
        self._freshness, self._patience = Freshness(), Patience()
        self._working: Working | None = None
        self._salt, self._token = "", 0
        self._until: datetime | None = None
        self._barred: dict[str, float] = {}
        self._next_try, self._next_reload = 0.0, 0.0
        self.led = False
        """Whether this daemon has taken the schedule over, and nobody has taken it from it as far as known."""
        self.changes = 0
        """Grows with everything that happens."""

    @property
    def leads(self) -> bool:
        """Whether this daemon schedules; else it stands by."""
        return self.post.lease is not None

    @property
    def busy(self) -> bool:
        """Whether a child works, or what it did is still to be kept."""
        return self._working is not None

    @property
    def working(self) -> tuple[str, ...]:
        """The jobs that a child does now."""
        return () if self._working is None else self._working.batch.jobs

    def demand_post(self) -> None:
        """Raise Locked when another daemon schedules."""
        if self.state is not None and not self.leads:
            who = "another daemon" if self.post.holder is None else self.post.holder.told
            raise Locked(f"{who} schedules this project")

    @property
    def pause(self) -> float:
        """Seconds to wait until the next tick, where nothing happens before."""
        return 1.0 if self.settings is None else min(1.0, self.settings["daemon"]["lease"] / 5)

    def tick(self, now: datetime) -> None:
        """Look at everything once, and do what is to be done. Raises nothing that a project, a CRM or a database can
        cause, but a Mistake where the first settings cannot be done here: then nothing has begun."""
        wrong, began = self.configuration.wrong, self._ticks()
        found = self.configuration.tick(keep_old=self.busy)
        if found is not None:
            self._learn(found)
        self.changes += found is not None or wrong is not self.configuration.wrong
        self._look_after_child()
        if self.settings is None:
            return
        try:
            self._look_after_state(self.settings, now)
        except Locked as error:
            self.post.lost()
            self._stand_down(str(error))
        except EngageError as error:
            self._in_trouble(error, began)
        try:
            self._observe(now)
        except EngageError as error:
            self._in_trouble(error, began)

    def _observe(self, now: datetime) -> None:
        if self._observer is not None:
            self._observer(self, now)

    def idle(self, now: datetime) -> bool:
        """Tell whether there is nothing left to do now."""
        if self.settings is None or self.busy or not self.leads:
            return False
        return choose(self.settings, self.jobs, self._looked_at(now), salt=self._salt_used()) is None

    def _looked_at(self, now: datetime) -> datetime:
        """Give up to when jobs are done: what comes due while `--once` works is left, or it might never end."""
        return now if self._until is None else min(now, self._until)

    def _learn(self, worked: Worked) -> None:
        """Take over what a child tells of the project: settings, which it has checked, and how it stands."""
        if self.last is not None and worked["snapshot"] is None:
            worked = {**worked, "snapshot": self.last["snapshot"], "mirror": self.last["mirror"]}
        self.last = worked
        settings, before = worked["settings"], self.settings
        if settings is None:
            return
        self._adopt(settings, first=before is None)
        if before is not None and before["database"] != settings["database"]:
            self._leave_state()
        self.settings = settings

    def _adopt(self, settings: Settings, *, first: bool) -> None:
        unmet = None
        try:
            self._adopting(settings)
        except Mistake as mistake:
            if first:
                raise
            unmet = f"{mistake} (that stays as it was; the rest is taken over)"
        if unmet not in {None, self.configuration.unmet}:
            self._log.error("a part of the configuration cannot be taken over", because=unmet)
        self.changes += unmet != self.configuration.unmet
        self.configuration.unmet = unmet

    # The state database and the lease

    def _look_after_state(self, settings: Settings, now: datetime) -> None:
        if (self.state is None or self.trouble is not None) and self._ticks() < self._next_try:
            return
        self.state = self.state or self._opening(settings, self._root)
        answered = self.post.tend(self.state, settings["daemon"]["lease"])
        if self.trouble is not None and answered:
            self._log.info("the state database answers again")
            self.trouble = None
        if self.trouble is None:
            self._lead_or_stand_by(self.state, settings, now)

    def _lead_or_stand_by(self, state: State, settings: Settings, now: datetime) -> None:
        lease = self.post.lease
        if self.led and (lease is None or lease.token != self._token):
            self._stand_down("another daemon has taken over")
        if lease is not None and not self.led:
            self._token = lease.token
            self._take_over(state, now)
        if self._working is not None and self._working.result is not None and not self._awaits(self._working):
            self._working = None
        if lease is None:
            self.jobs = {job.name: job for job in state.jobs()}
            return
        self._plan(settings, now)
        while self._step(settings, now):
            pass

    def _take_over(self, state: State, now: datetime) -> None:
        """Begin to schedule: with what is kept, and what another daemon was cut off at."""
        found = state.jobs()
        salt = state.note(SALT)
        if salt is None:
            salt = secrets.token_hex(8)
            state.set_note(SALT, salt)
        self._salt = salt
        self._freshness.remember(state)
        kept = stored(state)
        if kept is not None and self.last is not None:
            # What this daemon saw itself is as old as its start: who led until now has seen more.
            self.last = {**self.last, "snapshot": kept}
        self.jobs = {job.name: job for job in found}
        own = () if self._working is None or self._working.salt != salt else self._working.batch.covered
        self._keep(resumed([job for job in found if job.name not in own], now))
        self._until = now if self._at_once else None
        self.led = True
        self._log.info("this daemon schedules", pid=None if self.post.lease is None else self.post.lease.pid)

    def _stand_down(self, why: str) -> None:
        self._log.warning("this daemon stands by", because=why)
        self.changes += 1
        self.led = False
        if self._working is not None:
            self._working.over, self._working.salt = why, None
            self._working.child.stop()

    def _in_trouble(self, error: EngageError, began: float) -> None:
        tick, before, self.trouble = self._ticks(), self.trouble, str(error)
        if before != self.trouble:
            self._log.error("the state database does not serve", because=self.trouble)
        lease = AGAIN if self.settings is None else self.settings["daemon"]["lease"]
        error.__cause__ = error.__context__ = None  # it is kept, and what led to it holds the connection that failed
        self.unserved, self._next_try = error.with_traceback(None), began + min(AGAIN, lease / RENEWALS)
        if tick >= self._next_reload:  # the password may have changed in a file that is none of the project's
            self._next_reload = tick + RELOAD
            self.configuration.reload()

    def _leave_state(self) -> None:
        """Leave the lease and the database; a database that does not answer forgets us by itself."""
        if self.state is None:
            return
        try:
            self.post.leave()
        except EngageError as error:
            self._log.warning("the lease was not given up", because=str(error))
        self.post.lost()
        self.state.close()
        self.state, self.led = None, False

    # The work

    def _keep(self, changed: Sequence[Job], dropped: Sequence[str] = ()) -> None:
        """Keep jobs in the database, then here. Raises Locked when another daemon leads, Unreachable."""
        if self.state is None or self.post.lease is None:
            raise Locked("another daemon has taken over")
        if changed or dropped:
            self.state.keep_jobs(changed, dropped=dropped, token=self.post.lease.token)
            self.changes += 1
            self.jobs |= {job.name: job for job in changed}
            for name in dropped:
                del self.jobs[name]

    def _plan(self, settings: Settings, now: datetime) -> None:
        wanted = planned(settings, self.jobs.values(), now)
        changed = [job for name, job in wanted.items() if self.jobs.get(name) != job]
        self._keep(changed, [name for name in self.jobs if name not in wanted])

    def _salt_used(self) -> str:
        return "" if self._at_once else self._salt

    def _step(self, settings: Settings, now: datetime) -> bool:
        """Do the next thing, if any: keep what a child did, or start one. Tells whether there may be more."""
        if self._working is not None:
            if self._working.result is None:
                return False
            self._record(self._working, self._working.result, now)
            self._observe(now)  # before what is due again at once has begun
            return True
        self._pass_over_compute(settings, now)
        tick = self._ticks()
        self._barred = {group: until for group, until in self._barred.items() if until > tick}
        batch = choose(settings, self.jobs, self._looked_at(now), salt=self._salt_used(), barred=self._barred)
        if batch is None or self.configuration.files.current is None:
            return False
        if self._writes(batch):
            self._barred[group_of(next(iter(batch.covered)))] = tick + LOOK
            self.exits |= {Locked.exit_code} if self._at_once else set()
            return True
        self._start(settings, batch, now, self.configuration.files.current)
        return True

    def _writes(self, batch: Batch) -> bool:
        """Tell whether somebody else's run is in the way of a batch; asked here, it costs no child."""
        state = self.state
        return state is not None and batch.jobs != ("compact",) and any(one.name == WRITER for one in state.leases())

    def _pass_over_compute(self, settings: Settings, now: datetime) -> None:
        """Leave computing for later where nothing has changed since."""
        job = self.jobs.get(COMPUTE)
        if job is not None and job.due <= now and not self._freshness.stale(settings, self.last, now):
            self._keep([replace(job, due=after(settings, job, now))])

    def _start(self, settings: Settings, batch: Batch, now: datetime, files: Path) -> None:
        covered = [self.jobs[name] for name in sorted(batch.covered)]
        self._freshness.look(settings, now)
        begun = [
            replace(job, due=after(settings, job, now), started_at=now, ended_at=None, run=None) for job in covered
        ]
        self._keep(begun)
        self._log.info("working", jobs=list(batch.jobs))
        dues = {job.name: job.due for job in covered}
        try:
            child = self._runner.start(batch.jobs, files)
        except OSError as error:
            child = Unborn(f"the child could not be started: {error.strerror or error}")
        self._working = Working(child, batch, self._ticks(), now, dues, files, self._salt)
        self._look_after_child()

    def _look_after_child(self) -> None:
        working = self._working
        if working is None:
            return
        working.result = working.result or working.child.ended()
        if working.result is not None:
            return
        limit = None if self.settings is None else self.settings["daemon"]["time_limit"] * len(working.batch.jobs)
        if working.over is None and limit is not None and self._ticks() - working.since > limit:
            working.over = f"it took longer than {limit:g} s (`time_limit`) and was ended"
        if working.over is not None:
            working.child.stop()

    def _awaits(self, working: Working) -> bool:
        """Tell whether the schedule kept here waits for a child's end. Else whoever leads now finds it unfinished and
        does it again, or it is of the database that the project had before."""
        return self.led and working.salt == self._salt

    def _record(self, working: Working, result: Ended, now: datetime) -> None:
        """Keep how the jobs of a child went."""
        worked, told = result.worked, working.told(result, now)
        pairs = [(name, told[job]) for job, names in working.batch.works for name in names if name in self.jobs]
        ended = [working.after(self.jobs[name], done, now) for name, done in pairs]
        lasts = working.over is None and self._until is None  # `--once` ends, and would begin anew with the first pause
        self._keep([self._patience.after(job, now) for job in ended] if lasts else ended)
        tick = self._ticks()
        self._barred |= {group_of(name): tick + AGAIN for name, done in pairs if done["status"] in UNFINISHED}
        self._working = None
        self.done += told.values()
        self.exits |= {one["exit"] for one in told.values()}
        for one in told.values():
            self._log_done(one)
        if worked is not None:
            # What has been read since the child began is newer than what it was given.
            newest = working.files == self.configuration.files.current
            self._learn(worked if newest else {**worked, "settings": None})
            self._freshness.computed(self.state, worked, since=working.started)

    def _log_done(self, one: JobDone) -> None:
        say = self._log.info if one["exit"] in {0, 4} else self._log.warning
        say("worked", job=one["job"], run=one["run"], status=one["status"], exit=one["exit"], message=one["message"])

    # The end

    def call_back(self) -> list[Child]:
        """Ask the children to end, which have so long from now on; give them."""
        children = [] if self._working is None else [self._working.child]
        children += [] if self.configuration.child is None else [self.configuration.child]
        for child in children:
            child.stop()
        return children

    def close(self, *, wait: Callable[[float], object] = time.sleep) -> None:
        """End: the child first, which keeps what it did, then the lease."""
        children = self.call_back()
        while any(child.ended() is None for child in children):
            wait(0.02)
        self._leave(self._working)
        self._working = None
        self.configuration.close()

    def _leave(self, working: Working | None) -> None:
        try:
            if working is not None and self._awaits(working) and self.settings is not None:
                result = working.result or working.child.ended()
                if result is not None and result.worked is not None:
                    self._record(working, result, datetime.now(working.started.tzinfo))
        except EngageError as error:
            self._log.warning("how the work ended was not kept", because=str(error))
        self._leave_state()
