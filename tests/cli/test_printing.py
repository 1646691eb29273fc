"""What people read: a table that a narrow terminal has no room for, and sentences that hold several CRMs alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engage_sync.cli import output
from engage_sync.cli.causes import Cause, causes
from engage_sync.cli.reporting import held_told
from engage_sync.cli.status import print_causes
from engage_sync.state.jobs import Job
from engage_sync.sync.alerts import Sight, observe
from engage_sync.sync.rows import iso_text
from engage_sync.sync.status import job_answer

COLUMNS = ("object", "record", "message")
LONG = "INVALID_EMAIL: the address is not one that can be written to"


def test_a_table_folds_while_there_is_room(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.OUT, "width", 44)
    output.table(None, COLUMNS, [("contacts", "17", LONG)])
    heading, first, *_ = capsys.readouterr().out.splitlines()
    assert heading.split() == [*COLUMNS]
    assert first.startswith("contacts  17")


def test_a_row_becomes_a_block_where_there_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.OUT, "width", 32)
    output.table("Failures", COLUMNS, [("contacts", "17", LONG), ("companies", None, "no")])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == ["Failures", "object   contacts", "record   17"]
    assert "".join(line[9:] for line in lines[3:6]).replace(" ", "") == LONG.replace(" ", "")
    assert lines[-3:] == ["object   companies", "message  no", ""], "what is empty has no line"


def test_what_holds_several_connectors_alike_is_said_once() -> None:
    holds = [
        {"connector": name, "sentence": sentence}
        for name, sentence in (
            ("hubspot", "hubspot: the newest message is 4 days old"),
            ("salesforce", "salesforce: the newest message is 4 days old"),
            ("hubspot", "hubspot contacts: 8 of 10 records would be changed"),
            (None, "the clock is behind"),
        )
    ]
    assert held_told(holds) == [
        "hubspot, salesforce: the newest message is 4 days old",
        "hubspot contacts: 8 of 10 records would be changed",
        "the clock is behind",
    ]


NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
AWAY = "the state database does not answer: connection\nrefused"


def failing(*jobs: Job) -> list[Cause]:
    """Give the causes that `status` tells of jobs that have just ended, and of the alerts on them."""
    found = observe(Sight(NOON - timedelta(days=1), jobs), timedelta(hours=1), NOON)
    alerts = [{"name": one.name, "since": iso_text(NOON), "sentence": one.sentence} for one in found]
    return causes(alerts, [job_answer(job) for job in jobs])  # type: ignore[arg-type]  # its keys are these


def ended(name: str, code: int, message: str) -> Job:
    return Job(
        name, "1h", NOON + timedelta(hours=1), NOON, NOON, 7, "failed" if code != 3 else "held", code, None, message
    )


def test_a_cause_that_stops_many_jobs_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    found = failing(
        ended("push:crm", 5, AWAY), ended("compute", 5, AWAY), ended("pull:crm", 4, AWAY), ended("compact", 5, "full")
    )
    print_causes(found, [])
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("the state database does not answer: connection refused") == 1
    assert shown.count("it is tried again by itself at its next time") == 2, "once for each cause"
    for words in ("the push to crm failed (run 7, exit 5)", "computing failed", "pull:crm failed at", "exit 5): full"):
        assert shown.count(words) == 1


def test_what_holds_is_not_said_again_by_its_alert_and_its_job(capsys: pytest.CaptureFixture[str]) -> None:
    found = failing(ended("push:crm", 3, "crm: too many; crm: too old"))
    print_causes(found, ["crm: too old", "crm: too many"])
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("Failing since 2026-06-01 12:00 UTC: run 7 of crm is held before any write, as said above")
    assert "too old" not in shown
