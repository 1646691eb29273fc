"""The question of `rollback` on a terminal: it can be ended, nothing waits for its answer, and what is carried out is
what was shown."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engage_sync.cli import rollback as command
from tests.sync.command import answer, engage
from tests.sync.project import Project
from tests.sync.project import project as begin
from tests.sync.test_rollback import FIELD, ONE_FIELD
from tests.terminal import CTRL_C, Seated, seated


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Project]:
    """A project whose first run wrote 0 over the 3 that a person had typed, for two contacts."""
    with begin(tmp_path, connector=ONE_FIELD) as made:
        for name in ("ann", "bob"):
            made.contact(f"{name}@a.example", **{FIELD: "3"})
            made.tell(made.identify(name, email=f"{name}@a.example"))
        made.sync()
        yield made


def interrupt(one: Seated) -> None:
    one.type(CTRL_C)


def end(one: Seated) -> None:
    os.kill(one.process.pid, signal.SIGTERM)


def both(one: Seated) -> None:
    """Let it find the two at once."""
    os.kill(one.process.pid, signal.SIGSTOP)
    one.type(CTRL_C)
    end(one)
    os.kill(one.process.pid, signal.SIGCONT)


def test_the_question_ends_at_a_signal_and_nothing_waits_for_it(small: Project) -> None:
    for send, why in ((interrupt, "interrupted"), (end, "ended by SIGTERM"), (both, "engage-sync: ")):
        with seated("rollback", "1", "--project", str(small.root)) as person:
            assert "Restore 2 values of 2 records?" in person.asked("[y/N]: ")
            assert send is not end or small.plan().exit == 0, "another run does not wait for the answer"
            send(person)
            code, told = person.process.wait(20), person.process.stderr.read()
            assert (code, why in told) == (130, True), (send, told)
    with small.remembered() as state:
        shown = [(run.status, run.summary["only_shown"]) for run in state.runs(9) if run.command == "rollback"]
    assert shown == [("ok", True)] * 3


@pytest.mark.parametrize("again", [True, False])
def test_what_is_carried_out_was_shown(
    small: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], again: bool
) -> None:
    """While the question is asked somebody changes one of the two values."""
    ann, bob = (str(row["record"]) for row in answer(small.root, "rollback", "1", "--plan")["changes"])
    asked: list[str] = []

    def agreed(question: str) -> bool:
        if not asked:
            small.crm.store.update("contacts", bob, {FIELD: "9"})
        asked.append(question)
        return len(asked) == 1 or again

    monkeypatch.setattr(command, "somebody_there", lambda: True)
    monkeypatch.setattr(command, "agreed", agreed)
    printed = engage(small.root, "rollback", "1")
    assert asked == ["Restore 2 values of 2 records?", "Restore 1 value of 1 record?"]
    assert "Run 1: 1 value to restore, 1 left as they are." in printed
    assert [small.values(one)[FIELD] for one in (ann, bob)] == ["3" if again else "0", "9"]
    assert ("Restored 1 value." in printed, "Nothing was restored." in printed) == (again, not again)
    with small.remembered() as state:
        shown = [run.summary["only_shown"] for run in reversed(state.runs(4)) if run.command == "rollback"]
    assert shown == [True, True, True, False] if again else [True] * 3
