"""What Salesforce says of one row, and whose answer is whose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage_sync.connectors.salesforce_errors import Trouble
from engage_sync.connectors.salesforce_fields import full_id
from engage_sync.connectors.salesforce_rows import (
    NO_ANSWER,
    Fate,
    Said,
    aligned,
    csv_trouble,
    fate,
    fields_of,
    in_order,
    sentence,
)

IDS = [full_id(f"003A0000000000{mark}") for mark in "aBcDeFgHiJ"]


def result(record: str, *, good: bool) -> dict[str, object]:
    if good:
        return {"id": record, "success": True, "errors": []}
    return {"success": False, "errors": [{"statusCode": "STRING_TOO_LONG", "message": record, "fields": []}]}


@given(good=st.lists(st.booleans(), min_size=10, max_size=10))
def test_complete_answer_is_read_by_position(good: list[bool]) -> None:
    answer = [result(record, good=fine) for record, fine in zip(IDS, good, strict=True)]
    said = list(aligned(IDS, answer))
    assert [one.written for one in said] == good
    assert all(one.written or one.troubles[0].message == record for one, record in zip(said, IDS, strict=True))


@pytest.mark.lesson(21)
@given(good=st.lists(st.booleans(), min_size=10, max_size=10), kept=st.sets(st.integers(0, 9)))
def test_incomplete_answer_is_never_given_to_another_row(good: list[bool], kept: set[int]) -> None:
    """A row may end without an answer, but no row gets another's, and every success that has an id is found."""
    answer = [result(IDS[n], good=good[n]) for n in sorted(kept)]
    for place, said in enumerate(aligned(IDS, answer)):
        assert said.written == (good[place] and place in kept)
        if not said.written:
            assert said.troubles[0] is NO_ANSWER or said.troubles[0].message == IDS[place]


def test_answer_with_ids_of_fifteen_characters_in_another_order() -> None:
    said = aligned(IDS[:3], [result(one[:15], good=True) for one in (IDS[2], IDS[0], IDS[1])])
    assert [one.written for one in said] == [True, True, True]


@pytest.mark.lesson(21)
@pytest.mark.parametrize("strange", [None, "no", 5, {}, {"success": False}, {"success": "true"}, {"errors": []}])
def test_result_that_says_nothing_is_no_success(strange: object) -> None:
    assert [one.troubles for one in aligned(IDS[:1], [strange])] == [(NO_ANSWER,)]


@pytest.mark.parametrize(
    ("told", "trouble"),
    [
        ("STRING_TOO_LONG:Title: too large: a:b:Title --", ("STRING_TOO_LONG", "Title: too large: a:b", ("Title",))),
        ("UNABLE_TO_LOCK_ROW:unable to obtain:--", ("UNABLE_TO_LOCK_ROW", "unable to obtain", ())),
        ("REQUIRED_FIELD_MISSING:missing: [A, B]:A,B --", ("REQUIRED_FIELD_MISSING", "missing: [A, B]", ("A", "B"))),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION:no", ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "no", ())),
        ("something else: entirely", (None, "something else: entirely", ())),
        ("", (None, None, ())),
    ],
)
def test_error_of_a_job_is_taken_apart(told: str, trouble: tuple[str, str, tuple[str, ...]]) -> None:
    assert csv_trouble(told) == Trouble(*trouble)


@pytest.mark.parametrize(
    ("code", "message", "fields", "expected"),
    [
        ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", (), Fate.LATER),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "trigger: UNABLE_TO_LOCK_ROW, 001…", (), Fate.LATER),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "System.LimitException: Too many SOQL queries: 101", (), Fate.LATER),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "trigger: null pointer", (), Fate.REFUSED),
        ("SERVER_UNAVAILABLE", None, (), Fate.LATER),
        ("ENTITY_IS_DELETED", "entity is deleted", (), Fate.LOST),
        ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ("Id",), Fate.LOST),
        ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ("AccountId",), Fate.REFUSED),
        ("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", ("Status",), Fate.LOST),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "no", (), Fate.REFUSED),
        ("DUPLICATE_VALUE", "duplicate value found", ("X__c",), Fate.REFUSED),
        (None, None, (), Fate.REFUSED),
    ],
)
def test_fate_follows_the_table(code: str | None, message: str | None, fields: tuple[str, ...], expected: Fate) -> None:
    assert fate([Trouble(code, message, fields)]) is expected


def test_results_of_a_creation_are_told_by_position_or_not_at_all() -> None:
    bad = {"success": False, "errors": [{"statusCode": "STRING_TOO_LONG", "message": "x", "fields": []}]}
    good = {"id": "00T5g0000000001", "success": True, "errors": []}
    nobody = Said(written=False, troubles=(NO_ANSWER,))
    assert in_order(3, [good, bad, {"success": True, "errors": []}]) == [
        Said(written=True, record="00T5g0000000001EAA"),
        Said(written=False, troubles=(Trouble("STRING_TOO_LONG", "x"),)),
        nobody,
    ]
    assert in_order(3, [good, bad]) == in_order(3, [good] * 4) == in_order(3, []) == [nobody] * 3


def test_lock_counts_before_a_refusal() -> None:
    assert fate([Trouble("DUPLICATE_VALUE", "x"), Trouble("UNABLE_TO_LOCK_ROW", "y")]) is Fate.LATER


@pytest.mark.parametrize(
    ("trouble", "field"),
    [
        (Trouble("INVALID_FIELD", "No such column 'Engage_Health__c' on sobject of type Contact"), "Engage_Health__c"),
        (Trouble("INVALID_FIELD", "InvalidBatch : Field name not found : Engage_Health__c"), "Engage_Health__c"),
        (
            Trouble(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                "Unable to create/update fields: Engage_Health__c. Please check the security settings of this field",
            ),
            "Engage_Health__c",
        ),
        (Trouble("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to update", ("Engage_Health__c",)), "Engage_Health__c"),
    ],
)
def test_hidden_field_is_named_with_where_to_click(trouble: Trouble, field: str) -> None:
    assert fields_of(trouble) == [field]
    words = sentence([trouble], "Contact")
    assert words.startswith(trouble.message or "")
    assert f"Setup → Object Manager → Contact → Fields & Relationships → {field} → Set Field-Level Security" in words


def test_other_refusals_keep_salesforces_words() -> None:
    assert sentence([Trouble("DUPLICATE_VALUE", "duplicate value found: X")], "Lead") == "duplicate value found: X"
    assert sentence([Trouble("DUPLICATE_VALUE", None)], "Lead") == "no reason given"
