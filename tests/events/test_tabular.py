"""CSV and Parquet as messages."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engage_sync.errors import Mistake
from engage_sync.events.lines import LONGEST_LINE
from engage_sync.events.reading import Reading
from engage_sync.events.tabular import read_csv, read_parquet

LATEST = datetime(2026, 6, 2, tzinfo=UTC)
AT = datetime(2026, 5, 1, tzinfo=UTC)


def messages(readings: list[Reading]) -> list[dict[str, object]]:
    return [row for reading in readings for row in reading.messages.to_pylist()]


def csv(path: Path, text: str | bytes) -> list[Reading]:
    path = path / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_csv(path, LATEST))


def parquet(path: Path, **columns: object) -> list[Reading]:
    pq.write_table(pa.table(columns), path / "a.parquet")
    return list(read_parquet(path / "a.parquet", LATEST))


def rejects(readings: list[Reading]) -> list[tuple[int | None, str]]:
    return [(reject.line, reject.reason) for reading in readings for reject in reading.rejects]


def test_csv_columns(tmp_path: Path) -> None:
    text = (
        "\ufeffmessage_id,user_id,event,timestamp,receivedAt,properties.a.b,properties,context.groupId,context.campaign.source,other\r\n"
        'm1,7,e,2026-05-01,,1.0,"{""c"":1.0,""d"":null}",g,s,x\r\n'
        "\r\n"
        "m2,u,e,,2026-05-01T00:00:00Z,,no object,,,\r\n"
    )
    first, second = messages(csv(tmp_path, text))
    assert (first["message_id"], first["user"], first["account"], first["campaign_source"]) == ("m1", "7", "g", "s")
    assert sorted(first["properties"]) == [("a.b", "1.0"), ("c", "1")]  # type: ignore[call-overload]
    assert (first["kind"], first["timestamp"], first["received"]) == ("track", AT, None)
    assert (second["account"], second["timestamp"], second["received"], second["misshapen"]) == (None, AT, AT, True)


def test_csv_kinds_and_traits(tmp_path: Path) -> None:
    text = (
        "type;userId;groupId;previousId;name;timestamp;traits.plan;traits.address.city;traits\n"
        'identify;u;;;;2026-05-01;pro;Graz;"{""x"": null}"\n'
        "group;u;g;;;2026-05-01;;;\n"
        "alias;u;;v;;2026-05-01;;;\n"
        "page;u;;;Home;2026-05-01;;;\n"
        ";u;;;Home;2026-05-01;;;\n"
    )
    readings = csv(tmp_path, text)
    found = messages(readings)
    assert [row["kind"] for row in found] == ["identify", "group", "alias", "page"]
    traits = {(t["key"], t["path"], t["value"]) for t in found[0]["traits"]}  # type: ignore[attr-defined]
    assert traits == {("x", "x", None), ("plan", "plan", "pro"), ("address", "address.city", "Graz")}
    assert found[2]["previous"] == "v"
    assert found[3]["event"] == "Home"
    assert [line for line, _ in rejects(readings)] == [6]


def test_csv_rows_that_are_refused(tmp_path: Path) -> None:
    text = (
        b"userId,event,timestamp\n"
        b"u,e,2026-05-01\n"
        b"u,e\n"
        b"u,e,2026-05-01,x\n"
        b"\xff,e,2026-05-01\n"
        b"a\x00b,e,2026-05-01\n"
        b"u,e,soon\n"
        b"u,e,2027-05-01\n"
        b'"two\nlines",e,2026-05-01\n'
        b",e,2026-05-01\n"
        b"u,e,2026-05-02\n"
    )
    readings = csv(tmp_path, text)
    assert [row["user"] for row in messages(readings)] == ["u", "two\nlines", "u"]
    found = rejects(readings)
    assert [line for line, _ in found] == [3, 4, 5, 6, 7, 8, 11]
    words = ["2 cells", "4 cells", "UTF-8", "U+0000", "soon", "24 hours", "neither"]
    assert all(word in reason for word, (_, reason) in zip(words, found, strict=True))


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    """It costs the longest record, not the rest of the file."""
    row = b"u,e,2026-05-01\n"
    lost = LONGEST_LINE // len(row)
    readings = csv(tmp_path, b'userId,event,timestamp\nu,e,"2026-05-01\n' + row * (lost + 50))
    assert [line for line, _ in rejects(readings)] == [2]
    assert "over 16,777,216 bytes" in rejects(readings)[0][1]
    assert 40 <= sum(reading.messages.num_rows for reading in readings) <= 60


def test_a_quote_in_the_wrong_place(tmp_path: Path) -> None:
    readings = csv(tmp_path, 'userId,event,timestamp\n"u"x,e,2026-05-01\nv,e,2026-05-01\n')
    assert [row["user"] for row in messages(readings)] == ["v"]
    assert rejects(readings)[0][0] == 2
    assert "not CSV" in rejects(readings)[0][1]


@pytest.mark.parametrize(
    ("header", "word"), [("a,b", "no column is named"), ("userId,user_id", "two columns"), ("", "header line")]
)
def test_headers_that_are_wrong(tmp_path: Path, header: str, word: str) -> None:
    with pytest.raises(Mistake, match=word):
        csv(tmp_path, header + "\n")


def test_parquet_types(tmp_path: Path) -> None:
    readings = parquet(
        tmp_path,
        type=["track", "track", "identify"],
        userId=pa.array([1.0, float("nan"), 3.0]),
        groupId=pa.array([None, 12, None], pa.int64()),
        event=["e", "e", None],
        timestamp=pa.array([1_777_593_600_000_000_999] * 3, pa.timestamp("ns")),
        received_at=pa.array([date(2026, 5, 1)] * 3),
        properties=pa.array([{"n": 1, "x": None}, {"n": None, "x": 2.5}, None]),
        traits=pa.array([None, None, '{"plan": "pro"}']),
    )
    first, second, third = messages(readings)
    assert (first["user"], first["account"], first["properties"]) == ("1", None, [("n", "1")])
    assert (second["user"], second["account"], second["properties"]) == (None, "12", [("x", "2.5")])
    assert first["timestamp"] == first["received"] == AT
    assert third["traits"] == [{"key": "plan", "path": "plan", "value": "pro"}]
    assert rejects(readings) == []


def test_parquet_maps_lists_and_dotted_columns(tmp_path: Path) -> None:
    (row,) = messages(
        parquet(
            tmp_path,
            user_id=["u"],
            event=["e"],
            timestamp=["2026-05-01T00:00:00Z"],
            properties=pa.array([[("a", "1"), ("b", None)]], pa.map_(pa.string(), pa.string())),
            **{
                "properties.list": pa.array([[1, 2]]),
                "properties.price": pa.array([Decimal("12.50")]),
                "properties.ok": [True],
                "context.groupId": ["g"],
            },
        )
    )
    assert dict(row["properties"]) == {"a": "1", "list": "[1,2]", "price": "12.5", "ok": "true"}  # type: ignore[call-overload]
    assert row["account"] == "g"


@pytest.mark.parametrize("as_map", [True, False])
def test_a_null_in_a_map_clears_a_trait_and_in_a_struct_is_absent(tmp_path: Path, as_map: bool) -> None:
    traits = pa.array([{"a": "1", "b": None}])
    if as_map:
        traits = pa.array([[("a", "1"), ("b", None)]], pa.map_(pa.string(), pa.string()))
    (row,) = messages(parquet(tmp_path, type=["identify"], user_id=["u"], timestamp=["2026-05-01"], traits=traits))
    assert [(t["key"], t["value"]) for t in row["traits"]] == [("a", "1")] + [("b", None)] * as_map  # type: ignore[attr-defined]


def test_parquet_rows_that_are_refused(tmp_path: Path) -> None:
    readings = parquet(
        tmp_path,
        userId=pa.array([b"u", b"\xff", b"a\x00", b""]),
        event=["e"] * 4,
        timestamp=["2026-05-01"] * 4,
        properties=['{"a":"\\u0000"}', None, None, None],
    )
    assert messages(readings) == []
    assert [line for line, _ in rejects(readings)] == [1, 2, 3, 4]


def test_csv_parquet_and_lines_derive_the_same_id(tmp_path: Path) -> None:
    rows = messages(csv(tmp_path, "userId,event,timestamp,properties.a\nu,e,2026-05-01,x\n"))
    rows += messages(
        parquet(tmp_path, userId=["u"], event=["e"], timestamp=pa.array([AT]), properties=[json.dumps({"a": "x"})])
    )
    assert len({row["message_id"] for row in rows}) == 1
