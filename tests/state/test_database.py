from __future__ import annotations

import os
import select
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import PGconn, PollingStatus

from engage_sync.errors import Mistake, Unreachable
from engage_sync.state.database import Database, backend_of
from engage_sync.state.postgresql import PostgreSQL
from engage_sync.state.sqlite import SQLite
from engage_sync.state.store import State
from tests.forks import fork

from .conftest import NOW, Place
from .frames import last, live, save, values_frame


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://host/name", "mysql names no database"),
        ("engage.db", "without ://"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
    ],
)
def test_other_urls_get_a_sentence(url: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=words):
        State.open(url, key_file=tmp_path / "key")


def test_folders_are_made(tmp_path: Path) -> None:
    State.open(f"sqlite:///{tmp_path}/var/deep/engage.db", key_file=tmp_path / "key").close()
    assert (tmp_path / "var" / "deep" / "engage.db").exists()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "engage.db").write_text("notes about nothing\n" * 100)
    with pytest.raises(Mistake, match="not an SQLite database"):
        State.open(f"sqlite:///{tmp_path}/engage.db", key_file=tmp_path / "key")


def test_a_folder_or_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "engage.db"):
        with pytest.raises(Unreachable, match="state database"):
            State.open(f"sqlite:///{path}", key_file=tmp_path / "key")


def test_no_server(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://someone:hunter2@/name?host={tmp_path}"
    with pytest.raises(Unreachable, match="PostgreSQL database name") as caught:
        State.open(url, key_file=tmp_path / "key")
    assert "hunter2" not in str(caught.value)


BLOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_locked_file_gets_a_sentence_and_serves_again(sqlite_template: Path, tmp_path: Path) -> None:
    path = tmp_path / "engage.db"
    path.write_bytes(sqlite_template.read_bytes())
    state = State(Database(SQLite(path, busy_seconds=0.05)), tmp_path / "key")
    blocker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            BLOCKER,
            str(path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert blocker.stdout is not None
    assert blocker.stdout.readline() == "held\n"
    with pytest.raises(Unreachable, match="another program keeps it locked"):
        state.set_note("a", "b")
    with pytest.raises(Unreachable, match="another program keeps it locked"):
        state.remember("crm", "contacts", values_frame({"1": {"a": "x"}}), 1)
    assert state.note("a") is None
    blocker.communicate("")
    state.set_note("a", "b")
    state.remember("crm", "contacts", values_frame({"1": {"a": "x"}}), 1)
    assert (state.note("a"), last(state, "a")) == ("b", {"1": ("x",)})
    state.close()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import polars as pl
from engage_sync.errors import Unreachable
from engage_sync.state.store import State
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
state = State.open(sys.argv[1], key_file=Path("key"))
limit = 600_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
def page(number):
    ids = [f"{number}-{row}" for row in range(100)]
    records = pl.DataFrame({"record": ids, "values": ['{"a": "' + "x" * 500 + '"}'] * 100, "updated_at": [""] * 100})
    state.save_page("crm", "contacts", records=records, vanished=[], merged={}, cursor=str(number), run=1, done=False)
try:
    for number in range(1000):
        page(number)
except Unreachable as error:
    print("rows:", error)
ids = [str(row) for row in range(50_000)]
values = pl.DataFrame({"record": ids, "values": ['{"a": "' + "x" * 100 + '"}'] * 50_000})
try:
    state.remember("crm", "contacts", values, 1)
except Unreachable as error:
    print("arrow:", error)
"""


def test_a_full_disk_gets_a_sentence_and_leaves_whole_pages(tmp_path: Path) -> None:
    """A limit on file sizes stands in for the disk: the write fails in the same place."""
    url = f"sqlite:///{tmp_path}/engage.db"
    process = fork(FULL_DISK, url, cwd=tmp_path)
    printed, _ = process.communicate()
    assert process.returncode == 0
    assert [line.split(":")[0] for line in printed.splitlines()] == ["rows", "arrow"]
    assert "state database" in printed
    with State.open(url, key_file=tmp_path / "key") as state:
        cursor = state.cursor("crm", "contacts")
        assert cursor is not None
        assert len(live(state)) == (int(cursor) + 1) * 100
        assert last(state, "a") == {}


def test_faults_of_this_program_are_no_trouble_of_the_database(state: State) -> None:
    with pytest.raises((sqlite3.Error, psycopg.Error)) as caught:
        state.save_plan(99, values_frame({}))
    assert "foreign key" in str(caught.value).lower()


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_server_that_hung_up_is_asked_again_over_another_connection(postgresql_server: str, place: Place) -> None:
    with place.open() as state:
        state.set_note("a", "b")
        with state._database.arrow() as arrow:
            assert arrow.first("SELECT value FROM engage_note") == ("b",)
        with psycopg.connect(postgresql_server, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                (psycopg.conninfo.conninfo_to_dict(place.driver_uri())["dbname"],),
            )
        state.set_note("a", "c")
        with state._database.arrow() as arrow:
            assert arrow.first("SELECT value FROM engage_note") == ("c",)


OTHER = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(*c.execute(sys.argv[2]).fetchone()); c.close()"


def test_rows_and_arrow_take_turns_beside_other_processes(sqlite_template: Path, tmp_path: Path) -> None:
    """Two SQLite libraries in one process drop each other's locks; then another process deletes the log under us."""
    path = tmp_path / "engage.db"
    path.write_bytes(sqlite_template.read_bytes())

    def as_another_process_sees(sql: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", OTHER, str(path), sql], check=True, capture_output=True, text=True
        ).stdout.strip()

    with State.open(f"sqlite:///{path}", key_file=tmp_path / "key") as state:
        for number in range(6):
            save(state, 1, {str(number): {"a": "x"}}, cursor=str(number))
            assert len(live(state)) == number + 1
            assert as_another_process_sees("SELECT count(*) FROM engage_record") == str(number + 1)
            state.set_note("step", str(number))
            assert as_another_process_sees("SELECT value FROM engage_note") == str(number)
            assert state.note("step") == str(number)


def test_threads_share_a_state(state: State) -> None:
    run = state.start_run("sync", NOW, NOW)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(4):
                save(state, run, {f"{number}-{step}": {"a": "x"}}, cursor="c")
                assert f"{number}-{step}" in live(state)
                state.remember("crm", "contacts", values_frame({f"{number}-{step}": {"a": "x"}}), run)
                state.set_note(f"{number}", str(step))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(live(state)) == len(last(state)) == 16


def test_a_state_closes_its_file_for_good(place: Place) -> None:
    state = place.open()
    save(state, 1, {"1": {"a": "x"}})
    live(state)
    state.close()
    if place.dialect == "sqlite":
        open_files = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
        assert str(place.file()) not in open_files
    with place.open() as again:
        assert len(live(again)) == 1


def test_a_closed_state_stays_closed(place: Place) -> None:
    """SQLite's file would be opened behind the gate's back."""
    state = place.open()
    with state._database.reading() as transaction:
        state.close()
        assert transaction.first("SELECT 1") == (1,)  # what is under way ends
    state.close()
    for use in (lambda: state.set_note("a", "b"), lambda: live(state), lambda: state.note("a")):
        with pytest.raises(RuntimeError, match="was closed"):
            use()
    if place.dialect == "sqlite":
        open_files = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
        assert str(place.file()) not in open_files


@pytest.mark.parametrize(
    ("written", "timeout"),
    [("u:p%3F@127.0.0.1:PORT/d", 30_000), ("127.0.0.1:PORT/d?sslmode=disable&tcp_user_timeout=5000", 5_000)],
)
def test_a_server_whose_machine_is_gone_is_noticed(written: str, timeout: int) -> None:
    """By the options of the socket itself, of a connection to somebody who never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = "postgresql+psycopg://" + written.replace("PORT", str(server.getsockname()[1]))
        backend = backend_of(url)
        assert isinstance(backend, PostgreSQL)
        begun = PGconn.connect_start(backend.uri.encode())
        while begun.connect_poll() == PollingStatus.WRITING:
            select.select([], [begun.socket], [], 5)
        with socket.socket(fileno=os.dup(begun.socket)) as line:
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT]
            assert [line.getsockopt(socket.IPPROTO_TCP, one) for one in options] == [15, 5, 3, timeout]
        begun.finish()
