from __future__ import annotations

import json
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from engage_sync.cli.main import app
from engage_sync.errors import Mistake
from engage_sync.server.app import create
from engage_sync.server.serving import Served
from engage_sync.server.serving import serving as serve
from engage_sync.sync import snapshot
from engage_sync.sync.stored_view import StoredView
from engage_sync.sync.wiring import load_project
from tests.forks import engage
from tests.sync.project import project

from .asking import ask


@contextmanager
def serving(root: Path, end: signal.Signals) -> Iterator[Served]:
    """Let the command serve a project as a process of its own, and see it end in order by a signal."""
    child = engage("serve", "--project", str(root), "--json")
    try:
        told = json.loads(child.stdout.readline())
        host, _, port = told["url"].removeprefix("http://").partition(":")
        assert told["paths"] == ["/healthz", "/readyz", "/metrics"]
        yield Served(host, int(port))
        child.send_signal(end)
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.communicate()


def test_the_faces_alone_show_what_the_last_run_left(tmp_path: Path) -> None:
    """As a process of its own; it lives, and says why it is not ready, while its database is away."""
    with project(tmp_path) as made:
        config = made.root / "config" / "engage.yaml"
        config.write_text(config.read_text() + "server: {port: 0}\n")
        made.contact("ann@acme.example")
        made.tell(*made.person("ann", "ann@acme.example"))
        report = made.sync()
        with made.open() as workspace:
            snapshot.take(workspace, made.clock())
        with serving(made.root, signal.SIGTERM) as face:
            assert ask(face, "/healthz").json == {"status": "ok"}
            assert ask(face, "/readyz").json["ready"] is True
            found = {
                (one.name, *sorted(one.labels.items())): one.value
                for family in text_string_to_metric_families(ask(face, "/metrics").body.decode())
                for one in family.samples
            }
            assert found["engage_sync_runs_total", ("command", "sync"), ("status", "ok")] == 1
            assert found["engage_sync_linked_records", ("connector", "hubspot"), ("object", "contacts")] == 1
            buckets = report.connectors["hubspot"]["contacts"]
            place = (("connector", "hubspot"), ("object", "contacts"))
            assert found["engage_sync_records", ("bucket", "written"), *place] == buckets["written"] == 1
            assert found["engage_sync_up",] == 1
            text = ask(face, "/metrics").body + ask(face, "/readyz").body
            assert made.crm.token.encode() not in text


def test_a_database_that_is_away_is_a_reason_not_to_be_ready(tmp_path: Path) -> None:
    with project(tmp_path, provisioned=False) as made:
        config = made.root / "config" / "engage.yaml"
        (made.root / "var").mkdir(exist_ok=True)
        (made.root / "var" / "blocked").write_text("a file, where a folder is needed")
        config.write_text(config.read_text() + "server: {port: 0}\ndatabase: sqlite:///var/blocked/engage.db\n")
        with serving(made.root, signal.SIGINT) as face:
            assert ask(face, "/healthz").status == 200
            answer = ask(face, "/readyz")
            assert (answer.status, answer.json["ready"]) == (503, False)
            assert len(answer.json["reasons"]) == 1
            assert b"engage_sync_up 0.0" in ask(face, "/metrics").body


def test_nobody_waits_in_line_behind_a_database_that_hangs(tmp_path: Path) -> None:
    """One that takes connections and never says a word."""
    with project(tmp_path, provisioned=False) as made, socket.create_server(("127.0.0.1", 0)) as deaf:
        config = made.root / "config" / "engage.yaml"
        place = f"127.0.0.1:{deaf.getsockname()[1]}"
        config.write_text(f"{config.read_text()}database: postgresql+psycopg://somebody@{place}/engage\n")
        view = StoredView(load_project(made.root), started_at=made.clock(), version="1", longest=0.3)
        with serve(create(view), "127.0.0.1", 0) as face, ThreadPoolExecutor(3) as pool:
            begun = time.monotonic()
            answers = list(pool.map(lambda path: ask(face, path), ["/readyz", "/readyz", "/metrics"]))
            assert [answer.status for answer in answers] == [503, 503, 200]
            assert answers[1].json["reasons"] == ["the state database has not answered for more than 0.3 s"]
            assert b"engage_sync_up 0.0" in answers[2].body
            assert ask(face, "/readyz").status == 503
            view.close()
            assert time.monotonic() - begun < 5


def test_a_look_that_hangs_is_given_up_for_another(tmp_path: Path) -> None:
    """As after a failover: the old connection is silent, and a new one would be answered."""
    with project(tmp_path, provisioned=False) as made, socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.settimeout(20)
        config = made.root / "config" / "engage.yaml"
        place = f"127.0.0.1:{deaf.getsockname()[1]}"
        config.write_text(f"{config.read_text()}database: postgresql+psycopg://somebody@{place}/engage\n")
        view = StoredView(load_project(made.root), started_at=made.clock(), version="1", longest=0.2, given_up=0.1)
        assert [view().ready for _ in range(2)] == [False, False]
        for _ in range(2):
            deaf.accept()[0].close()


def test_looking_makes_and_upgrades_nothing_and_sees_what_comes(tmp_path: Path) -> None:
    with project(tmp_path, provisioned=False) as made:
        var, aside = made.root / "var", tmp_path / "aside"
        shutil.rmtree(var, ignore_errors=True)
        view = StoredView(load_project(made.root), started_at=made.clock(), version="1")
        assert "there is no state database" in view().why_not_ready[0]
        assert not var.exists()
        with made.open():
            pass
        assert view().ready
        shutil.copytree(var, aside)
        for one in var.glob("engage.db*"):
            one.unlink()
        assert "was deleted or replaced" in view().why_not_ready[0]
        for one in aside.glob("engage.db*"):
            shutil.copy(one, var)
        assert view().ready
        with closing(sqlite3.connect(var / "engage.db")) as older, older:
            older.execute("UPDATE engage_schema SET version_num = '0003'")
        view.close()
        assert "schema 0003, older than this version's" in view().why_not_ready[0]
        with closing(sqlite3.connect(var / "engage.db")) as older:
            assert older.execute("SELECT version_num FROM engage_schema").fetchall() == [("0003",)]
        view.close()


def test_a_taken_port_is_a_sentence_and_exit_2(tmp_path: Path) -> None:
    with project(tmp_path, provisioned=False) as made:
        config = made.root / "config" / "engage.yaml"
        config.write_text(config.read_text() + f"server: {{port: {made.crm.port}}}\n")
        error = CliRunner().invoke(app, ["serve", "--project", str(made.root)]).exception
        assert isinstance(error, Mistake)
        assert str(error).startswith(f"cannot listen on 127.0.0.1:{made.crm.port}: Address already in use; `server`")
