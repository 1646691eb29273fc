"""Each lesson of other people's syncs is covered by a test that says so, and the page shows which."""

from __future__ import annotations

import pytest

from tests.generated_docs import RELIABILITY, reliability
from tests.lessons import LESSONS, marks

MARKS = marks()


@pytest.mark.parametrize("lesson", LESSONS)
def test_each_lesson_is_covered(lesson: int | str) -> None:
    assert MARKS.get(lesson), f"no test is marked with @pytest.mark.lesson({lesson!r})"


def test_all_twenty_five_are_there_and_no_mark_names_another() -> None:
    assert set(range(1, 26)) <= set(LESSONS)
    assert set(MARKS) <= set(LESSONS)


def test_page_shows_what_the_marks_say() -> None:
    assert RELIABILITY.read_text() == reliability(), "run `make fix`"
