from __future__ import annotations

import ibis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events.slow_measure import weight_of

from engage_sync.events.names import looked_up, weights_of
from engage_sync.events.schema import SCHEMA

TEXTS = st.text("ab[]*?!", min_size=1, max_size=4)
ENTRIES = st.dictionaries(TEXTS, st.integers(0, 10), max_size=6).map(lambda told: tuple(told.items()))


@given(st.sets(TEXTS, max_size=8), ENTRIES)
def test_weights_are_those_of_the_exact_entry_else_of_the_first_glob(
    names: set[str], entries: tuple[tuple[str, int], ...]
) -> None:
    expected = {name: weight for name in names if (weight := weight_of(name, entries))}
    assert weights_of(names, entries) == expected


def test_a_name_that_is_an_entry_letter_by_letter_is_exact_whatever_it_holds() -> None:
    entries = (("a*", 1), ("[a]", 2), ("*", 3), ("aa", 0), ("b?", 4))
    assert weights_of(["a", "aa", "ab", "[a]", "*", "b?", "bc"], entries) == {
        "a": 1,
        "ab": 1,
        "[a]": 2,
        "*": 3,
        "b?": 4,
        "bc": 3,
    }


@pytest.mark.parametrize("weights", [{"it's": 3, "back\\slash": -4, "日本": 10}, {"it's": 2**40, "": 1}])
def test_both_forms_of_the_look_up_agree(weights: dict[str, int]) -> None:
    connection = ibis.duckdb.connect()
    names = [*weights, "other", None, "IT'S"]
    connection.con.register("told", pa.table({"place": range(len(names)), "event": pa.array(names, pa.string())}))
    events = connection.table("told").order_by("place")
    for engine in ("duckdb", "another"):
        asked = events.select(weight=looked_up(weights, events["event"], engine))
        told = connection.raw_sql(connection.compile(asked)).fetchall()
        assert [weight for (weight,) in told] == [weights.get(name) for name in names]
    connection.disconnect()


@pytest.mark.parametrize("engine", ["pyspark", "trino", "clickhouse", "snowflake", "postgres"])
def test_the_look_up_compiles_for_other_engines(engine: str) -> None:
    table = ibis.table(ibis.schema(SCHEMA), name="messages")
    asked = table.agg(raw=looked_up({"report": 7}, table["event"], engine).sum(where=table["user"].notnull()))
    text = str(ibis.to_sql(asked, dialect=engine))
    assert "report" in text
    assert "map_extract_value" not in text.lower()
