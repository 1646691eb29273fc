"""SOQL: what is a query, what a wrong one answers, and that each finds what a slow reading of it finds."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.sandbox.salesforce_fields import FieldDef, choices
from engage_sync.sandbox.salesforce_query import Runner
from engage_sync.sandbox.salesforce_refusal import Denied
from engage_sync.sandbox.salesforce_soql import parse
from engage_sync.sandbox.salesforce_store import SalesforceStore

START = datetime(2026, 6, 1, tzinfo=UTC)
TAGS = FieldDef("Tags__c", "Tags", "multipicklist", 4099, choices=choices(["a", "b", "c"]), custom=True)
SCORE = FieldDef("Score__c", "Score", "double", precision=18, scale=2, custom=True)


def ids(store: SalesforceStore, soql: str, *, deleted: bool = False) -> list[str]:
    return [record.id for record in Runner(store).run(parse(soql), deleted=deleted).records]


# -- against a slow evaluator


class Case:
    """A condition as SOQL and as Python over a record's values."""

    def __init__(self, soql: str, test: Any) -> None:
        self.soql = soql
        self.test = test

    def __repr__(self) -> str:
        return self.soql


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def stamp(second: int) -> str:
    return (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


COMPARE = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a is not None and a < b,
    "<=": lambda a, b: a is not None and a <= b,
    ">": lambda a, b: a is not None and a > b,
    ">=": lambda a, b: a is not None and a >= b,
}
TITLES = ("", "CEO", "ceo", "it's", "a%b", "Zebra")


def low(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


@st.composite
def leaf(draw: st.DrawFn, known: tuple[str, ...]) -> Case:  # noqa: PLR0911  (one return for each kind of condition)
    sign = draw(st.sampled_from(sorted(COMPARE)))
    compare = COMPARE[sign]
    match draw(st.integers(0, 7)):
        case 0:
            number = draw(st.sampled_from(known))
            shown = number[:15] if draw(st.booleans()) else number
            return Case(f"Id {sign} '{shown}'", lambda v: compare(v["Id"], number))
        case 1:
            second = draw(st.integers(-1, 5))
            at = START + timedelta(seconds=second)
            return Case(f"SystemModstamp {sign} {stamp(second)}", lambda v: compare(v["SystemModstamp"], at))
        case 2:
            word = draw(st.sampled_from(TITLES[1:]))
            return Case(f"Title {sign} {quoted(word)}", lambda v: compare(low(v["Title"]), word.lower()))
        case 3:
            number = draw(st.integers(-1, 3))
            return Case(f"Score__c {sign} {number}", lambda v: compare(v["Score__c"], number))
        case 4:
            wanted = draw(st.booleans())
            name = "DoNotCall"
            return Case(f"{name} = {str(wanted).lower()}", lambda v: v[name] is wanted)
        case 5:
            several = draw(st.lists(st.sampled_from(TITLES[1:]), min_size=1, max_size=3))
            inside = {one.lower() for one in several}
            negated = draw(st.booleans())
            word = "NOT IN" if negated else "IN"
            listed = ", ".join(map(quoted, several))
            return Case(f"Title {word} ({listed})", lambda v: (low(v["Title"]) in inside) != negated)
        case 6:
            groups = draw(st.lists(st.sampled_from(["a", "b", "a;b", "b;c"]), min_size=1, max_size=2))
            sets = [set(group.split(";")) for group in groups]
            negated = draw(st.booleans())
            word = "EXCLUDES" if negated else "INCLUDES"
            listed = ", ".join(map(quoted, groups))
            held = lambda v: set((v["Tags__c"] or "").split(";"))  # noqa: E731
            return Case(f"Tags__c {word} ({listed})", lambda v: any(one <= held(v) for one in sets) != negated)
    pattern = draw(st.sampled_from(["c%", "%e%", "_eo", "a\\%b", "%"]))
    regex = {"c%": "c.*", "%e%": ".*e.*", "_eo": ".eo", "a\\%b": "a%b", "%": ".*"}[pattern]
    return Case(f"Title LIKE '{pattern}'", lambda v: bool(re.fullmatch(regex, v["Title"] or "", re.IGNORECASE)))


def joined(cases: list[Case], word: str) -> Case:
    every = all if word == "AND" else any
    soql = f" {word} ".join(f"({case.soql})" for case in cases)
    return Case(soql, lambda v: every(case.test(v) for case in cases))


def conditions(known: tuple[str, ...]) -> st.SearchStrategy[Case]:
    return st.recursive(
        leaf(known),
        lambda inner: st.one_of(
            st.builds(joined, st.lists(inner, min_size=2, max_size=3), st.sampled_from(["AND", "OR"])),
            st.builds(lambda case: Case(f"NOT ({case.soql})", lambda v: not case.test(v)), inner),
        ),
        max_leaves=5,
    )


@pytest.fixture(scope="module")
def crowd() -> SalesforceStore:
    """Forty people, several in one second, touched in another order than made, some deleted."""
    store = SalesforceStore(clock=lambda: START)
    store.add_field("Contact", TAGS)
    store.add_field("Contact", SCORE)
    made = []
    for n in range(40):
        values = {"LastName": str(n), "Title": TITLES[n % 6], "DoNotCall": n % 3 == 0, "SystemModstamp": START}
        tags = ["", "a", "a;b", "c"][n % 4]
        made.append({**values, "Tags__c": tags, "Score__c": None if n % 5 == 0 else n % 4})
    numbers = store.create_many("Contact", made)
    for n in range(5):
        store.clock = lambda n=n: START + timedelta(seconds=n)  # type: ignore[misc]
        store.touch("Contact", numbers[n * 7 % 40 :: 5][::-1])
    for one in numbers[::9]:
        store.delete("Contact", one)
    return store


ORDERS = {
    "": ("Id",),
    "ORDER BY Id": ("Id",),
    "ORDER BY SystemModstamp": ("SystemModstamp", "Id"),
    "ORDER BY SystemModstamp, Id": ("SystemModstamp", "Id"),
}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_every_query_finds_what_a_slow_reading_finds(crowd: SalesforceStore, data: st.DataObject) -> None:
    everybody = crowd.ids("Contact") + crowd.ids("Contact", deleted=True)
    case = data.draw(conditions(tuple(everybody)))
    order, keys = data.draw(st.sampled_from(sorted(ORDERS.items())))
    limit, deleted = data.draw(st.integers(0, 12)), data.draw(st.booleans())
    rows = [crowd.values("Contact", one, deleted=None) for one in everybody]
    wanted = [v for v in rows if (deleted or not v["IsDeleted"]) and case.test(v)]
    wanted.sort(key=lambda v: [v[key] for key in keys])
    soql = f"SELECT Id FROM Contact WHERE {case.soql} {order}"
    assert ids(crowd, soql, deleted=deleted) == [v["Id"] for v in wanted]
    assert ids(crowd, f"{soql} LIMIT {limit} OFFSET 1", deleted=deleted) == [v["Id"] for v in wanted][1 : 1 + limit]


def test_keyset_pages_over_ties_give_everybody_once(crowd: SalesforceStore) -> None:
    seen: list[str] = []
    where = ""
    while True:
        page = ids(crowd, f"SELECT Id FROM Contact {where} ORDER BY SystemModstamp, Id LIMIT 3", deleted=True)
        if not page:
            break
        seen += page
        at = crowd.stamp("Contact", page[-1]).strftime("%Y-%m-%dT%H:%M:%S%z")
        last = f"(SystemModstamp = {at} AND Id > '{page[-1]}')"
        where = f"WHERE (SystemModstamp > {at} OR {last})"
    assert sorted(seen) == sorted(crowd.ids("Contact") + crowd.ids("Contact", deleted=True))
    assert len(seen) == 40


def test_orders_put_nulls_where_they_are_wanted(crowd: SalesforceStore) -> None:
    def scores(order: str) -> list[object]:
        rows = ids(crowd, f"SELECT Id FROM Contact ORDER BY {order}")
        return [crowd.values("Contact", one)["Score__c"] for one in rows]

    assert scores("Score__c")[0] is None
    assert scores("Score__c DESC")[0] is None
    assert scores("Score__c ASC NULLS LAST")[-1] is None
    assert scores("Score__c DESC NULLS LAST")[0] == 3
    full = [one for one in scores("Score__c DESC") if one is not None]
    assert full == sorted(full, reverse=True)  # type: ignore[type-var]


# -- what is refused


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT FROM Contact", "MALFORMED_QUERY"),
        ("SELECT Id Contact", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Title = 'a' AND Title = 'b' OR Title = 'c'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Title = 'it's'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Title = 'a\\q'", "MALFORMED_QUERY"),
        ('SELECT Id FROM Contact WHERE Title = "a"', "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE SystemModstamp > 2026-06-01T00:00:00 00:00", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE SystemModstamp > 2026-06-01T00:00:00", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Title IN ()", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact LIMIT x", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact LIMIT 2 ORDER BY Id", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact; DROP", "MALFORMED_QUERY"),
        ("SELECT FIELDS(ALL) FROM Contact", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
        ("SELECT Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Nope = 1", "INVALID_FIELD"),
        ("SELECT Id FROM Contact ORDER BY Nope", "INVALID_FIELD"),
        ("SELECT Account.Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT Nope.Name FROM Contact", "INVALID_FIELD"),
        ("SELECT Id, id FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT Id FROM Contact WHERE SystemModstamp > '2026-06-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Title = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE DoNotCall = 'true'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE DoNotCall > true", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Birthdate = 2026-06-01T00:00:00Z", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Title < null", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Id LIKE '003%'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Id = 'abc'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Contact WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact ORDER BY Description", "INVALID_FIELD"),
        ("SELECT Id FROM Contact ORDER BY Tags__c", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Title INCLUDES ('a')", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Tags__c IN ('a')", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Title = '" + "x" * 100_000 + "'", "QUERY_TOO_COMPLICATED"),
    ],
)
def test_wrong_queries(crowd: SalesforceStore, soql: str, code: str) -> None:
    with pytest.raises(Denied) as denied:
        ids(crowd, soql)
    assert (denied.value.status, denied.value.error.code) == (400, code)


@given(st.text(max_size=60))
def test_any_text_is_a_query_or_is_refused(text: str) -> None:
    for soql in (text, f"SELECT Id FROM Contact WHERE {text}", f"SELECT Id FROM Contact WHERE Title = '{text}'"):
        with suppress(Denied):
            assert parse(soql).object


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_an_escaped_text_is_itself(text: str) -> None:
    where: Any = parse(f"SELECT Id FROM Contact WHERE Title = {quoted(text)}").where
    assert where.literal.value == text


def test_names_are_found_whatever_their_case(crowd: SalesforceStore) -> None:
    query = parse(
        "select ID, contact.lastname, account.NAME from CONTACT where lastNAME = '3' order by LASTNAME limit 5"
    )
    found = Runner(crowd).run(query)
    assert [column.path for column in found.columns] == [("Id",), ("LastName",), ("Account", "Name")]
    assert len(found.records) == 1
