"""What people read: a table that a narrow terminal has no room for, and sentences that hold several CRMs alike."""

from __future__ import annotations

import pytest

from engage_sync.cli import output
from engage_sync.cli.reporting import held_told

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
