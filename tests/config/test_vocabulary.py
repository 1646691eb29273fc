"""The reference page of the model's words names exactly what the files accept."""

import re
from pathlib import Path

import pytest

from engage_sync.config.vocabulary import vocabulary
from tests.config.projects import HUBSPOT, loaded

PAGE = vocabulary()
MODEL = """
properties: {user: {p: {from: traits.p, type: date}}, account: {p: {from: traits.p, type: date}}}
scores: {p: {entity: user, kind: weighted, weights: {a: 1}}}
segments: {p: {entity: ENTITY, where: "events >= 0"}}
signals:
  p: {entity: ENTITY, when: "events >= 0"}
"""


def listed(heading: str) -> list[str]:
    section = PAGE.split(f"### {heading}\n", 1)[1].split("\n#", 1)[0]
    return [name.replace("NAME", "p") for name in re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)]


@pytest.mark.parametrize(("entity", "at_least"), [("user", 25), ("account", 25)])
def test_every_name_stands_in_a_rule(tmp_path: Path, entity: str, at_least: int) -> None:
    names = listed(f"Names in rules of {entity}s")
    assert len(names) >= at_least
    rules = "\n".join(f'  s{n}: {{entity: {entity}, when: "{name} is null"}}' for n, name in enumerate(names))
    model = MODEL.replace("ENTITY", entity) + rules
    assert len(loaded(tmp_path, model=model).model.signals) == len(names) + 1


@pytest.mark.parametrize(("entity", "match"), [("user", "{email: email}"), ("account", "{domain: domain}")])
def test_every_value_can_be_written(tmp_path: Path, entity: str, match: str) -> None:
    names = listed(f"Values of {entity}s")
    fields = ", ".join(f"f{n}: {name}" for n, name in enumerate(names))
    hubspot = HUBSPOT.replace(f"match: {match}", f"match: {match}, write: {{{fields}}}")
    objects = loaded(tmp_path, model=MODEL.replace("ENTITY", entity), hubspot=hubspot).connectors[0].objects
    assert [field.source for item in objects for field in item.write] == names
