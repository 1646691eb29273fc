from __future__ import annotations

import io
import json
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from structlog.contextvars import bound_contextvars, get_contextvars

from engage_sync.cli.logs import configure
from engage_sync.sandbox.faults import Fault
from engage_sync.sync.reports import running
from engage_sync.sync.webhooks import Call, Receiver

from .project import MODEL, project
from .receiver import receiver

Logged = list[dict[str, object]]


def test_every_line_of_a_run_names_it_and_the_connector(tmp_path: Path, logged: Callable[[], Logged]) -> None:
    """Also those of the threads that write: 250 records are three batches, and each is told to come again. The name is
    that of the project's file, not the kind of CRM that it is."""
    with project(tmp_path, provisioned=False) as made:
        (made.root / "connectors" / "hubspot.yaml").rename(made.root / "connectors" / "eu.yaml")
        (made.root / "config" / "model.yaml").write_text(MODEL.replace("crm.hubspot", "crm.eu"))
        made.provision()
        people = [f"user{number}@acme.example" for number in range(250)]
        for email in people:
            made.contact(email)
        made.tell(*(message for email in people for message in made.person(email, email)))
        assert {one["connector"] for one in logged() if one["event"] in {"checked", "provisioned"}} == {"eu"}
        logged().clear()
        made.crm.faults.add(Fault("server_error", kind="write", times=3))
        report = made.sync()
        assert report.connectors["eu"]["contacts"]["written"] == 250
        lines = logged()
    again = [one for one in lines if one["event"] == "trying again"]
    assert len(again) == 3
    assert {one["event"] for one in lines} >= {"pulled", "checked", "pushed", "trying again"}
    assert {(one["run"], one["connector"]) for one in lines} == {(report.run, "eu")}
    assert all({"event", "level", "timestamp"} <= one.keys() for one in lines)
    assert made.crm.token not in json.dumps(lines)
    assert get_contextvars() == {}


def test_totals_that_cannot_be_kept_do_not_fail_a_run(tmp_path: Path, logged: Callable[[], Logged]) -> None:
    """Another process has taken the lease of who writes when the run has ended, as after a long sleep."""
    with project(tmp_path, provisioned=False) as made, made.open() as workspace:
        with running(workspace, "compute", made.clock(), made.clock) as current:
            assert current.finish(None).exit == 0
            with closing(sqlite3.connect(made.root / "var" / "engage.db")) as other, other:
                other.execute("UPDATE engage_lease SET token = token + 1 WHERE name = 'writer'")
        assert "the running totals were not kept" in {one["event"] for one in logged()}


def test_secrets_are_struck_out(logged: Callable[[], Logged]) -> None:
    log = structlog.get_logger()
    log.info("connecting", url="postgresql+psycopg://ann:hunter2@db:5432/engage", calls=3, tokens=7)
    log.info("sent", access_token="hunter2", password="hunter2", client_secret="hunter2", Authorization="hunter2")
    log.info("header was Authorization: Bearer hunter2, and https://ann:hunter2@example.com/x?y=z")
    try:
        hunter = "hunter2"
        raise ValueError(f"no {len(hunter)}")
    except ValueError:
        log.exception("failed")
    logging.getLogger("some.library").error("cannot reach %s", "https://ann:x@example.com/services/hunter2?y=hunter2")
    log.info("told", settings={"smtp": "smtps://ann:hun'ter2@mail", "in": [{"password": "hunter2"}]})
    lines = logged()
    assert "hunter2" not in json.dumps(lines)
    assert lines[0]["url"] == "postgresql+psycopg://***@db:5432/engage"
    assert (lines[0]["calls"], lines[0]["tokens"]) == (3, 7)
    assert "ValueError: no 7" in str(lines[3]["exception"])
    assert (lines[4]["library"], lines[4]["level"]) == ("some.library", "error")
    assert lines[4]["event"] == "cannot reach https://example.com/…"
    assert lines[5]["settings"] == {"smtp": "smtps://***@mail", "in": [{"password": "***"}]}


def test_the_lines_of_a_webhook_name_the_run_and_not_the_path(logged: Callable[[], Logged]) -> None:
    """The library warns of a header that is none, with the whole address."""
    with receiver() as inbox, bound_contextvars(run=5):
        inbox.answers = [500, 204]
        path = "services/T0/hunter2"
        made = Receiver(f"{inbox.url}/{path}?x=hunter2", None, sleep=lambda _: None, clock=lambda: datetime.now(UTC))
        answers = [answer.status for _, answer in made.send([Call("k", b"{}")])]
        logging.getLogger("urllib3.connectionpool").warning("Failed to parse headers (url=%s)", f"{inbox.url}/{path}")
        logging.getLogger("urllib3.connectionpool").warning("broken: /%s", path)
        made.close()
    assert answers == ["delivered"]
    lines = logged()
    assert [(one["event"], one["run"]) for one in lines] == [("trying again", 5)]
    assert "hunter2" not in json.dumps(lines)


@pytest.mark.parametrize(
    ("form", "level", "asked", "told"),
    [
        ("json", "info", "", ["info", "warning"]),
        ("json", "warning", "", ["warning"]),
        ("json", "error", "info", ["info", "warning"]),  # ENGAGE_LOG overrules
        ("json", "info", "loudly", ["info", "warning"]),  # what is no level overrules nothing
        ("auto", "debug", "", ["debug", "info", "warning"]),
    ],
)
def test_levels(
    logged: Callable[[], Logged], monkeypatch: pytest.MonkeyPatch, form: str, level: str, asked: str, told: list[str]
) -> None:
    monkeypatch.setenv("ENGAGE_LOG", asked)
    configure(form, level)
    log = structlog.get_logger()
    for name in ("debug", "info", "warning"):
        getattr(log, name)("said")
    assert [one["level"] for one in logged()] == told


def test_nobody_has_to_listen(logged: Callable[[], Logged], monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of a daemon that was killed, or `engage-sync sync 2>&1 | head`: what is logged goes on."""
    reading, writing = os.pipe()
    os.close(reading)
    with io.TextIOWrapper(io.FileIO(writing, "w"), write_through=True) as gone:  # type: ignore[type-var]
        monkeypatch.setattr("sys.stderr", gone)
        for form in ("json", "terminal"):
            configure(form, "info")
            structlog.get_logger().info("said")
        logging.getLogger("library").warning("said, too")
        monkeypatch.undo()
    assert logged() == []


def test_lines_for_a_person_show_no_variables(logged: Callable[[], Logged], monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr("sys.stderr", text)
    configure("terminal", "info")
    try:
        hunter = "hunter2"
        raise ValueError(len(hunter))
    except ValueError:
        structlog.get_logger().exception("failed", url="https://ann:hunter2@example.com")
    said = text.getvalue()
    assert "[error    ] failed" in said
    assert "ValueError: 7" in said
    assert "***@example.com" in said
    assert "hunter2" not in said.replace('hunter = "hunter2"', "")
