"""A model in several files: they go together as if they were one, and every problem names its own file and line."""

from pathlib import Path

import pytest

from engage_sync.core.definitions import Entity
from tests.config.projects import HUBSPOT, loaded, refused

MODEL = """\
metrics:
  user:
    n: {count: a}
stages:
  user: [{name: new, when: n > 1}]
segments:
  first: {entity: user, where: stage = 'new'}
"""
PARTS = {
    "b.yaml": "segments:\n  third: {entity: user, where: segments.second}\ntests:\n  - {name: t, as_of: 2026-06-01}\n",
    "a.yaml": """\
metrics:
  user:
    m: {count: b}
  account:
    n: {count: c}
stages:
  account: [{name: won, when: n > 1}]
segments:
  second: {entity: user, where: segments.first and m > 1}
tests:
  - {name: s, as_of: 2026-06-01}
""",
}


def test_files_go_together_in_the_order_of_their_names(tmp_path: Path) -> None:
    project = loaded(tmp_path, model=MODEL, parts=PARTS)
    model = project.model
    assert [item.name for item in model.metrics] == ["n", "m", "n"]
    assert [segment.name for segment in model.segments] == ["first", "second", "third"]
    assert [step.name for step in model.stages[Entity.ACCOUNT].steps] == ["won"]
    assert [(test.name, test.file, test.line) for test in project.tests] == [
        ("s", "config/model/a.yaml", 11),
        ("t", "config/model/b.yaml", 4),
    ]


def test_a_model_is_the_same_in_one_file_and_in_several(tmp_path: Path) -> None:
    whole = """
metrics: {user: {n: {count: a}, m: {count: b}}, account: {n: {count: c}}}
stages: {user: [{name: new, when: n > 1}], account: [{name: won, when: n > 1}]}
segments:
  first: {entity: user, where: stage = 'new'}
  second: {entity: user, where: segments.first and m > 1}
  third: {entity: user, where: segments.second}
"""
    one = loaded(tmp_path / "one", model=whole).model
    assert one == loaded(tmp_path / "several", model=MODEL, parts=PARTS).model


def test_a_model_without_its_first_file(tmp_path: Path) -> None:
    model = loaded(tmp_path, parts={"only.yaml": "metrics: {user: {n: {count: a}}}"}).model
    assert [item.name for item in model.metrics] == ["n"]


def test_hidden_files_and_empty_ones_are_no_part(tmp_path: Path) -> None:
    parts = {".a.yaml": "nonsense", "empty.yaml": "", "b.yaml": "metrics:\nsegments:\n"}
    model = "metrics: {user: {n: {count: a}}}\nsegments:\n"
    assert len(loaded(tmp_path, model=model, parts=parts).model.metrics) == 1


def test_health_profiles_of_several_files_go_together(tmp_path: Path) -> None:
    model = "stages: {user: [{name: a, when: events > 1}]}\nhealth: {user: {default: {good: [events > 1]}, confirm: 2}}"
    parts = {"h.yaml": "health: {user: {stages: {a: {bad: [events > 3]}}, grace: 1d}}"}
    health = loaded(tmp_path, model=model, parts=parts).model.health[Entity.USER]
    assert (health.confirm, health.grace.days, list(health.stages)) == (2, 1, ["a"])


@pytest.mark.parametrize(
    ("model", "part", "problem"),
    [
        (
            "metrics:\n  user:\n    n: {count: a}",
            "metrics:\n  user:\n    m: {count: a}\n    n: {count: a}",
            "config/model/p.yaml:4: `n` of `metrics.user` is already given in config/model.yaml:3",
        ),
        (
            "stages:\n  user: [{name: a, when: events > 1}]",
            "stages:\n  user: [{name: b, when: events > 1}]",
            (
                "config/model/p.yaml:2: `user` of `stages` is already given in config/model.yaml:2; "
                "a list stands in one file"
            ),
        ),
        (
            "scores:\n  s: {entity: user, kind: weighted, weights: {a: 1}}",
            "scores:\n  s: {entity: user, kind: weighted, weights: {b: 1}}",
            "config/model/p.yaml:2: `s` of `scores` is already given in config/model.yaml:2",
        ),
        (
            "account_activity: attributed",
            "\n\naccount_activity: attributed",
            "config/model/p.yaml:3: `account_activity` is already given in config/model.yaml:1",
        ),
        (
            "health: {user: {default: {good: [events > 1]}}}",
            "health: {user: {default: {bad: [events > 1]}}}",
            "config/model/p.yaml:1: `default` of `health.user` is already given in config/model.yaml:1",
        ),
        (
            "segments: {s: {entity: user, where: events > 1}}",
            "segments: [s]",
            "config/model/p.yaml:1: `segments` is already given in config/model.yaml:1; a list stands in one file",
        ),
    ],
)
def test_what_two_files_give_is_refused_with_both_places(tmp_path: Path, model: str, part: str, problem: str) -> None:
    assert refused(tmp_path, model=model, parts={"p.yaml": part}) == [problem]


def test_every_problem_names_its_own_file(tmp_path: Path) -> None:
    model = "metrics:\n  user:\n    n: {count: a}\n    x: {count: a, windw: 1d}\n"
    parts = {
        "a.yaml": "properties:\n  user:\n    y: traits.y\n    N: traits.n\n",
        "b.yaml": "segments:\n  s: {entity: user, where: m > 1}\nmetrics:\n  user:\n    k: {count: a, window: 0d}\n",
        "c.yaml": "tests:\n  - {name: a, as_of: then}\n",
        "d.yaml": "tests:\n  - name: b\n    as_of: 2026-01-01\n    expect: {users: {u: {helth: bad}}}\nmetricks: {}\n",
    }
    assert refused(tmp_path, model=model, parts=parts) == [
        "config/model.yaml:3: `n` differs only by case from `N`, a property in config/model/a.yaml:4",
        "config/model.yaml:4: unknown key `windw`; did you mean `window`?",
        "config/model/b.yaml:2: `where`: unknown name m; did you mean mrr? (column 1 of the rule)",
        "config/model/b.yaml:5: `window` must be more than zero",
        "config/model/c.yaml:2: `then` is no instant; write it like 2026-06-01T00:00:00Z",
        "config/model/d.yaml:4: `helth` is no value of a user; did you mean `health`?",
        "config/model/d.yaml:5: unknown key `metricks`; did you mean `metrics`?",
    ]


def test_names_are_not_missed_while_a_file_cannot_be_read(tmp_path: Path) -> None:
    """What a rule names may stand there; shapes are told all the same."""
    parts = {"b.yaml": "segments:\n  s: {entity: user, where: m > 1, wy: x}\n", "e.yaml": "metrics: ["}
    assert refused(tmp_path, model="metrics: {}", parts=parts) == [
        "config/model/b.yaml:2: unknown key `wy`; did you mean `why`?",
        "config/model/e.yaml:1: not valid YAML: expected the node content, but found '<stream end>'",
    ]


def test_a_broken_part_is_not_held_against_the_connectors(tmp_path: Path) -> None:
    hubspot = HUBSPOT.replace("match: {email: email}", "match: {email: email}, write: {a: my_metric}")
    (problem,) = refused(tmp_path, model="", parts={"a.yaml": "metrics: ["}, hubspot=hubspot)
    assert problem.startswith("config/model/a.yaml:1: not valid YAML")


def test_another_ending_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path, parts={"a.yml": ""}) == [
        "config/model/a.yml: files end in .yaml here; rename it to a.yaml"
    ]
