from __future__ import annotations

from datetime import datetime

import polars as pl

from engage_sync.state.store import State

from .conftest import NOW

USERS = {"external_id": pl.String, "email": pl.String, "name": pl.String, "deactivated": pl.Boolean}
ACCOUNTS = {"external_id": pl.String, "name": pl.String, "domain": pl.String}
MEMBERSHIPS = {"user": pl.String, "account": pl.String, "entered_at": pl.Datetime("us", "UTC")}
Rows = list[tuple[str | bool | datetime | None, ...]]


def save(state: State, run: int, users: Rows, accounts: Rows, memberships: Rows) -> None:
    state.save_population(
        run,
        pl.DataFrame(users, schema=USERS, orient="row"),
        pl.DataFrame(accounts, schema=ACCOUNTS, orient="row"),
        pl.DataFrame(memberships, schema=MEMBERSHIPS, orient="row"),
    )


def test_rows_are_added_and_replaced(state: State, run: int) -> None:
    save(
        state,
        run,
        [("u1", "a@example.com", "Ann 😀", False), ("u'2", None, None, True)],
        [("acme", "Acme", "acme.com"), ("x", None, None)],
        [("u1", "acme", NOW), ("u'2", "acme", None)],
    )
    save(state, run + 1, [("u1", None, "Ann", True), ("u3", "c@example.com", None, False)], [("x", "X", None)], [])
    assert dict(state.users().schema) == USERS
    assert set(state.users().iter_rows()) == {
        ("u1", None, "Ann", True),
        ("u'2", None, None, True),
        ("u3", "c@example.com", None, False),
    }
    assert set(state.accounts().iter_rows()) == {("acme", "Acme", "acme.com"), ("x", "X", None)}
    assert set(state.memberships().iter_rows()) == {("u1", "acme", NOW), ("u'2", "acme", None)}
    assert dict(state.memberships().schema) == MEMBERSHIPS
    assert state.note("population.run") == str(run + 1)


def test_an_empty_population(state: State, run: int) -> None:
    save(state, run, [], [], [])
    assert (state.users().height, state.accounts().height, state.memberships().height) == (0, 0, 0)


def test_the_first_thousands_may_be_null(state: State, run: int) -> None:
    users: Rows = [(f"{number:05}", None, None, False) for number in range(20_000)]
    save(state, run, [*users, ("z", "z@example.com", "Zoë", True)], [], [])
    assert state.users().filter(pl.col("email").is_not_null()).rows() == [("z", "z@example.com", "Zoë", True)]


def test_columns_of_nulls_alone_are_taken(state: State, run: int) -> None:
    state.save_population(
        run,
        pl.DataFrame({"external_id": ["u"], "email": [None], "name": [None], "deactivated": [False], "more": [1]}),
        pl.DataFrame(schema=ACCOUNTS),
        pl.DataFrame({"user": ["u"], "account": ["a"], "entered_at": [None]}),
    )
    assert state.users().rows() == [("u", None, None, False)]
    assert state.memberships().rows() == [("u", "a", None)]


def test_who_is_known(state: State, run: int) -> None:
    assert state.known_ids("user").to_list() == []
    save(state, run, [("u'1", None, None, False), ("😀", None, None, True)], [("acme", None, None)], [])
    assert sorted(state.known_ids("user")) == ["u'1", "😀"]
    assert state.known_ids("account").to_list() == ["acme"]


def test_who_has_an_e_mail(state: State, run: int) -> None:
    people: Rows = [
        ("u2", "a@ex.com", None, False),
        ("u'1", "a@ex.com", None, True),
        ("u3", "émile@ex.com", "É", False),
    ]
    save(state, run, [*people, ("u4", None, None, False)], [], [])
    assert state.user_by_email(" A@Ex.com ") == ["u'1", "u2"]
    assert state.user_by_email("Émile@ex.com") == ["u3"]
    assert state.user_by_email("") == []
