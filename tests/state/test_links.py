from __future__ import annotations

from datetime import timedelta

from engage_sync.state.store import State

from .conftest import NOW
from .frames import links_frame, outcome, save


def held(state: State) -> set[tuple[str, str, str, int]]:
    return set(state.links("crm", "contacts").iter_rows())


def test_no_links_yet(state: State) -> None:
    assert state.links("crm", "contacts").columns == ["record", "external_id", "level", "since_run"]
    assert held(state) == set()


def test_links_become_exactly_what_is_given(state: State, run: int) -> None:
    state.replace_links("crm", "contacts", links_frame(("1", "u'1", "email"), ("2", "😀", "external_id")), run)
    assert held(state) == {("1", "u'1", "email", run), ("2", "😀", "external_id", run)}
    later = state.start_run("sync", NOW, NOW)
    state.replace_links(
        "crm", "contacts", links_frame(("1", "u'1", "link"), ("2", "other", "email"), ("3", "u3", "email")), later
    )
    assert held(state) == {("1", "u'1", "link", run), ("2", "other", "email", later), ("3", "u3", "email", later)}
    state.replace_links("crm", "contacts", links_frame(("3", "u3", "email")), later + 1)
    assert held(state) == {("3", "u3", "email", later)}


def test_two_links_may_swap(state: State, run: int) -> None:
    state.replace_links("crm", "contacts", links_frame(("1", "a", "email"), ("2", "b", "email")), run)
    state.replace_links("crm", "contacts", links_frame(("1", "b", "email"), ("2", "a", "email")), run + 1)
    assert held(state) == {("1", "b", "email", run + 1), ("2", "a", "email", run + 1)}


def test_links_of_another_object_stay(state: State, run: int) -> None:
    state.replace_links("crm", "companies", links_frame(("1", "acme", "domain")), run)
    state.replace_links("crm", "contacts", links_frame(("1", "u", "email")), run)
    state.replace_links("crm", "contacts", links_frame(), run)
    assert held(state) == set()
    assert state.links("crm", "companies").rows() == [("1", "acme", "domain", run)]


LATER = NOW + timedelta(days=1)


def past(state: State, *ids: str) -> list[tuple[object, ...]]:
    """Give record, external_id, level, since, until, moved_to and gone of links, oldest first."""
    names = ["record", "external_id", "level", "since", "until", "moved_to", "gone"]
    return state.link_history(ids).select(names).rows()


def begin(state: State, days: float) -> int:
    at = NOW + timedelta(days=days)
    return state.start_run("sync", at, at)


def test_what_ends_is_kept_with_its_runs(state: State, run: int) -> None:
    save(state, run, {"1": {}, "2": {}, "3": {}})
    state.replace_links("crm", "contacts", links_frame(("1", "u", "email"), ("2", "o'v", "external_id")), run)
    assert past(state, "u") == [("1", "u", "email", NOW, None, None, False)]
    second = begin(state, 1)
    state.replace_links("crm", "contacts", links_frame(("1", "u", "link"), ("3", "o'v", "email")), second)
    assert past(state, "o'v", "u") == [
        ("2", "o'v", "external_id", NOW, LATER, None, False),
        ("1", "u", "link", NOW, None, None, False),
        ("3", "o'v", "email", LATER, None, None, False),
    ]
    assert state.link_history([]).is_empty()
    assert past(state, "nobody") == []
    runs = state.link_history(["o'v"]).select("since_run", "until_run").rows()
    assert runs == [(run, second), (second, None)]


def test_a_record_that_gets_another_user_ends_the_first(state: State, run: int) -> None:
    save(state, run, {"1": {}})
    state.replace_links("crm", "contacts", links_frame(("1", "u", "email")), run)
    state.replace_links("crm", "contacts", links_frame(("1", "v", "email")), begin(state, 1))
    assert past(state, "u") == [("1", "u", "email", NOW, LATER, None, False)]
    assert past(state, "v") == [("1", "v", "email", LATER, None, None, False)]


def test_a_run_again_at_the_same_instant_takes_up_what_the_first_ended(state: State, run: int) -> None:
    save(state, run, {"1": {}, "2": {}})
    state.replace_links("crm", "contacts", links_frame(("1", "u", "link")), run)
    state.replace_links("crm", "contacts", links_frame(("1", "v", "email"), ("2", "u", "email")), begin(state, 1))
    again = begin(state, 1)
    state.replace_links("crm", "contacts", links_frame(("1", "u", "link"), ("2", "w", "email")), again)
    assert past(state, "u") == [("1", "u", "link", NOW, None, None, False)]
    assert past(state, "v") == []
    assert past(state, "w") == [("2", "w", "email", LATER, None, None, False)]
    state.replace_links("crm", "contacts", links_frame(), begin(state, 1))
    assert past(state, "u") == [("1", "u", "link", NOW, LATER, None, False)]
    state.replace_links("crm", "contacts", links_frame(("1", "u", "email")), begin(state, 2))
    assert past(state, "u") == [
        ("1", "u", "link", NOW, LATER, None, False),
        ("1", "u", "email", NOW + timedelta(days=2), None, None, False),
    ]


def test_a_link_that_becomes_contested_ends_and_begins_anew(state: State, run: int) -> None:
    save(state, run, {"1": {}})
    state.replace_links("crm", "contacts", links_frame(("1", "u", "email")), run)
    state.replace_links("crm", "contacts", links_frame(("1", "u", "contested")), begin(state, 1))
    assert past(state, "u") == [("1", "u", "email", NOW, LATER, None, False)]
    state.replace_links("crm", "contacts", links_frame(("1", "u", "contested")), begin(state, 2))
    state.replace_links("crm", "contacts", links_frame(("1", "u", "link")), begin(state, 3))
    assert past(state, "u") == [
        ("1", "u", "email", NOW, LATER, None, False),
        ("1", "u", "link", NOW + timedelta(days=3), None, None, False),
    ]
    state.replace_links("crm", "contacts", links_frame(("1", "u", "contested")), begin(state, 4))
    state.replace_links("crm", "contacts", links_frame(), begin(state, 5))
    assert past(state, "u")[-1][4] == NOW + timedelta(days=4)


def test_a_chain_of_merges_leads_from_link_to_link(state: State, run: int) -> None:
    """The CRM tells of the whole chain by its end: 1 → 3 and 2 → 3, though 2 had the link in between."""
    save(state, run, {"1": {}, "2": {}, "3": {}})
    state.replace_links("crm", "contacts", links_frame(("1", "u", "email")), run)
    second, third = begin(state, 1), begin(state, 2)
    save(state, second, {}, merged={"1": "2"}, cursor="d")
    state.replace_links("crm", "contacts", links_frame(("2", "u", "link")), second)
    save(state, third, {}, merged={"1": "3", "2": "3"}, cursor="e")
    state.replace_links("crm", "contacts", links_frame(("3", "u", "link")), third)
    end = NOW + timedelta(days=2)
    assert past(state, "u") == [
        ("1", "u", "email", NOW, LATER, "2", True),
        ("2", "u", "link", LATER, end, "3", True),
        ("3", "u", "link", end, None, None, False),
    ]


def test_a_write_that_finds_the_record_gone_or_merged_ends_its_link(state: State, run: int) -> None:
    save(state, run, {"1": {}, "2": {}, "3": {}})
    state.replace_links("crm", "contacts", links_frame(("1", "u", "email"), ("2", "v", "email")), run)
    second = begin(state, 1)
    state.replace_links(
        "crm", "contacts", links_frame(("1", "u", "link"), ("2", "v", "link"), ("3", "w", "email")), second
    )
    met = [outcome("1", "gone"), outcome("2", "written", {}, {"a": "x"}, moved_to="9"), outcome("3", "gone")]
    state.record_outcomes(second, "crm", "contacts", met)
    assert held(state) == set()
    assert past(state, "u") == [("1", "u", "link", NOW, LATER, None, True)]
    assert past(state, "v") == [("2", "v", "link", NOW, LATER, "9", True)]
    assert past(state, "w") == []
