from __future__ import annotations

import ibis
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.core.tiny_expressions import KINDS, ROWS, Part, Row, truths

from engage_sync.core.expressions import Type, parse
from engage_sync.events.where import to_ibis

CONNECTION = ibis.duckdb.connect()
NAMES = {"event": Type.TEXT, "kind": Type.TEXT}
PROPERTIES = {
    "role": "admin",
    "n": "5",
    "long": "1e2",
    "bad": "5 apples",
    "space": " 5",
    "wide": "1e999",
    "nan": "NaN",
    "flag": "true",
    "off": "false",
    "empty": "",
    "address.city": "Oslo",
    "list": "[1,2]",
    "my key": "x",
    "case": "y",
}


def value(text: str) -> bool | None:
    schema = pa.schema({"event": pa.string(), "kind": pa.string(), "properties": pa.map_(pa.string(), pa.string())})
    rows = [{"event": "report_run", "kind": "track", "properties": list(PROPERTIES.items())}]
    table = ibis.memtable(pa.Table.from_pylist(rows, schema=schema))
    expression = parse(text, NAMES, open_prefixes=("properties.",))
    return CONNECTION.to_pyarrow(table.select(it=to_ibis(expression, table)))["it"].to_pylist()[0]


@pytest.mark.parametrize(
    "text",
    [
        "event = 'report_run' and kind in ('track', 'page') and event like 'report%'",
        "properties.role = 'admin' and properties.role <> 'Admin' and properties.role ilike 'ADMIN'",
        "properties.n > 4 and properties.n = 5 and properties.n between 1 and 5 and properties.n in (1, 5)",
        "properties.n = '5' and properties.long = 100 and properties.long <> '100'",
        "properties.n * 2 + 1 = 11 and -properties.n = -5 and abs(properties.n) = 5 and round(properties.n / 2) = 3",
        "(properties.bad > 1) is null and (properties.space > 1) is null and (properties.empty = 0) is null",
        "(properties.wide > 1) is null and (properties.nan > 1) is null and (properties.none = 1) is null",
        "properties.flag = true and properties.off = false and properties.flag is true and properties.role <> true",
        "properties.none is null and properties.empty is not null and properties.empty = ''",
        "coalesce(properties.none, properties.role) = 'admin' and coalesce(properties.bad, 3) = 3",
        "nullif(properties.role, 'admin') is null and nullif(properties.n, 6) = 5",
        "properties.address.city = 'Oslo' and properties.\"my key\" = 'x' and properties.case = 'y'",
        "length(properties.list) = 5 and upper(properties.role) = 'ADMIN' and properties.n / 0 is null",
        "properties.role in ('x', 'admin', 3, true)",
        "(not properties.none = 1) is null and (not kind = 'page') = true and (not not event = 'x') is not null",
    ],
)
def test_what_is_true_by_hand(text: str) -> None:
    assert value(text) is True


def test_numbers_that_overflow_are_no_errors() -> None:
    assert value("floor(properties.n * 1e300) > 1e200 and ceil(properties.n * 1e308 * 10) > 1") is True


@settings(max_examples=50, phases=[Phase.reuse, Phase.generate])
@given(st.lists(truths(), min_size=1, max_size=8), st.lists(ROWS, min_size=1, max_size=6))
def test_agrees_with_the_tiny_interpreter(parts: list[Part], rows: list[Row]) -> None:
    names = dict.fromkeys(("a", "b"), Type.NUMBER) | dict.fromkeys(("plan", "role"), Type.TEXT)
    names |= dict.fromkeys(("active", "types.power"), Type.BOOLEAN) | {"renewal_date": Type.DATE}
    dtypes = {Type.NUMBER: pa.float64(), Type.TEXT: pa.string(), Type.BOOLEAN: pa.bool_(), Type.DATE: pa.date32()}
    assert names.keys() == {*KINDS, "renewal_date"}
    table = ibis.memtable(pa.Table.from_pylist(rows, schema=pa.schema({k: dtypes[v] for k, v in names.items()})))
    asked = {str(number): to_ibis(parse(text, names), table) for number, (text, _) in enumerate(parts)}
    found = CONNECTION.to_pyarrow(table.select(**asked))
    for number, (text, read) in enumerate(parts):
        assert found[str(number)].to_pylist() == [read(row) for row in rows], text
