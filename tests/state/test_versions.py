"""Versions of one record by the CRM's own stamp: an increment from an index that trails never takes the mirror back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engage_sync.state.store import State

from .frames import live, outcome, page, save


def increment(state: State, run: int, values: dict[str, str | None], stamp: str) -> None:
    records = page({"1": values}, stamp)
    state.save_page("crm", "contacts", records=records, vanished=[], merged={}, cursor="c", run=run, done=True)


@pytest.fixture
def written(state: State, run: int) -> State:
    """A record loaded at 10 seconds and written by us at 20.5 seconds."""
    save(state, run, {"1": {"a": "old"}})
    increment(state, run, {"a": "old"}, "2026-06-01T00:00:10Z")
    ours = replace(outcome("1", "written", {"a": "old"}, {"a": "new"}), updated_at="2026-06-01T00:00:20.500Z")
    state.record_outcomes(run, "crm", "contacts", [ours])
    return state


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2026-06-01T00:00:10Z", "new"),
        ("2026-06-01T00:00:20Z", "new"),
        ("2026-06-01T00:00:20.499Z", "new"),
        ("2026-06-01T00:00:20.500Z", "pulled"),
        ("2026-06-01T00:00:20.501Z", "pulled"),
        ("2026-06-01T00:00:21Z", "pulled"),
        ("", "pulled"),
    ],
)
def test_only_what_is_not_older_replaces(written: State, run: int, stamp: str, expected: str) -> None:
    increment(written, run, {"a": "pulled"}, stamp)
    assert live(written, "a") == {"1": (expected,)}


def test_an_outcome_without_a_stamp_leaves_the_stamp(state: State, run: int) -> None:
    save(state, run, {"1": {"a": "old"}})
    increment(state, run, {"a": "old"}, "2026-06-01T00:00:10Z")
    state.record_outcomes(run, "crm", "contacts", [outcome("1", "written", {"a": "old"}, {"a": "new"})])
    increment(state, run, {"a": "old"}, "2026-06-01T00:00:10Z")
    assert live(state, "a") == {"1": ("old",)}


def test_a_load_from_the_beginning_is_taken_as_it_is(written: State, run: int) -> None:
    written.drop_cursor("crm", "contacts")
    increment(written, run, {"a": "pulled"}, "2026-06-01T00:00:10Z")
    assert live(written, "a") == {"1": ("pulled",)}
