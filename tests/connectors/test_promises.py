"""Whatever a stranger's connector gives, the answer is a sentence, never a crash somewhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from engage_sync.connectors.base import (
    Author,
    Change,
    Connector,
    Cursor,
    Kind,
    Limits,
    Outcome,
    Page,
    Record,
    Role,
    Schema,
    Status,
    Turnstile,
)
from engage_sync.connectors.promises import Promised
from engage_sync.errors import Misbehaved

KIND = Kind("people", Role.CONTACT)
SOUND = Record("1", {"f": "x"}, "")


class Settings(BaseModel):
    """Nothing to set."""


class Says(Connector):
    """Gives what it was told to give."""

    name: ClassVar[str] = "says"
    Settings: ClassVar[type[BaseModel]] = Settings
    limits: ClassVar[Limits] = Limits(push_batch=10, in_flight=1, objects={"people": Role.CONTACT})

    def __init__(self, what: Any) -> None:
        self.turnstile = Turnstile()
        self.what = what

    def check(self) -> Schema:
        return self.what

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        return self.what

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        yield from self.what

    def authors(self, kind: Kind, fields: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Author]:
        return self.what


def page(**parts: Any) -> Page:
    return Page(**{"records": [SOUND], "vanished": [], "merged": {}, "cursor": Cursor("c"), "done": True, **parts})


@pytest.mark.parametrize(
    "given",
    [
        page(records=None),
        page(records=[None]),
        page(records=[Record("1", None, "")]),
        page(records=[Record("1", {1: "x"}, "")]),
        page(vanished=None),
        page(vanished="12"),
        page(vanished=[1]),
        page(merged=None),
        page(merged={1: "2"}),
        page(merged={"1": 2}),
    ],
)
def test_page_of_another_shape(given: Page) -> None:
    with pytest.raises(Misbehaved, match="says: pull gave"):
        Promised(Says(given)).pull(KIND, None)


@pytest.mark.parametrize(
    "given",
    [Schema(None, {}), Schema("1", []), Schema("1", {"people": []}), Schema("1", {}, ["text"]), Schema("1", {}, None)],
)
def test_schema_of_another_shape(given: Schema) -> None:
    with pytest.raises(Misbehaved, match="says: check"):
        Promised(Says(given)).check()


@pytest.mark.parametrize(
    "given", [[None], ["written"], [Outcome("1", [])], [Outcome("1", "written")], [Outcome([1], Status.WRITTEN)]]
)
def test_outcome_of_another_shape(given: list[Any]) -> None:
    with pytest.raises(Misbehaved, match="says: push gave"):
        list(Promised(Says(given)).push(KIND, [Change("1", {"f": "x"})]))


@pytest.mark.parametrize(
    "given",
    [
        None,
        [("1", "f")],
        {("1", "f"): "Ann Lee"},
        {("2", "f"): Author()},
        {("1", "f"): Author(7)},
        {("1", "f"): Author(at=7)},
        {("1", "f"): Author(human="yes")},
        {("1", "f"): Author(ours=1)},
        {("1", "f"): Author(of_record=None)},
    ],
)
def test_authors_of_another_shape(given: Any) -> None:
    with pytest.raises(Misbehaved, match="says: authors"):
        Promised(Says(given)).authors(KIND, [("1", "f")])


def test_sound_answers_pass() -> None:
    told = {("1", "f"): Author("Ann Lee", "2026-06-01T12:00:00Z", human=True, ours=False, of_record=True)}
    assert Promised(Says(told)).authors(KIND, [("1", "f"), ("1", "g")]) == told
    assert Promised(Says(page())).pull(KIND, None) == page()
    assert list(Promised(Says([Outcome("1", Status.WRITTEN)])).push(KIND, [Change("1", {})]))
