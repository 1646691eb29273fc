"""Ids of 15 and 18 characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage_sync.sandbox.salesforce_ids import full, mint, normal


@pytest.mark.parametrize(
    ("short", "long"), [("00300000003T2PG", "00300000003T2PGAA0"), ("001D000000IRFma", "001D000000IRFmaIAH")]
)
def test_known_ids(short: str, long: str) -> None:
    assert full(short) == long


@given(st.integers(0, 62**9 - 2))
def test_ids_grow_and_both_forms_are_one(number: int) -> None:
    one, next_ = mint("003", number), mint("003", number + 1)
    assert one < next_
    assert one[:15] < next_[:15]
    assert normal(one[:15]) == normal(one) == one
    assert len(one) == 18


@pytest.mark.parametrize("text", ["", "1", "003000000000001AAB", "0030000-0000001", "é" * 15, "0" * 16])
def test_no_ids(text: str) -> None:
    assert normal(text) is None


def test_ids_that_differ_in_case_only_are_different() -> None:
    assert full("003000000000aaa") != full("003000000000AAA")
    assert full("003000000000aaa").lower()[:15] == full("003000000000AAA").lower()[:15]
    assert full("003000000000aaa").lower() != full("003000000000AAA").lower(), "the suffix tells them apart"
