"""The CSV of Bulk jobs, both ways."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.connectors.base import Change, Field
from engage_sync.connectors.salesforce_csv import columns, files, results, writable
from engage_sync.connectors.salesforce_fields import Shape, full_id
from engage_sync.core.definitions import ValueType
from engage_sync.errors import Transient

FIELDS = ("Title", "Description", "Score__c", "Champion__c")
SHAPE = Shape(
    "Contact",
    {
        "Title": Field("Title", "Title", ValueType.TEXT, "string"),
        "Description": Field("Description", "Description", ValueType.LONG_TEXT, "textarea"),
        "Score__c": Field("Score__c", "Score", ValueType.NUMBER, "double"),
        "Champion__c": Field("Champion__c", "Champion", ValueType.BOOLEAN, "boolean", blank="false"),
    },
    queryable=True,
    updateable=True,
)
ID = full_id("003A0000000000a")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


@settings(max_examples=60)
@given(
    values=st.lists(
        st.dictionaries(st.sampled_from(FIELDS[:3]), st.one_of(st.none(), TEXT), max_size=3), min_size=1, max_size=8
    ),
    most=st.integers(40, 400),
)
def test_every_cell_is_read_back(values: list[dict[str, str | None]], most: int) -> None:
    """An empty cell where a row says nothing, #N/A where it clears, the very text otherwise, in files of any size."""
    rows = [row for n, one in enumerate(values) if writable(row := Change(full_id(f"003A000000000{n:02}"), one))]
    fields = columns(rows)
    made = list(files(rows, fields, SHAPE, most))
    assert [row for file in made for row in file.rows] == rows
    found = [row for file in made for row in read(file.data)]
    wanted = [{"Id": r.record, **{n: (r.values[n] or "#N/A") if n in r.values else "" for n in fields}} for r in rows]
    assert found == wanted
    assert all(len(file.data) <= most or len(file.rows) == 1 for file in made)


def test_clearing_a_checkbox_is_false() -> None:
    rows = [Change(ID, {"Champion__c": None, "Title": ""})]
    (file,) = files(rows, columns(rows), SHAPE, 1_000)
    assert read(file.data) == [{"Id": ID, "Champion__c": "false", "Title": "#N/A"}]
    assert file.data.startswith(b"Id,Champion__c,Title\n")
    assert b"\r" not in file.data


@pytest.mark.parametrize(
    ("value", "can"), [("#N/A", False), ("a\0b", False), ("\ud83d", False), ("#n/a", True), ("é", True)]
)
def test_what_csv_cannot_say_is_told(value: str, can: bool) -> None:
    assert writable(Change(ID, {"Title": value})) is can


def test_results_are_found_by_id_with_newlines_quotes_and_commas() -> None:
    other = full_id("003A0000000000B")
    data = (
        '"sf__Id","sf__Error","Id","Title"\n'
        f'"{ID[:15]}","A:b, ""c"":--","{ID}","x\ny, ""z"" 😀"\r\n'
        f'"","STRING_TOO_LONG:too long:Title --","{other}",""\n'
    )
    assert list(results(data.encode(), "it")) == [
        (ID, 'A:b, "c":--'),
        (other, "STRING_TOO_LONG:too long:Title --"),
    ]
    assert list(results(b'\xef\xbb\xbf"Id","Title"\n"%s","x"\n' % ID.encode(), "it")) == [(ID, "")]
    assert list(results(b"", "it")) == list(results(b'"sf__Id","sf__Created"\n', "it")) == []


@pytest.mark.parametrize(
    "data",
    [b"<html><body>wait</body></html>", b'"sf__Id","x"\n"003A0000000000aAAA","cut', b'"sf__Id"\n"\xff\xfe"\n'],
)
def test_results_that_are_none_are_worth_another_try(data: bytes) -> None:
    with pytest.raises(Transient):
        list(results(data, "the results"))


def test_row_cut_short_says_nothing() -> None:
    assert list(results(b'"sf__Id","sf__Created","Id"\n"003A0000000000aAAA"', "it")) == []


def test_longest_cell_is_read() -> None:
    data = f'"sf__Id","Description"\n"{ID}","{"x" * 200_000}"\n'
    assert list(results(data.encode(), "it")) == [(ID, "")]
