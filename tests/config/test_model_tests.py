"""The model's own tests, as they are built; what is refused stands in mistakes/verdicts.txt."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engage_sync.core.definitions import Entity
from tests.config.projects import HUBSPOT, loaded

MODEL = """
metrics: {user: {n: {count: a}}}
properties: {user: {plan: traits.plan}, account: {seats: {from: traits.seats, type: number}}}
stages: {user: [{name: Trial, when: n > 1}]}
health: {user: {default: {good: [n > 1]}}}
scores: {use: {entity: user, kind: weighted, weights: {a: 1}}}
segments: {g: {entity: user, where: n > 1}}
signals: {s: {entity: account, when: users > 1}}
tests:
  - name: everything
    as_of: 2026-06-01
    messages:
      - {type: track, event: a, userId: u1, properties: {n: 1.5, deep: {x: [1, null]}}}
    crm: {hubspot: {users: {u1: {title: CEO}}}}
    expect:
      users:
        u1:
          health: good
          stage: Trial
          scores: {use: 100}
          scores.use: 100
          score_bands: {use: high}
          score_trends.use: null
          scores.use_heat: steady
          segments: [g]
          segments.g: true
          types.power: true
          user_types: [active, power]
          metrics: {n: 1, events: 1}
          n: 1
          properties.plan: null
          plan: null
          links: {hubspot: {id: '1'}}
          links.hubspot: null
          health: good
      accounts:
        acme: {users_by_type: {power: 1}, score_sums: {use: 3}, signals: [s], seats: 3, mrr: null, health: null}
""".replace("          health: good\n      accounts", "      accounts")


def test_a_test_is_built_as_written(tmp_path: Path) -> None:
    (test,) = loaded(tmp_path, model=MODEL, hubspot=HUBSPOT).tests
    assert (test.name, test.as_of, test.file, test.line) == (
        "everything",
        datetime(2026, 6, 1, tzinfo=UTC),
        "config/model.yaml",
        10,
    )
    assert test.messages == (
        {"type": "track", "event": "a", "userId": "u1", "properties": {"n": 1.5, "deep": {"x": [1, None]}}},
    )
    assert test.expect[Entity.USER]["u1"]["scores"] == {"use": 100}
    assert test.expect[Entity.ACCOUNT]["acme"]["mrr"] is None
    assert test.crm == {"hubspot": {Entity.USER: {"u1": {"title": "CEO"}}, Entity.ACCOUNT: {}}}


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2026-06-01", datetime(2026, 6, 1, tzinfo=UTC)),
        ("2026-06-01T12:00:00", datetime(2026, 6, 1, 12, tzinfo=UTC)),
        ("2026-06-01T12:00:00+02:00", datetime(2026, 6, 1, 10, tzinfo=UTC)),
        ("2026-06-01T00:00:00.1234567Z", datetime(2026, 6, 1, 0, 0, 0, 123456, tzinfo=UTC)),
    ],
)
def test_instants(tmp_path: Path, written: str, instant: datetime) -> None:
    (test,) = loaded(tmp_path, model=f"tests: [{{name: a, as_of: '{written}'}}]").tests
    assert test.as_of == instant


def test_a_project_without_tests(tmp_path: Path) -> None:
    assert loaded(tmp_path, model="tests:").tests == ()


def test_records_of_a_crm_need_no_connector_file_where_there_is_none(tmp_path: Path) -> None:
    (test,) = loaded(
        tmp_path, model="tests: [{name: a, as_of: 2026-06-01, crm: {hubspot: {users: {u: {a: 1}}}}}]"
    ).tests
    assert list(test.crm) == ["hubspot"]
