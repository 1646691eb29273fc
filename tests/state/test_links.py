from __future__ import annotations

from engage_sync.state.store import State

from .conftest import NOW
from .frames import links_frame


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
