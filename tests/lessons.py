"""The lessons of other people's syncs, and the tests that are marked with them: `@pytest.mark.lesson(5)`. The marks are
read from the source, so that the table in `docs/reliability.md` costs no run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

TESTS = Path(__file__).parent

LESSONS: Mapping[int | str, str] = {
    1: "a rate limit on the token request is retried like any other call",
    2: "one limiter per account and kind of call, shared by all",
    3: "only our share of the day's quota; stop early, keep progress, go on tomorrow",
    4: "no Bulk job where collections do, and collections where no job is to be had",
    5: "never search and then create: the index lags",
    6: "the link and the id before the e-mail; further addresses count",
    7: "a unique external id; what several records share is no key",
    8: "duplicate rules do not stop an update",
    9: "merges are followed, in chains too, and links move",
    10: "deleted records are seen, and end what hangs on them",
    11: "who was erased does not come back: no contact is ever created, so no list of the erased is kept, nor shown",
    12: "no increment is cut at 10,000; fewer than told is an error",
    13: "rows that turn up late are found",
    14: "equal stamps are not lost",
    15: "a cursor that stalls or loses rows is found out",
    16: "dates are days of the configured zone, instants stay instants",
    17: "options are checked before the call, and added with consent",
    18: "a hidden field is an error, never an empty value",
    19: "one bad record refuses itself only",
    20: "a success that names no record is a failure",
    21: "no row gets another row's result",
    22: "what failed stays to be written, and the run says so",
    23: "a rotated token is remembered before it is used",
    24: "rows that lock one another go together; locks are tried again alone; no address grows too long",
    25: "the schema is described anew by each run; each record ends in one counted bucket",
    "echo": "our own writes come back and are no reason to write; another hand's are",
    "empty": "what is missing does not empty what others keep",
    "no create": "people who are not in the CRM are not put there",
    "emptied": "nothing is cleared because a source dried up",
    "reformatted": "a value or key that the CRM writes in other words is the same",
}
"""What each lesson teaches, by its number; those of the last line by a word."""

Marks = Mapping[int | str, list[str]]


def marks() -> Marks:
    """Give the tests by lesson, each as `folder/file.py::test`, in order."""
    found: dict[int | str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.lesson" not in text:
            continue
        for test, lesson in _marked(ast.parse(text)):
            found.setdefault(lesson, []).append(f"{path.relative_to(TESTS).as_posix()}::{test}")
    return found


def _marked(tree: ast.Module) -> Iterator[tuple[str, int | str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.lesson":
                    yield from ((node.name, one.value) for one in mark.args if isinstance(one, ast.Constant))


def lessons_table() -> str:
    """Write the table of the lessons and their tests."""
    found = marks()
    shown = {lesson: ", ".join(f"`{one}`" for one in found.get(lesson, [])) for lesson in LESSONS}
    lines = [
        f"| {lesson if isinstance(lesson, int) else ''} | {what} | {shown[lesson]} |\n"
        for lesson, what in LESSONS.items()
    ]
    return "| lesson | in few words | covered by |\n|---|---|---|\n" + "".join(lines)
