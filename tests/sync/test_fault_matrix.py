"""The fault matrix: each fault of the stand-ins strikes all reads, then all writes of a day, and the day after brings
the CRM to what is wanted. The rows are those of `docs/reliability.md`; `make fix` writes them anew."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.sync.fault_matrix import CASES, CONDITIONS, KINDS, bad_day, row, rows_of
from tests.sync.fault_stage import STAGES, Stage

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"


class Stages:
    """The open stages by connector. One on which a case fell is given up, so that the next is none the worse."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._open: dict[str, tuple[Stage, ExitStack]] = {}

    def of(self, connector: str) -> Stage:
        if connector not in self._open:
            held = ExitStack()
            stage = held.enter_context(STAGES[connector](self._factory.mktemp(connector)))
            self._open[connector] = (stage, held)
        return self._open[connector][0]

    def give_up(self, connector: str) -> None:
        self._open.pop(connector)[1].close()

    def close(self) -> None:
        for connector in list(self._open):
            self.give_up(connector)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    opened = Stages(tmp_path_factory)
    yield opened
    opened.close()


@pytest.mark.parametrize(("connector", "name"), [(one, name) for one, cases in CASES.items() for name in cases])
def test_bad_day(stages: Stages, connector: str, name: str) -> None:
    stage = stages.of(connector)
    try:
        cells = bad_day(stage, name, CASES[connector][name])
    except BaseException:
        stages.give_up(connector)
        raise
    shown = rows_of(PAGE.read_text(encoding="utf-8"), connector)
    assert shown.get(name) == row(connector, name, cells), "docs/reliability.md tells another story: run `make fix`"


@pytest.mark.parametrize("connector", CASES)
def test_after_all_bad_days_nothing_is_left_to_do(stages: Stages, connector: str) -> None:
    """Each task is there once, but for those that the CRM refused for good."""
    stage = stages.of(connector)
    report = stage.sync()
    assert (report.exit, report.writes) == (0, 0), (report.errors, report.signals, stage.failures())
    assert stage.mirror() == stage.truth()
    assert {record: stage.tasks(record) for record in stage.owed} == stage.owed


def test_every_fault_of_the_stand_ins_has_its_row() -> None:
    assert {connector: set(cases) for connector, cases in CASES.items()} == {
        connector: set(kinds) for connector, kinds in KINDS.items()
    }


@pytest.mark.parametrize("connector", CONDITIONS)
def test_every_condition_names_tests_that_there_are(connector: str) -> None:
    named = {name for given in CONDITIONS[connector].values() for name in (given.lost, given.doubled)}
    assert {name for name in named if not _exists(name)} == set()


def _exists(name: str) -> bool:
    path, _, test = name.partition("::")
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == test for node in ast.walk(tree))


@pytest.mark.parametrize("connector", CASES)
def test_the_page_has_a_row_for_each_case_and_no_other(connector: str) -> None:
    shown = rows_of(PAGE.read_text(encoding="utf-8"), connector)
    assert set(shown) == {*CASES[connector], *CONDITIONS[connector]}, "run `make fix`"
