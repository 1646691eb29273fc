"""Random models over random populations: after each of a few runs the product shows what the oracle shows, and what it
refuses as never holding never holds. The run in the middle has another model, so that much goes back and forth.

ENGAGE_SOAK=EXAMPLES runs longer, with fresh randomness.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from engage_sync.errors import Mistake, Problem
from engage_sync.sync.wiring import load_project
from tests.oracle import messages as reading
from tests.oracle import random_models
from tests.oracle import runs as oracle
from tests.oracle.folder import Folder, Rows
from tests.oracle.telling import NOW
from tests.oracle.where import holds
from tests.oracle.world import Row
from tests.sync.test_real_events import differences

SOAK = int(os.environ.get("ENGAGE_SOAK", "0"))
AS_OFS = [NOW - timedelta(days=days) for days in (3, 1, 0)]
FRESH = count()
NEVER = "can never"
REFUSALS = (NEVER, "divides by zero", "is given twice")


def text_of(model: Row) -> str:
    """Give the model file, each rule on a line of its own."""
    return yaml.safe_dump(model, sort_keys=False, width=1_000_000)


def entity_of(model: Row, path: Sequence[str]) -> str:
    return path[1] if path[0] in ("stages", "health") else model[path[0]][path[1]]["entity"]


def replaced(model: Row, rule: str) -> Iterator[str]:
    """Put another rule wherever one stands; give the entities it was of."""

    def walk(node: Any, path: list[str]) -> Iterator[str]:
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            if value == rule and isinstance(value, str):
                node[key] = f"events <> {1_000 + next(FRESH)}"
                yield entity_of(model, path)
            elif isinstance(value, dict | list):
                yield from walk(value, [*path, str(key)])

    yield from walk(model, [])


def accepted(folder: Folder, model: Row) -> list[tuple[str, str]]:
    """Write a model without the rules that the product refuses; give those it says can never hold, with their entity.

    It refuses a division by zero too, and one rule given twice.
    """
    refused: list[tuple[str, str]] = []
    while problems := problems_of(folder, text_of(model)):
        lines = text_of(model).splitlines()
        for problem in problems:
            assert any(word in problem.what for word in REFUSALS), problem
            assert problem.line is not None
            found = yaml.safe_load(lines[problem.line - 1].strip().removeprefix("- "))
            rule = found if isinstance(found, str) else next(iter(found.values()))
            entities = list(replaced(model, rule))
            refused += [(entity, rule) for entity in entities if NEVER in problem.what]
    return refused


def problems_of(folder: Folder, model: str) -> Sequence[Problem]:
    """Write the model file, and give what the product says against it."""
    folder.means(model)
    try:
        load_project(folder.root)
    except Mistake as mistake:
        return mistake.problems
    return ()


def unlike(found: Rows, expected: list[Row]) -> list[str]:
    """Say how the rows differ, up to a dozen times."""
    missing = found.keys() ^ {row["external_id"] for row in expected}
    lines = [f"not in both: {name}" for name in sorted(missing)]
    for row in expected:
        name = row["external_id"]
        lines += [f"{name} {line}" for line in differences(found.get(name, row), row)]
    return lines[:12]


def check_refused(run: oracle.Run, refused: list[tuple[str, str]]) -> None:
    for entity, rule in refused:
        for _, verdict in run.each(entity):
            assert not holds(rule, verdict["names"].get, timezone=run.timezone), rule


@settings(
    max_examples=SOAK or 3,
    deadline=None,
    derandomize=not SOAK,
    phases=[Phase.explicit, Phase.generate],  # a smaller seed is no smaller example
    suppress_health_check=list(HealthCheck),
)
@given(st.integers(0, 2**32 - 1))
def test_random_models(seed: int) -> None:
    random = Random(seed)
    one, other = (random_models.model(random) for _ in range(2))
    told, zone = random_models.population(random), random_models.zone(random)
    found = []
    with tempfile.TemporaryDirectory() as root:
        folder = Folder(Path(root), zone)
        folder.tell(told)
        refused = [accepted(folder, one), accepted(folder, other)]
        used = [one, other, one]
        for model, as_of in zip(used, AS_OFS, strict=True):
            folder.means(text_of(model))
            found += folder.run(as_of)
    for number, run in enumerate(oracle.history(reading.of(*told), used, AS_OFS, zone)):
        check_refused(run, refused[number % 2])
        wanted = run.rows()
        for side, what in zip(found[number], ("users", "accounts"), strict=True):
            lines = unlike(side, wanted[what])
            if lines:
                note(text_of(used[number]))
            assert lines == [], (f"run {number + 1} as of {AS_OFS[number]}", lines)
