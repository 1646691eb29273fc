"""Ids that others hold, over plans made by hand, and against a slow reading of the rule: a record cannot have an id
while another one holds it that keeps its own, because it does not move or cannot."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.unique_ids import refuse_taken

from .test_plan import plan, text_field


def refused(wanted: dict[str, str], held: dict[str, str]) -> dict[str, str]:
    """Plan who wants which id of the unique field `a`; give the reason of each that is refused."""
    planned = plan(
        (text_field(),),
        wanted={record: {"a": text} for record, text in wanted.items()},
        links={record: record for record in wanted},
        seen={record: {"a": text} for record, text in held.items()},
    )
    records = pl.DataFrame(list(held.items()), schema={"record": pl.String, "crm.a": pl.String}, orient="row")
    return dict(
        refuse_taken(planned, records, "a").changes.filter(decision="refused").select("record", "reason").rows()
    )


def test_ids_go_round_and_one_that_is_kept_stops_all_behind_it() -> None:
    """1 and 2 swap; 5 keeps `e`, so 4 cannot have it and keeps `d`, which 3 wants; 6 gets what nobody holds."""
    held = {"1": "a", "2": "b", "3": "c", "4": "d", "5": "e", "6": "f"}
    wanted = {"1": "b", "2": "a", "3": "d", "4": "e", "5": "e", "6": "g"}
    assert refused(wanted, held) == {
        "3": "record 4 holds this id already",
        "4": "record 5 holds this id already",
    }


def test_a_list_that_is_shifted_by_one_line_is_refused_as_a_whole() -> None:
    count = 3_000
    held = {str(number): f"id{number}" for number in range(count + 1)}
    wanted = {str(number): f"id{number - 1}" for number in range(1, count + 1)}
    assert refused(wanted, held) == {
        str(number): f"record {number - 1} holds this id already" for number in range(1, count + 1)
    }


IDS = st.sampled_from(["a", "b", "c", "d", ""])
RECORDS = st.sampled_from([str(number) for number in range(6)])


@settings(deadline=None, max_examples=100)
@given(held=st.dictionaries(RECORDS, IDS, min_size=6), wanted=st.dictionaries(RECORDS, IDS))
def test_any_mixture_against_the_rule_read_slowly(held: dict[str, str], wanted: dict[str, str]) -> None:
    """Two records may hold one id: a text field that nobody declared unique."""
    moving = {record for record, text in wanted.items() if text != held[record]}
    cannot = set[str]()
    while True:
        keeping = set(held) - (moving - cannot)
        more = {
            record
            for record in moving
            if wanted[record] and any(held[one] == wanted[record] for one in keeping - {record})
        }
        if more == cannot:
            break
        cannot = more
    assert set(refused(wanted, held)) == cannot
