"""What fails now, as conditions with a sentence and an advice, from what the daemon knows anyway: its jobs, the newest
snapshot, the configuration's problems. Reads no database, calls nobody, and imports no heavy library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

from engage_sync.core.alerting import Alert, Condition, clock, duration
from engage_sync.errors import EXIT_BUG, EXIT_DONE, EXIT_INTERRUPTED, EXIT_PARTIAL

if TYPE_CHECKING:
    from engage_sync.core.overview import ConnectorView, Snapshot
    from engage_sync.state.jobs import Job
    from engage_sync.sync.shown import Notes

STATE = "state"
CONFIGURATION = "configuration"
STATE_GRACE = timedelta(seconds=30)
"""So long the state database may be silent before anybody is told: a restart of it is no alert."""

RECENT = 50
"""Pushes whose median is the usual."""
DAYS = 28
"""Days whose largest pushes are remembered: what comes back every midnight or every Monday is usual, too."""
FEWEST_PUSHES = 5
FEWEST_RECORDS = 100
FAR = 5.0
"""Times the median of the recent pushes."""
PEAK = 2.0
"""Times the second largest of the days' largest pushes: one accident does not become the usual, a habit does."""
REFUSED_RECORDS = 10
REFUSED_SHARE = 0.1
"""A push is failing when it had so many records refused, and this share of those that it tried to write."""
PROBLEMS_TOLD = 3
VOLUMES_NOTE = "alerts.volumes"

_CALM = frozenset({EXIT_DONE, EXIT_PARTIAL})
_WRONG, _HELD, _LOCKED, _SILENT, _LOGIN, _STRANGE = 2, 3, 4, 5, 6, 7
_ELSEWHERE = frozenset({_LOCKED, _LOGIN, EXIT_INTERRUPTED})
"""Ends that say nothing of the job: it was in somebody's way, cut off, or refused at the door. What failed before goes
on failing."""
_WORDS = {
    "pull": "the pull from {}",
    "push": "the push to {}",
    "sync": "the sync with {}",
    "reconcile": "the comparison with {}",
    "compute": "computing",
    "compact": "compacting the event store",
}
_ADVICE = {
    _WRONG: "`engage-sync check` says what is wrong in the configuration or the CRM account; mend it, and the next run"
    " goes on.",
    _SILENT: "it is tried again by itself at its next time; `engage-sync status` shows how it stands. If it lasts, see"
    " whether the CRM, or what else is named here, is up and can be reached.",
    _STRANGE: "{look}; it is tried again by itself. If it comes back, report it with that output.",
    EXIT_BUG: "this is a bug: {look}; report it with that output and the daemon's log. It is tried again by itself.",
}


@dataclass(frozen=True, slots=True)
class Volume:
    """How many records the pushes to one connector wrote: the newest at `at`, the recent ones before it (the oldest
    first), and the largest of each day before the newest one's, by ISO date in UTC."""

    at: str
    newest: int
    recent: tuple[int, ...] = ()
    days: Mapping[str, int] = field(default_factory=dict)

    @property
    def far(self) -> bool:
        """Whether the newest push wrote far more than usual: at least FEWEST_RECORDS, FAR times the median of the
        last RECENT pushes, and PEAK times the second largest of the largest pushes of the last DAYS days. Without
        FEWEST_PUSHES before it nothing is usual yet. Median and second largest, since one accident moves neither."""
        if len(self.recent) < FEWEST_PUSHES or self.newest < FEWEST_RECORDS:
            return False
        peaks = sorted(self.days.values(), reverse=True)
        peak = peaks[1] if len(peaks) > 1 else 0
        return self.newest > FAR * median(self.recent) and self.newest > PEAK * peak


@dataclass(frozen=True, slots=True)
class Sight:
    """What the daemon sees. `problems` are the sentences about a configuration that cannot be taken over; `silent` says
    since when, and why, the state database does not answer; `watching_since` is when this process began to schedule:
    nothing counts as late before it had the time to start it."""

    watching_since: datetime
    jobs: Sequence[Job] = ()
    snapshot: Snapshot | None = None
    problems: Sequence[str] = ()
    silent: tuple[datetime, str] | None = None
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    active: Sequence[Alert] = ()
    """What is known to fail."""

    def known(self, name: str) -> Alert | None:
        """Give the alert of a name, if it fails so far."""
        return next((alert for alert in self.active if alert.name == name), None)

    def connector(self, name: str) -> ConnectorView | None:
        """Give what the newest snapshot says of a connector."""
        return None if self.snapshot is None else self.snapshot["connectors"].get(name)


def observe(sight: Sight, missed: timedelta, now: datetime) -> list[Condition]:
    """Give what fails now. `missed`: a job that is so late counts as missed, a cursor that stands so long as stalled
    (`alerts.missed`). Sentences change only where what they say has: no lengths of time, only instants."""
    names = sorted({one.name.partition(":")[2] for one in sight.jobs} - {""})
    connectors = {} if sight.snapshot is None else sight.snapshot["connectors"]
    return [
        *_configuration(sight),
        *_state(sight, now),
        *(found for name in sorted({*names, *connectors}) for found in _connector(sight, name, missed, now)),
        *(found for job in sight.jobs for found in _job(sight, job, missed, now)),
    ]


def keep_volumes(notes: Notes, snapshot: Snapshot, now: datetime) -> dict[str, Volume]:
    """Give the volumes of all connectors, with the pushes of this snapshot that are new; they are kept as a note."""
    kept = notes.note(VOLUMES_NOTE)
    before = _volumes(kept)
    after = {
        name: _with_push(before.get(name), one["last_push"], written(one), now)
        for name, one in snapshot["connectors"].items()
        if one["last_push"] is not None
    }
    text = json.dumps({name: [one.at, one.newest, one.recent, dict(one.days)] for name, one in sorted(after.items())})
    if after and text != kept:
        notes.set_note(VOLUMES_NOTE, text)
    return after


def written(connector: ConnectorView) -> int:
    """Give how many records the last push wrote."""
    return sum(buckets.get("written", 0) for buckets in connector["records"].values())


def _volumes(text: str | None) -> dict[str, Volume]:
    rows = {} if text is None else json.loads(text)
    return {name: Volume(at, newest, tuple(recent), days) for name, (at, newest, recent, days) in rows.items()}


def _with_push(before: Volume | None, at: str, count: int, now: datetime) -> Volume:
    """Add a push. One that is not later than the newest is no new one, unless the clock was put back since."""
    if before is None:
        return Volume(at, count)
    pushed, newest = datetime.fromisoformat(at), datetime.fromisoformat(before.at)
    if pushed <= newest <= now or pushed == newest:
        return before
    day = before.at[:10]
    days = {**before.days, day: max(before.days.get(day, 0), before.newest)}
    return Volume(at, count, (*before.recent, before.newest)[-RECENT:], dict(sorted(days.items())[-DAYS:]))


def _configuration(sight: Sight) -> list[Condition]:
    if not sight.problems:
        return []
    more = len(sight.problems) - PROBLEMS_TOLD
    rest = f" (and {more} more)" if more > 0 else ""
    first = "; ".join(_one_line(problem) for problem in sight.problems[:PROBLEMS_TOLD])
    what = f"the configuration cannot be taken over: {first}{rest}"
    advice = (
        "the daemon works on with the one before. `engage-sync check` shows what is wrong; mended, it is taken over"
    )
    return [Condition(CONFIGURATION, f"{what}\n{advice} by itself.")]


def _state(sight: Sight, now: datetime) -> list[Condition]:
    if sight.silent is None or now - sight.silent[0] < STATE_GRACE:
        return []
    advice = "nothing is synced until it answers again; see that the database is up, has room and can be reached."
    what = f"the state database has not answered since {clock(sight.silent[0])}: {_one_line(sight.silent[1])}"
    return [Condition(STATE, f"{what}\n{advice}")]


def _connector(sight: Sight, name: str, missed: timedelta, now: datetime) -> list[Condition]:
    jobs = [job for job in sight.jobs if job.name.partition(":")[2] == name]
    view = sight.connector(name)
    login, quota = _login(sight, name, jobs), _quota(name, view)
    known = [*login, *quota]
    return [
        *known,
        *_hold(sight, name, jobs),
        # Whoever knows that nothing can be asked knows that nothing comes.
        *(([] if known else _stalled(sight, name, jobs, missed, now)) or _silent(name, view)),
        *([] if view is None else [*_refused(name, view), *_volume(sight, name)]),
    ]


def _login(sight: Sight, name: str, jobs: Sequence[Job]) -> list[Condition]:
    """Tell when the CRM refused the credentials, and nothing went well since."""
    refused = [job for job in jobs if job.exit == _LOGIN and job.ended_at is not None]
    known = sight.known(f"credentials:{name}") if jobs else None
    since = max((_ended(job) for job in refused), default=None if known is None else known.since)
    if since is None or any(_went_well(job) and _ended(job) > since for job in jobs):
        return []
    if not refused and known is not None:
        return [Condition(known.name, known.sentence)]
    what = f"{name} refuses our credentials{_message(refused[0])}"
    advice = (
        f"renew the token or the key that connectors/{name}.yaml names: `engage-sync check` tries it at once. A file"
        " (`${file:…}`) is read again by itself; for an environment variable the daemon must be restarted."
    )
    return [Condition(f"credentials:{name}", f"{what}\n{advice}")]


def _quota(name: str, view: ConnectorView | None) -> list[Condition]:
    if view is None or view["suspended_until"] is None:
        return []
    until = clock(datetime.fromisoformat(view["suspended_until"]))
    what = f"{name} is asked nothing more until {until}: the day's calls are used up, or the CRM told us to wait"
    advice = "nothing is lost and it goes on by itself; `engage-sync status` says why, and how many calls others made."
    return [Condition(f"quota:{name}", f"{what}\n{advice}")]


def _hold(sight: Sight, name: str, jobs: Sequence[Job]) -> list[Condition]:
    """Tell when a run waits for `approve`: the snapshot says so, or a job that ended after it."""
    view = sight.connector(name)
    held = sorted((job for job in jobs if job.exit == _HELD and job.ended_at), key=_ended)
    seen = None if sight.snapshot is None else datetime.fromisoformat(sight.snapshot["at"])
    newer = [job for job in held if view is None or seen is None or _ended(job) > seen]
    if not newer and not (view is not None and view["held"]):
        return []
    last, known = held[-1] if held else None, sight.known(f"held:{name}")
    if last is None and known is not None:
        return [Condition(known.name, known.sentence)]
    run = None if last is None else last.run
    kinds = "" if view is None or not view["holds"] else f" ({', '.join(view['holds'])})"
    which = "a run" if run is None else f"run {run}"
    what = f"{which} of {name} is held before any write{_message(last) or kinds}"
    advice = (
        f"look at it with `engage-sync runs {run}`, then `engage-sync approve {run}`, or mend the cause."
        if run is not None
        else "`engage-sync status` names it; look at it with `engage-sync runs RUN`, then `engage-sync approve RUN`."
    )
    return [Condition(f"held:{name}", f"{what}\n{advice}")]


def _stalled(sight: Sight, name: str, jobs: Sequence[Job], missed: timedelta, now: datetime) -> list[Condition]:
    """Tell when the last pull did not go well, and none has for `missed`; without any, since we watch."""
    pulls = [job for job in jobs if job.name.partition(":")[0] in {"pull", "sync"} and job.started_at is not None]
    view = sight.connector(name)
    noted = None if view is None or view["last_pull"] is None else datetime.fromisoformat(view["last_pull"])
    good = max((at for at in (noted, *(job.succeeded_at for job in pulls)) if at is not None), default=None)
    bad = any(job.started_at and (good is None or job.started_at > good) and job.ended_at for job in pulls)
    if not bad or now - (good or sight.watching_since) < missed:
        return []
    what = "has ever gone well" if good is None else f"has gone well since {clock(good)}: its cursor stands"
    advice = (
        "`engage-sync status` and `engage-sync runs` show what ended the pulls; they are tried again by themselves."
    )
    return [Condition(f"stalled:{name}", f"no pull from {name} {what}\n{advice}")]


def _silent(name: str, view: ConnectorView | None) -> list[Condition]:
    """Tell when pulls go well and bring nothing: their cursor may stand without any error."""
    if view is None or not view["silent"]:
        return []
    since = min(datetime.fromisoformat(one["since"]) for one in view["silent"].values())
    usual = duration(timedelta(seconds=max(one["usual"] for one in view["silent"].values())))
    which = ", ".join(sorted(view["silent"]))
    what = f"nothing new has come from {name} since {clock(since)} ({which}), although its pulls go well: {usual}"
    advice = "see in the CRM whether something has changed since that our user may see; `engage-sync pull --reconcile`"
    return [Condition(f"stalled:{name}", f"{what} without are usual at most\n{advice} finds and mends what was lost.")]


def _refused(name: str, view: ConnectorView) -> list[Condition]:
    counts = [(buckets.get("refused", 0) + buckets.get("failed", 0), buckets) for buckets in view["records"].values()]
    bad = sum(count for count, _ in counts)
    tried = bad + written(view)
    if bad < REFUSED_RECORDS or bad < REFUSED_SHARE * tried:
        return []
    what = f"{name} refuses many records: {bad:,} of the {tried:,} that the last push had to write"
    advice = "`engage-sync failures` shows them by reason; they are tried again by themselves."
    return [Condition(f"refused:{name}", f"{what}\n{advice}")]


def _volume(sight: Sight, name: str) -> list[Condition]:
    volume = sight.volumes.get(name)
    if volume is None or not volume.far:
        return []
    usual = round(median(volume.recent))
    what = f"the last push to {name} wrote far more than usual: {volume.newest:,} records, where {usual:,} are usual"
    advice = "see that it was meant: `engage-sync runs` lists it; `engage-sync rollback RUN` takes a run back."
    return [Condition(f"volume:{name}", f"{what}\n{advice}")]


def _job(sight: Sight, job: Job, missed: timedelta, now: datetime) -> list[Condition]:
    kind, _, name = job.name.partition(":")
    told = _WORDS.get(kind, f"the job {kind}{' of {}' if name else ''}").format(name)
    found = _failing(sight, job, told)
    if not name and job.exit == _HELD:
        advice = "`engage-sync status` shows what waits, and for what."
        found.append(Condition(f"held:{job.name}", f"{told} is held{_message(job)}\n{advice}"))
    if now - max(job.due, sight.watching_since) >= missed:
        what = f"{told} was due at {clock(job.due)} and has not begun"
        advice = "see with `engage-sync status` what works instead: another run, a job that hangs, another daemon."
        found.append(Condition(f"missed:{job.name}", f"{what}\n{advice}"))
    return found


def _failing(sight: Sight, job: Job, told: str) -> list[Condition]:
    if job.exit is None or _went_well(job):
        return []
    # A job that runs has the exit of its last run, and no run's number.
    if job.ended_at is None or job.exit in _ELSEWHERE or _of_quota(job):
        known = sight.known(f"failing:{job.name}")
        return [] if known is None else [Condition(known.name, known.sentence)]
    look = "`engage-sync runs` lists the runs" if job.run is None else f"`engage-sync runs {job.run}` shows the run"
    run = "" if job.run is None else f"run {job.run}, "
    what = f"{told} failed ({run}exit {job.exit}){_message(job)}"
    advice = _ADVICE.get(job.exit, "{look}; it is tried again by itself.").format(look=look)
    return [Condition(f"failing:{job.name}", f"{what}\n{advice}")]


def _of_quota(job: Job) -> bool:
    """Whether the CRM's quota ended a job, before its work or on the way, which is told as that: for as long as it
    lasts, which may be shorter than until this job's next time."""
    return job.exit == _SILENT and job.status in {"suspended", "partial"}


def _went_well(job: Job) -> bool:
    return job.exit in _CALM or job.exit == _HELD


def _ended(job: Job) -> datetime:
    return job.ended_at or datetime.min.replace(tzinfo=UTC)


def _message(job: Job | None) -> str:
    return "" if job is None or not job.message else f": {_one_line(job.message)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
