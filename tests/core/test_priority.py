"""Who goes first when not all records can be written: hand-made frames, and a slow way to find the most that fit."""

from __future__ import annotations

import itertools
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


def test_those_that_waited_go_before_money_and_after_what_is_urgent_but_for_the_first_place() -> None:
    people = worth(
        a={}, b={"mrr": 9.0}, c={"signalled": True}, d={"health": "bad"}, e={"health": "bad"}, f={}, g={}, h={}
    )
    rows = changes(*((name, "user", name) for name in "abcdefgh"))
    assert order(ranked(rows, people, late(a=7, f=3, e=5, g=6))) == "f e d c g a b h"


def test_one_place_in_ten_is_for_those_that_waited_longest_whatever_is_urgent() -> None:
    """The urgent are u00 to u24, by id; w4 waited longest, w0 least; the first place is reserved, then each tenth."""
    urgent = [f"u{number:02}" for number in range(25)]
    waiting = {f"w{number}": 9 - number for number in range(5)}
    rows = changes(*((name, "user", name) for name in [*waiting, *urgent]))
    people = worth(**{name: {"health": "bad"} for name in urgent}, **{name: {} for name in waiting})
    expected = ["w4", *urgent[:9], "w3", *urgent[9:18], "w2", *urgent[18:], "w1", "w0"]
    assert ranked(rows, people, late(**waiting))["record"].to_list() == expected


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.none() | st.integers(1, 9)), min_size=1, max_size=60))
def test_no_beginning_of_the_order_leaves_out_those_that_waited_longest(people: list[tuple[bool, int | None]]) -> None:
    """Of the first k there are at least a tenth, rounded up, of those that wait, the longest first; and at least nine
    tenths, rounded down, of the order without any reserve."""
    names = [f"p{number:02}" for number in range(len(people))]
    urgent = dict(zip(names, [bad for bad, _ in people], strict=True))
    since = {name: run for name, (_, run) in zip(names, people, strict=True) if run is not None}
    known = worth(**{name: {"health": "bad"} if urgent[name] else {} for name in names})
    found = ranked(changes(*((name, "user", name) for name in names)), known, late(**since))["record"].to_list()
    by_rank = sorted(names, key=lambda name: (not urgent[name], since.get(name, 99), name))
    longest = sorted(since, key=lambda name: (since[name], by_rank.index(name)))
    assert sorted(found) == names
    for count in range(1, len(names) + 1):
        assert set(longest[: -(-count // 10)]) | set(by_rank[: count * 9 // 10]) <= set(found[:count])


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


def slowly(records: list[str], ties: list[tuple[str, str]]) -> list[tuple[str, bool]]:
    """The slow way: from the foremost record on, gather whom it reaches, tie by tie."""
    left, found = list(records), []
    while left:
        group = {left[0]}
        while more := {one for tie in ties if group & set(tie) for one in tie if one in left} - group:
            group |= more
        here = [one for one in left if one in group]
        found += [(one, one == here[-1]) for one in here]
        left = [one for one in left if one not in group]
    return found


NAMES = "abcdefghijklmnop"


@settings(deadline=None, max_examples=50)
@given(st.permutations(NAMES), st.lists(st.tuples(st.sampled_from(NAMES + "y"), st.sampled_from(NAMES + "z"))))
def test_any_ties_as_the_slow_way_finds_them(records: list[str], ties: list[tuple[str, str]]) -> None:
    found = together(line("".join(records)), pairs(*ties))
    assert found.select("record", "last").rows() == slowly(records, ties)


def test_a_long_chain_of_ids_that_are_handed_on_is_one_group_and_soon_found() -> None:
    """Two chains of 10,000 records each, in any order, and another object's record of the same name."""
    names = [f"r{number}" for number in range(20_000)]
    shuffled = sorted(names, key=lambda name: int(name[1:]) * 7_919 % 20_011)
    order = pl.DataFrame({"object": "o", "record": shuffled}).extend(pl.DataFrame({"object": ["x"], "record": ["r7"]}))
    chained = [(one, other) for one, other in itertools.pairwise(names) if other != "r10000"]
    found = together(order, pairs(*chained))
    one, other = ([name for name in shuffled if (int(name[1:]) < 10_000) is low] for low in (True, False))
    first, second = (one, other) if shuffled[0] in one else (other, one)
    assert found["record"].to_list() == [*first, *second, "r7"]
    assert found.filter("last").rows() == [("o", first[-1], True), ("o", second[-1], True), ("x", "r7", True)]


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
