from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, NullPool, create_engine

from engage_sync.errors import Locked, Mistake, Unreachable
from engage_sync.state import daemon_tables, migrate, tables
from engage_sync.state.database import Database, backend_of
from engage_sync.state.store import State
from tests.forks import fork

from .conftest import NOW, Place
from .outbox import changes, told

METADATA = tables.RunRow.metadata
assert METADATA is daemon_tables.LeaseRow.metadata


def engine(place: Place) -> Engine:
    return create_engine(place.url, poolclass=NullPool)


def run_sql(place: Place, sql: str) -> None:
    if place.dialect == "sqlite":
        connection = sqlite3.connect(place.file())
        with connection:
            connection.execute(sql)
        connection.close()
    else:
        with psycopg.connect(place.driver_uri()) as server:
            server.execute(sql.encode())


def test_a_migrated_schema_equals_the_declared_tables(empty: Place) -> None:
    empty.open().close()
    with engine(empty).connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": migrate.VERSION_TABLE, "compare_server_default": True}
        )
        assert compare_metadata(context, METADATA) == []


def test_the_comparison_sees_a_difference(empty: Place) -> None:
    empty.open().close()
    run_sql(empty, "ALTER TABLE engage_link ADD COLUMN more TEXT")
    run_sql(empty, "DROP TABLE engage_note")
    with engine(empty).connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrate.VERSION_TABLE})
        assert len(compare_metadata(context, METADATA)) == 2


def test_a_fresh_schema_holds_the_same_statements(tmp_path: Path) -> None:
    """SQLite keeps the text of every statement, with what Alembic does not compare."""
    migrated, fresh = tmp_path / "migrated.db", tmp_path / "fresh.db"
    State.open(f"sqlite:///{migrated}", key_file=tmp_path / "key").close()
    METADATA.create_all(create_engine(f"sqlite:///{fresh}", poolclass=NullPool))

    def statements(path: Path) -> set[str]:
        connection = sqlite3.connect(path)
        rows = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name <> ?", (migrate.VERSION_TABLE,)
        ).fetchall()
        connection.close()
        return {"".join(sql.split()) for (sql,) in rows}

    assert statements(migrated) == statements(fresh)


def test_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    assert ScriptDirectory.from_config(config).get_current_head() == migrate.HEAD


def test_opening_again_keeps_what_is_there(empty: Place) -> None:
    with empty.open() as state:
        state.start_run("sync", NOW, NOW)
    with empty.open() as state:
        assert [run.id for run in state.runs(5)] == [1]


def test_a_newer_schema_is_refused(place: Place) -> None:
    run_sql(place, f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(Mistake, match=f"schema 9999.*newer version.*{migrate.HEAD}"):
        place.open()


def test_a_disk_that_is_full_while_the_tables_are_made(tmp_path: Path) -> None:
    """A limit on file sizes stands in for the disk."""
    url, (before, hard) = f"sqlite:///{tmp_path}/engage.db", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(Unreachable, match=r"engage\.db does not answer: "):
            State.open(url, key_file=tmp_path / "key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
    State.open(url, key_file=tmp_path / "key").close()


def make_version(place: Place, revision: str) -> None:
    """Create the tables as an older version of the program did."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    with engine(place).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_a_schema_is_not_changed_under_a_run_of_an_older_version(empty: Place) -> None:
    make_version(empty, "0003")
    writer = backend_of(empty.url)
    with writer.lock("engage-sync push"):
        with pytest.raises(Locked, match=r"upgraded from schema 0003 to .*, but another run holds .*engage-sync push"):
            empty.open()
        assert migrate.version_of(Database(backend_of(empty.url))) == "0003"
    with empty.open() as state, state.lock("engage-sync push"):
        empty.open().close()  # nothing is to be done: whoever only reads is not in the way


def test_a_full_database_of_the_first_version_goes_on(empty: Place) -> None:
    make_version(empty, "0001")
    times = "'2026-06-0{0}T12:30:00.000000Z', '2026-06-0{0}T12:30:00.000000Z'"
    for day in (1, 2):
        run_sql(
            empty,
            "INSERT INTO engage_run (id, command, as_of, started_at, status, held, recorded)"
            f" VALUES ({day}, 'sync', {times.format(day)}, 'done', '[]', TRUE)",
        )
        run_sql(empty, f"INSERT INTO engage_verdict_set (run, entity, total, changed) VALUES ({day}, 'user', 1, 1)")
    run_sql(
        empty,
        "INSERT INTO engage_verdict (entity, external_id, valid_from, valid_to, document)"
        " VALUES ('user', 'u1', 1, 2, 'old'), ('user', 'u1', 2, NULL, 'new')",
    )
    run_sql(empty, "INSERT INTO engage_user (external_id, email, deactivated) VALUES ('u1', 'a@ex.com', FALSE)")
    with empty.open() as state:
        assert state.changed_verdicts("user", since=1, run=2).rows() == [("u1", "old", "new")]
        assert state.history("user", "u1").rows() == [(1, 2, "old"), (2, None, "new")]
        assert (state.verdict_count("user", 2), state.user_by_email("a@ex.com")) == (1, ["u1"])
        found = state.previous(NOW + timedelta(days=1))
        assert found is not None
        state.save_history(
            2, since=found.id, transitions=changes(("u1", "stage", "", None, "new")), deliveries=told("k")
        )
        assert state.transitions("user", "u1")["after"].to_list() == ["new"]
        assert state.pending_deliveries()["key"].to_list() == ["k"]
    with engine(empty).connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrate.VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []


def test_a_copy_is_kept_before_an_sqlite_file_is_migrated(tmp_path: Path) -> None:
    """The copy is an older version's database, whole, and the two newest stay."""
    place = Place("sqlite", f"sqlite:///{tmp_path / 'engage [1].db'}", tmp_path / "key")
    make_version(place, "0003")
    run_sql(place, "INSERT INTO engage_note (key, value) VALUES ('a', 'b')")
    for revision in ("0001", "0002"):
        (tmp_path / f"engage [1].db.before-{revision}").touch()
    place.open().close()
    place.open().close()
    kept = tmp_path / f"engage [1].db.before-{migrate.HEAD}"
    assert sorted(tmp_path.glob("*before*")) == [tmp_path / "engage [1].db.before-0002", kept]
    copy = sqlite3.connect(kept)
    assert copy.execute(f"SELECT version_num FROM {migrate.VERSION_TABLE}").fetchall() == [("0003",)]
    assert copy.execute("SELECT key, value FROM engage_note").fetchall() == [("a", "b")]
    assert copy.execute("SELECT name FROM sqlite_master WHERE name = 'engage_lease'").fetchall() == []
    copy.close()
    with State.open(f"sqlite:///{kept}", key_file=tmp_path / "key") as state:
        assert state.note("a") == "b"


def test_where_no_copy_can_be_kept_nothing_is_migrated(tmp_path: Path) -> None:
    place = Place("sqlite", f"sqlite:///{tmp_path / 'engage.db'}", tmp_path / "key")
    make_version(place, "0003")
    (tmp_path / f"engage.db.before-{migrate.HEAD}").mkdir()
    with pytest.raises(Unreachable, match="it is a folder"):
        place.open()
    connection = sqlite3.connect(place.file())
    assert connection.execute(f"SELECT version_num FROM {migrate.VERSION_TABLE}").fetchall() == [("0003",)]
    connection.close()


OPENER = """
import sys
from pathlib import Path
from engage_sync.state.store import State
sys.stdin.readline()
with State.open(sys.argv[1], key_file=Path(sys.argv[2])) as state:
    state.set_note(sys.argv[3], "opened")
"""


def test_several_processes_may_create_it_at_once(empty: Place) -> None:
    openers = [fork(OPENER, empty.url, str(empty.key_file), str(number), stdin=True) for number in range(2)]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    assert [opener.communicate()[1] for opener in openers] == ["", ""]
    with empty.open() as state:
        assert [state.note(str(number)) for number in range(2)] == ["opened"] * 2


def test_a_ready_database_is_opened_without_the_heavy_libraries(place: Place) -> None:
    code = (
        "import sys; from pathlib import Path; from engage_sync.state.store import State\n"
        "state = State.open(sys.argv[1], key_file=Path(sys.argv[2])); state.users(); state.cursor('a', 'b')\n"
        "print(sorted({'alembic', 'sqlalchemy', 'sqlmodel', 'pyarrow', 'pandas', 'cryptography'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, place.url, str(place.key_file)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
