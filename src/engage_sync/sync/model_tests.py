"""The model's tests: each is messages and an instant with the verdicts that must come out, checked without a connector,
a secret, a database or the project's event store. Its messages take the way of `import` into a throw-away store; what
comes out is what `show` would answer, so nothing here parses a message or decides a verdict.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from engage_sync.config.project import ModelTest, Project
from engage_sync.core.asking import Asking
from engage_sync.core.assess import Verdicts, assess
from engage_sync.core.definitions import Entity
from engage_sync.core.history import Marks
from engage_sync.core.population import CrmValues, Population, with_crm_properties
from engage_sync.events.importing import import_paths
from engage_sync.events.message import number_text
from engage_sync.events.store import EventStore
from engage_sync.sync.documents import frame_of, with_ages
from engage_sync.sync.expectations import differences
from engage_sync.sync.failure_reasons import why
from engage_sync.sync.history import benchmarks
from engage_sync.sync.measuring import measured
from engage_sync.sync.rows import rows
from engage_sync.sync.views import Json, Shown

LATEST = datetime(9999, 1, 1, tzinfo=UTC)
"""The clock that messages of a test are held against: none of them is ahead of it."""

_NO_LINKS = pl.DataFrame(schema=dict.fromkeys(("external_id", "connector", "object", "record"), pl.String))
_NO_STOPS = pl.DataFrame(
    schema={
        **dict.fromkeys(("external_id", "connector", "object", "reason"), pl.String()),
        "candidates": pl.List(pl.String),
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that was not met. `entity` None: a message was refused, and `field` tells its number."""

    entity: str | None
    external_id: str | None
    field: str
    expected: Json
    got: Json
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """How one test ended: passed where there is no failure."""

    name: str
    file: str
    line: int | None
    failures: tuple[Failure, ...]

    @property
    def passed(self) -> bool:
        """Tell whether everything came out as expected."""
        return not self.failures


def run_tests(project: Project) -> Iterator[Result]:
    """Run the tests of a project's model in order, giving each result as it comes."""
    with TemporaryDirectory(prefix="engage-sync-test-") as folder:
        for number, test in enumerate(project.tests):
            yield Result(test.name, test.file, test.line, tuple(_failures(project, test, Path(folder) / str(number))))


def results_json(results: Sequence[Result]) -> Json:
    """Give the answer of `test`."""
    return {
        "passed": sum(result.passed for result in results),
        "failed": sum(not result.passed for result in results),
        "tests": [
            {
                "name": result.name,
                "file": result.file,
                "line": result.line,
                "passed": result.passed,
                "failures": [
                    {
                        "entity": failure.entity,
                        "external_id": failure.external_id,
                        "field": failure.field,
                        "expected": failure.expected,
                        "got": failure.got,
                        "why": "; ".join(failure.why),
                    }
                    for failure in result.failures
                ],
            }
            for result in results
        ],
    }


def _failures(project: Project, test: ModelTest, folder: Path) -> Iterator[Failure]:
    folder.mkdir()
    store = EventStore(folder / "events")
    yield from _import(store, test.messages, folder)
    model, zone = project.model, project.timezone
    population, verdicts = _decided(project, store, test)
    limit = int(verdicts.users["power_limit"][0]) if verdicts.users.height else 0
    counts, marks = {**verdicts.counts, "power_limit": limit}, benchmarks(None, verdicts.benchmarks)
    for entity, expected in test.expect.items():
        frame = frame_of(verdicts, population, _NO_LINKS, _NO_STOPS, entity)
        known = with_ages(frame, test.as_of)
        for external_id, fields in expected.items():
            one = known.filter(pl.col("external_id") == external_id)
            if one.height:
                shown = Shown(entity, None, test.as_of, one, counts)
                yield from _unmet(project, Asking(model, entity, test.as_of, zone), shown, marks, fields)
            else:
                near = get_close_matches(external_id, known["external_id"].to_list(), n=3, cutoff=0.4)
                hint = f"; did you mean {', '.join(near)}?" if near else f" among {known.height}"
                reason = f"there is no {entity.value} {external_id!r}{hint}"
                yield Failure(entity.value, external_id, "external_id", external_id, None, (reason,))


def _import(store: EventStore, messages: Sequence[Json], folder: Path) -> Iterator[Failure]:
    """Take the messages in as `import` does; give a failure for each that is refused."""
    if not messages:
        return
    file = folder / "messages.jsonl"
    file.write_text("".join(json.dumps(message) + "\n" for message in messages), encoding="utf-8")
    report = import_paths(store, [file], now=LATEST, rejects=folder)
    if report.rejects_file is not None:
        for line in report.rejects_file.read_text(encoding="utf-8").splitlines():
            refused = json.loads(line)
            number = refused["line"]
            reason = f"message {number} is refused: {refused['reason']}"
            yield Failure(None, None, f"messages.{number}", "a message", refused["reason"], (reason,))


def _decided(project: Project, store: EventStore, test: ModelTest) -> tuple[Population, Verdicts]:
    """Measure and assess at the test's instant: no previous run, and of CRM records only those that the test gives."""
    model, zone, as_of = project.model, project.timezone, test.as_of
    _, population = measured(store, model, as_of=as_of, timezone=zone)
    population = with_crm_properties(population, model, list(_crm_values(test)), timezone=zone)
    linked = pl.DataFrame(
        [(external_id, connector) for connector, entity, external_id in _records(test) if entity is Entity.USER],
        schema={"external_id": pl.String, "connector": pl.String},
        orient="row",
    )
    return population, assess(population, model, as_of=as_of, timezone=zone, linked=linked)


def _records(test: ModelTest) -> Iterator[tuple[str, Entity, str]]:
    """Give connector, entity and external id of every linked record that the test gives."""
    for connector, entities in test.crm.items():
        for entity, records in entities.items():
            yield from ((connector, entity, external_id) for external_id in records)


def _crm_values(test: ModelTest) -> Iterator[CrmValues]:
    for connector, entities in test.crm.items():
        for entity, records in entities.items():
            fields = sorted({name for record in records.values() for name in record})
            columns = {f"crm.{name}": [_crm_text(record.get(name)) for record in records.values()] for name in fields}
            schema = dict.fromkeys(("external_id", *columns), pl.String)
            yield CrmValues(connector, entity, pl.DataFrame({"external_id": list(records), **columns}, schema=schema))


def _crm_text(value: Json) -> str | None:
    """Write a value as the mirror keeps it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, (int, float)) else json.dumps(value)


def _unmet(
    project: Project, asking: Asking, shown: Shown, marks: Marks, fields: Mapping[str, Json]
) -> Iterator[Failure]:
    """Compare one entity's row with what is expected of it. `shown` holds its row of the verdict frame, with ages."""
    entity, external_id = asking.entity, str(shown.frame["external_id"][0])
    columns = shown.frame.row(0, named=True)
    row = json.loads(rows(shown.frame, project.model, entity, timezone=project.timezone, urls={})[0])
    for field, expected in fields.items():
        for difference in differences(row, columns, field, expected):
            reasons = (difference.why,) if difference.why else why(difference, shown, asking, marks)
            yield Failure(entity.value, external_id, difference.field, difference.expected, difference.got, reasons)
