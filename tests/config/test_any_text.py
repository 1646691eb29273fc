"""Whatever the files hold, loading gives a project or one Mistake: never another error, never a secret."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engage_sync.config.project import load
from engage_sync.errors import Mistake, Problem
from tests.config.projects import TYPES, write

CONTRACT = Path(__file__).parent / "contract"
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(CONTRACT.glob("*.yaml"))}
WORDS = sorted({word for text in TEXTS.values() for word in text.replace("{", " ").replace("}", " ").split()})

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(WORDS))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)),
    max_leaves=12,
)


def outcome(texts: dict[str, str]) -> tuple[Problem, ...]:
    """Give the problems of the one Mistake; none where there is a project."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            load(write(Path(folder), **texts), TYPES)
        except Mistake as mistake:
            return mistake.problems
    return ()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(TEXTS)), st.text(max_size=300))
def test_any_text(name: str, text: str) -> None:
    assert all(problem.file for problem in outcome({**TEXTS, name: text}))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_piece_exchanged_anywhere(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(TEXTS)))
    text = TEXTS[name]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    piece = data.draw(st.one_of(st.just(""), st.sampled_from(WORDS), st.text(max_size=3)))
    found = outcome({**TEXTS, name: text[:start] + piece + text[end:]})
    assert all(problem.file for problem in found)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_tree_in_place_of_a_section(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(TEXTS)))
    sections = [line.split(":")[0] for line in TEXTS[name].splitlines() if line[:1].isalpha()]
    section = data.draw(st.sampled_from(sections))
    found = outcome({**TEXTS, name: f"{section}: {flow(data.draw(trees))}\n"})
    assert all(problem.file for problem in found)


def flow(tree: object) -> str:
    """Write a tree in YAML's flow style."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(flow(item) for item in tree) + "]"
    if isinstance(tree, str):
        return "'" + tree.replace("'", "''") + "'"
    words = {"None": "null", "True": "true", "False": "false"}
    return words.get(repr(tree), repr(tree))


def test_the_files_as_they_are_have_no_problem() -> None:
    assert outcome(TEXTS) == ()
