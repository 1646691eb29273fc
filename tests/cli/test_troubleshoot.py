"""The guide's table of symptoms, provoked as a user meets them: what a person sees holds the quoted words, taken from
the table, the exit code is the table's, and what it says to do mends it. `ELSEWHERE` names the tests that provoke what
would take too long here."""

from __future__ import annotations

import ast
import fcntl
import re
import socket
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import requests

from engage_sync.sandbox import salesforce_server, server
from engage_sync.sandbox.access import OAuthApp
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.server import Options, Sandbox
from engage_sync.state import leases
from engage_sync.state.database import Database, backend_of
from engage_sync.state.store import WRITER, State
from tests.cli.conftest import NOW, Ended, Run
from tests.sync.project import empty_database

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide" / "troubleshoot.md"
LATER = "2026-06-04T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Row:
    """A row: what it quotes, and the exit codes that it or its section names; without any, all are right."""

    quotes: tuple[str, ...]
    codes: frozenset[int]


@cache
def rows() -> tuple[Row, ...]:
    """Read the table."""
    found = []
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]:
        heading, _, body = section.partition("\n")
        general = re.search(r"\(exit (\d+)\)", heading)
        for symptom in re.findall(r"^\| (?!you see|---)(.+?) \| .+ \| .+ \|$", body, re.M):
            own = re.findall(r"exit (\d+)", symptom) or ([general[1]] if general else [])
            quotes = tuple(quote for quote in re.findall(r"`([^`]+)`", symptom) if " " in quote)
            found.append(Row(quotes, frozenset(map(int, own))))
    return tuple(found)


def holds(text: str, quote: str) -> bool:
    """Tell whether a text says what is quoted; … is what the program fills in, and lines end where the window does."""
    return re.search(".*".join(map(re.escape, quote.split("…"))), " ".join(text.split())) is not None


def seen(ended: Ended, *words: str) -> None:
    """Demand that what a person sees holds each quote that has such words, and ends as its row says."""
    for word in words:
        [(row, quote)] = [(row, quote) for row in rows() for quote in row.quotes if word in quote]
        assert holds(f"{ended.out}\n{ended.err}", quote), (quote, ended)
        assert ended.code in (row.codes or {ended.code}), (quote, ended)


class Folder:
    """A project and the command line in it."""

    def __init__(self, run: Run, root: Path) -> None:
        self.root, self._run = root, run

    def __call__(self, *arguments: str) -> Ended:
        return self._run(*arguments, "--project", str(self.root))

    def done(self, *arguments: str) -> Ended:
        """Run a command that must end well."""
        ended = self(*arguments)
        assert ended.code == 0, (arguments, ended)
        return ended

    def change(self, file: str, old: str, new: str) -> None:
        """Edit a file, as the row says or as the trouble wants it."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text, old
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def sql(self, statement: str) -> None:
        """Do to the database what no command does."""
        connection = sqlite3.connect(self.root / "var" / "engage.db")
        with connection:
            connection.execute(statement)
        connection.close()


@pytest.fixture
def here(run: Run, project: Path) -> Folder:
    """A project whose fields exist; its database has its tables already, which take as long as all the rest."""
    made = Folder(run, project)
    (project / "var" / "engage.db").write_bytes(empty_database())
    made.done("provision", "--apply")
    return made


def test_the_program_does_not_start(run: Run, here: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen(run("status", "--project", str(tmp_path)), "is not a project")
    file, token = "connectors/hubspot.yaml", tmp_path / "token"
    monkeypatch.delenv("HUBSPOT_ACCESS_TOKEN")
    seen(here("pull"), "the environment variable")
    here.change(file, "${HUBSPOT_ACCESS_TOKEN}", f"${{file:{token}}}")
    seen(here("pull"), "the secret file")
    token.write_text(server.TOKEN)
    here.done("pull")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        here.change("config/engage.yaml", "port: 8080", f"port: {taken.getsockname()[1]}")
        seen(here("serve"), "cannot listen on")
    seen(here("show", "users"), "nothing has been computed yet")
    here.done("compute", "--as-of", NOW)
    here.done("show", "users")
    here.change("config/model.yaml", "activity:", "activities:")
    seen(here("compute"), "did you mean")
    here.change("config/model.yaml", "activities:", "activity:")
    here.done("compute", "--as-of", NOW)


def test_the_state_cannot_be_opened(here: Folder) -> None:
    here.done("sync", "--as-of", NOW)
    with closing(sqlite3.connect(here.root / "var" / "engage.db")) as state:
        [(version,)] = state.execute("SELECT version_num FROM engage_schema")
    here.sql("UPDATE engage_schema SET version_num = '9999'")
    seen(here("status"), "made by a newer version of engage-sync")
    seen(here("sync"), "made by a newer version of engage-sync")
    here.sql(f"UPDATE engage_schema SET version_num = '{version}'")
    here.done("status")
    file = here.root / "var" / "engage.db"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    seen(here("status"), "the file is damaged")
    file.write_text("text " * 100)
    seen(here("status"), "is not an SQLite database")
    file.write_bytes(whole)
    here.change("config/engage.yaml", "sqlite:///var/engage.db", "sqlite:////proc/engage.db")
    seen(here("status"), "its folder exists and may be written")
    here.change("config/engage.yaml", "sqlite:////proc/engage.db", "postgresql+psycopg://engage@127.0.0.1:1/engage")
    seen(here("status"), "the state database …")
    here.change("config/engage.yaml", "postgresql+psycopg://engage@127.0.0.1:1/engage", "sqlite:///var/engage.db")
    here.done("sync", "--as-of", NOW)


def test_the_key_file_was_left_behind(here: Folder, crm: Sandbox, tmp_path: Path) -> None:
    """Of an app whose refresh token is rotated, which is the secret that is lost with it."""
    app = "{client_id: sandbox-app, client_secret: sandbox-secret, refresh_token: sandbox-refresh}"
    here.change("connectors/hubspot.yaml", "auth:\n  access_token: ${HUBSPOT_ACCESS_TOKEN}", f"auth: {app}")
    with server.start(options=Options(oauth=OAuthApp(rotate=True))) as rotating:
        here.change("connectors/hubspot.yaml", crm.base_url, rotating.base_url)
        here.done("provision", "--apply")
        key = here.root / "var" / "memory.key"
        key.rename(tmp_path / "key")
        seen(here("pull"), "was encrypted with another key than")
        (tmp_path / "key").replace(key)
        here.done("pull")
        key.unlink()
        seen(here("pull"), "was encrypted with another key than")
        here.sql("DELETE FROM engage_memory")
        assert here("pull").code == 6
    with server.start(options=Options(oauth=OAuthApp(refresh_token="another"))) as installed:
        here.change("connectors/hubspot.yaml", rotating.base_url, installed.base_url)
        here.change("connectors/hubspot.yaml", "sandbox-refresh", "another")
        here.done("pull")


def test_a_run_is_held(here: Folder, crm: Sandbox) -> None:
    engage, model = "config/engage.yaml", "config/model.yaml"
    here.change(engage, "min_records: 100", "min_records: 1")
    crm.faults.add(Fault("invalid_token", path="*/objects/companies*", times=None))
    seen(here("pull"), "HubSpot answered")
    crm.faults.clear()
    seen(here("push", "--as-of", NOW), "is not whole yet; run")
    here.done("pull")
    here.change(engage, "store: var/events", "store: var/none")
    seen(here("push", "--as-of", NOW), "there is no message at all")
    here.change(engage, "store: var/none", "store: var/events")
    here.done("push", "--as-of", NOW)
    seen(here("sync", "--as-of", LATER), "the newest message is")
    here.change(engage, "max_event_age: 24h", "max_event_age:")
    here.change(model, "https://console.example.com/users", "https://elsewhere.example.com/users")
    seen(told := here("sync", "--as-of", LATER), "records written before would be changed")
    here.done("approve", re.findall(r"engage-sync approve (\d+)", told.out)[0])
    here.change(engage, "max_change_share: 0.3", "max_change_share: 1.0")
    here.change(engage, "store: var/events", "store: var/none")
    seen(here("sync", "--as-of", LATER), "would have values cleared")
    here.change(engage, "store: var/none", "store: var/events")
    here.change(model, "window: 30d", "window: 1h")
    seen(here("sync", "--as-of", LATER), "would be inactive")
    here.change(model, "window: 1h", "window: 30d")
    here.done("sync", "--as-of", LATER)
    crm.store.archive("contacts", crm.store.ids("contacts")[-1])
    seen(here("sync", "--as-of", LATER), "records of the last push are gone")
    here.change(engage, "max_gone_share: 0.1", "max_gone_share: 1.0")
    here.done("sync", "--as-of", LATER)
    address, token = f"{crm.base_url}/crm/v3/properties/contacts/engage_link", {"Authorization": f"Bearer {crm.token}"}
    assert requests.delete(address, headers=token, timeout=10).status_code == 204
    seen(here("sync", "--as-of", LATER), "since the last push", "is gone")
    here.done("provision", "--apply")
    here.done("sync", "--as-of", LATER)
    here("compute", "--as-of", "2099-01-01")
    seen(told := here("sync"), "before the newest recorded run")
    here("approve", re.findall(r"engage-sync approve\s+(\d+)", told.out)[0])
    assert "before the newest recorded run" not in here("sync").out


def test_somebody_else_works_or_the_crm_has_had_enough(
    here: Folder, crm: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State.open(f"sqlite:///{here.root}/var/engage.db", key_file=here.root / "key")
    with state, state.lock("engage-sync pull"):
        seen(here("sync", "--as-of", NOW), "another run holds the lock")
        assert "engage-sync pull" in here.done("status").out
    leases.take(Database(backend_of(f"sqlite:///{here.root}/var/engage.db")), WRITER, "engage-sync daemon", 30.0)
    here.sql("UPDATE engage_lease SET host = 'elsewhere', place = 'elsewhere', pid = 1")
    seen(here("sync", "--as-of", NOW), "holds the lease")
    here.sql("DELETE FROM engage_lease")  # as when its time has passed
    events = here.root.parent / "messages.jsonl"
    with (here.root / "var" / "events.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seen(here("import", str(events)), "Another import or compaction")
    here.done("import", str(events))
    file = "connectors/hubspot.yaml"
    here.done("sync", "--as-of", NOW)
    crm.meter.spend(1_000)
    here.change(file, "daily_share: 0.5", "daily_share: 0.001")
    seen(here("sync", "--as-of", NOW), "nothing more is asked of", "our share is")
    seen(here("status"), "our share of the day's calls is used up")
    here.change(file, "daily_share: 0.001", "daily_share: 0.5")
    crm.faults.add(Fault("too_many_daily", times=None))
    seen(here("sync", "--as-of", NOW), "the account's calls of this day are used up")
    crm.faults.clear()
    here.done("sync", "--as-of", NOW)
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "revoked")
    seen(here("sync", "--as-of", NOW), "HubSpot answered", "Check the token in")
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", server.TOKEN)
    here.done("sync", "--as-of", NOW)
    with server.start(options=Options(portal=2)) as other:
        here.change(file, crm.base_url, other.base_url)
        seen(here("sync", "--as-of", NOW), "reaches the account")
        here.change(file, other.base_url, crm.base_url)
    here.done("sync", "--as-of", NOW)


def test_salesforce_refuses_the_login(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with salesforce_server.start() as crm:
        assert run("init", str(tmp_path), "--crm", "salesforce", "--base-url", crm.base_url).code == 0
        here = Folder(run, tmp_path)
        monkeypatch.setenv("SALESFORCE_CLIENT_ID", crm.client_id)
        monkeypatch.setenv("SALESFORCE_CLIENT_SECRET", "wrong")
        seen(here("pull"), "Salesforce refused the login at")
        monkeypatch.setenv("SALESFORCE_CLIENT_SECRET", crm.client_secret)
        here.done("pull")
        session = f"instance_url: {crm.base_url}\nauth: {{session_id: 00D5g00000000ended}}\nschedule:"
        file = tmp_path / "connectors" / "salesforce.yaml"
        before = file.read_text(encoding="utf-8")
        file.write_text(re.sub(r"^auth:\n(  .*\n)+(.*\n)*?schedule:", session, before, count=1, flags=re.M))
        seen(here("pull"), "the session of auth.session_id has ended")
        file.write_text(before)
        here.done("pull")


def test_values_are_missing_or_wrong(
    here: Folder, crm: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, lines = "connectors/hubspot.yaml", tmp_path / "lines.jsonl"
    lines.write_text('{"type": "track", "userId": "u1"}\n')
    seen(here("import", str(lines)), "refused; each line")
    here.change("config/engage.yaml", "store: var/events", "store: var/none")
    seen(here("compute", "--as-of", NOW), "holds no message")
    here.change("config/engage.yaml", "store: var/none", "store: var/events")
    crm.access.allow("narrow", frozenset({"crm.objects.contacts.read", "crm.objects.contacts.write"}))
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "narrow")
    seen(here("check"), "the token lacks the scope")
    seen(here("sync", "--as-of", NOW), "give the app or key")
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", server.TOKEN)
    here.done("check")
    here.change(file, "engage_events_30d: events", "engage_events_30d: {from: name, type: text}")
    seen(here("check"), "field and cannot hold")
    assert here("sync", "--as-of", NOW).code == 1
    assert "field and cannot hold" in " ".join(here.done("failures", "--json").out.split())
    here.change(file, "engage_events_30d: {from: name, type: text}", "engage_events_30d: events")
    here.change(file, "engage_link: link", "engage_home: link")
    seen(here("check"), "has no field")
    assert here("sync", "--as-of", NOW).code == 1
    here.done("provision", "--apply")
    here.done("sync", "--as-of", NOW)


ALERTS = "tests/sync/test_alerts.py"
ELSEWHERE = {
    "silent although others go on": "tests/sync/test_brakes.py",
    "is hidden from the credentials": "tests/core/test_brakes.py",
    "this machine's clock (… that may lie between them": "tests/sync/test_brakes.py",
    "another daemon has taken over": "tests/sync/test_daemon.py",
    "another process has taken over: nothing more is written by this one": "tests/state/test_leases.py",
    "gave no answer to": "tests/sync/fault_matrix.py",
    "HubSpot refused the access token": "tests/connectors/test_hubspot_http.py",
    "reaches an account that it does not name": "tests/sync/test_accounts.py",
    "is kept in …": "tests/sync/fault_matrix.py",
    "is there, but hidden from the credentials": "tests/sync/test_doctor.py",
    "failed (…exit …)": ALERTS,
    "is held before any write": ALERTS,
    "was due at … and has not begun": ALERTS,
    "no pull from …": ALERTS,
    "its cursor stands": ALERTS,
    "nothing new has come from …": "tests/sync/test_rhythm.py",
    "although its pulls go well": "tests/sync/test_rhythm.py",
    "refuses our credentials": ALERTS,
    "refuses many records": ALERTS,
    "wrote far more than usual": ALERTS,
    "is asked nothing more until": ALERTS,
    "the configuration cannot be taken over": "tests/sync/test_daemon.py",
    "the state database has not answered since": "tests/sync/test_watching.py",
    "an alert did not go out; it is tried again until it does": "tests/sync/test_teller.py",
    "an alert was refused; the others go on": "tests/sync/test_teller.py",
    "this is a bug (": "tests/sync/test_work.py",
    "No space left on the disk of the event store": "by hand: a full tmpfs, which only root can mount",
    "may not be read or written": "tests/events/test_importing.py",
}
"""What is quoted, and the test that provokes it."""


def test_every_quoted_symptom_is_provoked_here_or_elsewhere() -> None:
    words = {
        argument.value
        for node in ast.walk(ast.parse(Path(__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "seen"
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    quotes = {quote for row in rows() for quote in row.quotes}
    here = {quote for quote in quotes if any(word in quote for word in words)}
    assert quotes - here == set(ELSEWHERE)
    assert len(here) > 30
    places = [place for place in ELSEWHERE.values() if not place.startswith("by hand: ")]
    assert [place for place in places if not (ROOT / place).is_file()] == []
