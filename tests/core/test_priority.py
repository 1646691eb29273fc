"""Who goes first when not all records can be written: hand-made frames, and a slow way to find the most that fit."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.plan import CHANGES
from engage_sync.core.priority import LATE, WORTH, fitting, ranked, together


def changes(*rows: tuple[str, str, str | None], decision: str = "write", object_: str = "contacts") -> pl.DataFrame:
    """Give one change each: record, entity and external id."""
    return pl.DataFrame(
        [
            {
                **dict.fromkeys(CHANGES),
                "object": object_,
                "record": record,
                "entity": entity,
                "external_id": external_id,
            }
            | {"decision": decision}
            for record, entity, external_id in rows
        ],
        schema=CHANGES,
    )


def worth(**entities: dict[str, Any]) -> pl.DataFrame:
    """Give what is known of users, nothing urgent unless said."""
    usual = {"entity": "user", "health": "normal", "before": "normal", "signalled": False, "mrr": None}
    return pl.DataFrame([{**usual, "external_id": name, **more} for name, more in entities.items()], schema=WORTH)


def late(**records: int) -> pl.DataFrame:
    """Give since which run records wait."""
    return pl.DataFrame([("contacts", record, run) for record, run in records.items()], schema=LATE, orient="row")


def order(found: pl.DataFrame) -> str:
    return " ".join(found["record"])


def test_those_that_waited_longest_go_before_money_and_after_what_is_urgent() -> None:
    people = worth(a={}, b={"mrr": 9.0}, c={"signalled": True}, d={"health": "bad"}, e={"health": "bad"}, f={})
    rows = changes(*((name, "user", name) for name in "abcdef"))
    assert order(ranked(rows, people, late(a=7, f=3, e=5))) == "e d c f a b"


def test_health_then_signals_then_money_then_ids() -> None:
    people = worth(
        plain={},
        another={},
        poor={"mrr": 1.0},
        rich={"mrr": 500.0, "health": "good", "before": "bad"},
        signalled={"signalled": True},
        fallen={"health": "normal", "before": "good"},
        bad={"health": "bad", "before": None, "mrr": 7.0},
        still_bad={"health": "bad", "before": "bad", "mrr": 3.0},
        vague={"health": "unknown", "before": "good", "mrr": 2.0},
    )
    rows = [(f"r-{name}", "user", name) for name in people["external_id"]]
    found = ranked(changes(*rows, ("r-nobody", "user", None)), people, late())
    expected = "bad fallen signalled rich still_bad vague poor another plain nobody"
    assert order(found) == " ".join(f"r-{name}" for name in expected.split())


def test_objects_are_ranked_as_one_and_only_what_is_written() -> None:
    both = pl.concat(
        [
            changes(("1", "user", "a"), ("2", "user", "b")),
            changes(("7", "account", "x"), ("8", "account", "b"), object_="companies"),
            changes(("3", "user", "c"), decision="drift_kept"),
        ]
    )
    accounts = worth(x={"mrr": 9.0}, b={"mrr": 5.0}).with_columns(entity=pl.lit("account"))
    found = ranked(both, pl.concat([worth(a={}, b={"mrr": 7.0}), accounts]), late())
    assert found.rows() == [("companies", "7"), ("contacts", "2"), ("companies", "8"), ("contacts", "1")]


def test_a_record_with_several_fields_comes_once() -> None:
    assert order(ranked(changes(("1", "user", "a"), ("1", "user", "a")), worth(a={}), late())) == "1"


PAIRS = {"object": pl.String, "record": pl.String, "other": pl.String}


def pairs(*rows: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame([("o", *row) for row in rows], schema=PAIRS, orient="row")


def line(records: str) -> pl.DataFrame:
    return pl.DataFrame({"object": ["o"] * len(records), "record": list(records)})


@pytest.mark.parametrize(
    ("ties", "expected", "last"),
    [
        ([], "abcdef", "abcdef"),
        ([("b", "e")], "abecdf", "aecdf"),
        ([("f", "a"), ("a", "f")], "afbcde", "fbcde"),
        ([("f", "d"), ("d", "b")], "abdfce", "afce"),
        ([("c", "x")], "abcdef", "abcdef"),
    ],
)
def test_what_belongs_together_stands_together(ties: list[tuple[str, str]], expected: str, last: str) -> None:
    found = together(line("abcdef"), pairs(*ties))
    assert "".join(found["record"]) == expected
    assert "".join(found.filter("last")["record"]) == last


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=12),
    st.integers(0, 9),
)
def test_as_many_as_fit_groups_whole(rows: list[tuple[bool, int]], calls: int) -> None:
    """The slow way: try every beginning that ends with a group."""
    frame = line("abcdefghijkl"[: len(rows)]).with_columns(last=pl.Series([last for last, _ in rows], dtype=pl.Boolean))
    prices = pl.Series([price for _, price in rows], dtype=pl.Int64)
    possible = [number + 1 for number, (last, price) in enumerate(rows) if last and price <= calls]
    found = fitting(frame, prices, calls)
    assert (found.count, found.of) == (max(possible, default=0), len(rows))
    assert found.chosen["record"].to_list() == frame["record"].to_list()[: found.count]
