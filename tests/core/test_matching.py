"""Matching (semantics §5): each level and each ambiguity by hand, and the whole against a slow one written as loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.matching import AMBIGUOUS, LINKS, Matches, match

ENTITIES = {"external_id": pl.String, "key": pl.String, "deactivated": pl.Boolean}
RECORDS = {"record": pl.String, "external_id": pl.String, "key": pl.String, "further": pl.List(pl.String)}
FREE_MAIL = frozenset({"gmail.com"})

Person = tuple[str, str | None, bool]
Record = tuple[str, str | None, str | None, list[str]]
Pairs = Sequence[tuple[str, str | None]]


def run(
    people: Sequence[Person],
    records: Sequence[Record],
    stored: Pairs = (),
    gone: Pairs = (),
    aliases: Pairs = (),
    key: Literal["email", "domain"] = "email",
) -> Matches:
    def pairs(rows: Pairs, *names: str) -> pl.DataFrame:
        return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")

    return match(
        pl.DataFrame(people, schema=ENTITIES, orient="row"),
        pl.DataFrame(records, schema=RECORDS, orient="row"),
        pairs(stored, "record", "external_id"),
        pairs(gone, "record", "moved_to"),
        pairs(aliases, "alias", "external_id"),
        key=key,
        free_mail=FREE_MAIL,
    )


def person(name: str, key: str | None = None, *, deactivated: bool = False) -> Person:
    return (name, key, deactivated)


def record(name: str, external_id: str | None = None, key: str | None = None, *further: str) -> Record:
    return (name, external_id, key, list(further))


def links(matches: Matches) -> set[tuple[str, str, str]]:
    return set(matches.links.iter_rows())


def stopped(matches: Matches) -> dict[str, list[str]]:
    """Give the candidates of each ambiguous record and entity."""
    rows = matches.ambiguous.select("record", "external_id", "candidates").iter_rows()
    return {one or other: candidates for one, other, candidates in rows}


@pytest.mark.lesson(6, "reformatted")
def test_levels_answer_in_order() -> None:
    people = [person("u1", "u1@x"), person("u2", "u2@x"), person("u3", "u3@x"), person("u4", "u4@x")]
    records = [
        record("1", None, "other@x"),
        record("2", "u2", "u1@x"),
        record("3", None, " U3@X "),
        record("4", None, "boss@x", "x@x", "u4@x"),
        record("5", None, "u4@y"),
    ]
    result = run(people, records, stored=[("1", "u1")])
    assert links(result) == {
        ("1", "u1", "link"),
        ("2", "u2", "external_id"),
        ("3", "u3", "email"),
        ("4", "u4", "further_email"),
    }
    assert result.ambiguous.is_empty()


def test_stored_link_beats_the_external_id_and_the_email() -> None:
    result = run(
        [person("u1", "a@x"), person("u2", "b@x")],
        [record("1", "u2", "b@x"), record("2", "u1", "a@x")],
        stored=[("1", "u1")],
    )
    assert links(result) == {("1", "u1", "link")}


def test_record_taken_at_an_earlier_level_is_no_candidate_at_a_later_one() -> None:
    result = run([person("u1", "a@x"), person("u2", "a@x")], [record("1", "u1", "a@x"), record("2", None, "a@x")])
    assert links(result) == {("1", "u1", "external_id"), ("2", "u2", "email")}
    assert result.ambiguous.is_empty()


def test_two_contacts_with_one_email_are_ambiguous() -> None:
    result = run([person("u1", "a@x")], [record("1", None, "a@x"), record("2", None, "A@x")])
    assert links(result) == set()
    assert stopped(result) == {"1": ["u1"], "2": ["u1"], "u1": ["1", "2"]}
    assert result.ambiguous["level"].unique().to_list() == ["email"]


def test_two_users_with_one_email_are_ambiguous() -> None:
    result = run([person("u1", "a@x"), person("u2", "a@x")], [record("1", None, "a@x")])
    assert links(result) == set()
    assert stopped(result) == {"1": ["u1", "u2"], "u1": ["1"], "u2": ["1"]}


def test_ambiguity_stops_there_for_all_involved() -> None:
    people = [person("u1", "a@x"), person("u2", "b@x")]
    records = [record("1", "u1", None), record("2", "u1", "b@x"), record("3", None, "a@x")]
    result = run(people, records)
    assert links(result) == set()
    assert stopped(result) == {"1": ["u1"], "2": ["u1"], "u1": ["1", "2"]}


def test_further_emails_of_one_contact_naming_two_users_are_ambiguous() -> None:
    result = run(
        [person("u1", "a@x"), person("u2", "b@x"), person("u3", "c@x")],
        [record("1", None, None, "a@x", "b@x", "a@x"), record("2", None, None, "b@x"), record("3", None, None, "c@x")],
    )
    assert links(result) == {("3", "u3", "further_email")}
    assert stopped(result) == {"1": ["u1", "u2"], "2": ["u2"], "u1": ["1"], "u2": ["1", "2"]}


def test_any_id_of_a_user_matches() -> None:
    people = [person("new"), person("other")]
    result = run(
        people, [record("1", "old"), record("2")], stored=[("2", "elder")], aliases=[("elder", "other"), ("old", "new")]
    )
    assert links(result) == {("1", "new", "external_id"), ("2", "other", "link")}


def test_links_of_two_ids_that_became_one_user_are_ambiguous_and_kept() -> None:
    result = run(
        [person("new", "n@x")],
        [record("1"), record("2"), record("3", None, "n@x")],
        stored=[("1", "new"), ("2", "old")],
        aliases=[("old", "new")],
    )
    assert links(result) == set()
    assert stopped(result) == {"1": ["new"], "2": ["new"], "new": ["1", "2"]}
    assert set(result.contested.iter_rows()) == {("1", "new"), ("2", "old")}


def test_link_follows_a_merge_to_a_live_survivor() -> None:
    result = run([person("u1")], [record("2")], stored=[("1", "u1")], gone=[("1", "2")])
    assert links(result) == {("2", "u1", "link")}


def test_link_to_a_deleted_record_is_dropped() -> None:
    people = [person("u1", "a@x"), person("u2")]
    result = run(people, [record("3", None, "a@x")], stored=[("1", "u1"), ("2", "u2")], gone=[("1", None), ("2", "9")])
    assert links(result) == {("3", "u1", "email")}


def test_two_links_that_follow_a_merge_to_one_survivor_are_ambiguous_and_kept() -> None:
    result = run(
        [person("u1", "a@x"), person("u2", "b@x")],
        [record("2", "u2", "b@x")],
        stored=[("1", "u1"), ("2", "u2")],
        gone=[("1", "2")],
    )
    assert links(result) == set()
    assert stopped(result) == {"2": ["u1", "u2"], "u1": ["2"], "u2": ["2"]}
    assert set(result.contested.iter_rows()) == {("1", "u1"), ("2", "u2")}


def test_link_of_an_unknown_user_is_dropped() -> None:
    assert links(run([person("u1", "a@x")], [record("1", None, "a@x")], stored=[("1", "erased")])) == {
        ("1", "u1", "email")
    }


def test_deactivated_user_keeps_its_link_only_while_nobody_takes_the_record() -> None:
    idle = person("idle", "a@x", deactivated=True)
    assert links(run([idle], [record("1", "idle", "a@x")])) == set()
    assert links(run([idle], [record("1")], stored=[("1", "idle")])) == {("1", "idle", "link")}
    taken = run([idle, person("u1", "b@x")], [record("1", None, "b@x")], stored=[("1", "idle")])
    assert links(taken) == {("1", "u1", "email")}


def test_deactivated_user_makes_nothing_ambiguous() -> None:
    result = run([person("idle", "a@x", deactivated=True), person("u1", "a@x")], [record("1", None, "a@x")])
    assert links(result) == {("1", "u1", "email")}


def test_nulls_and_empty_text_match_nothing() -> None:
    result = run(
        [person("u1", ""), person("u2"), person("", " ")], [record("1", "", ""), record("2"), record("3", None, " ")]
    )
    assert links(result) == set()
    assert result.ambiguous.is_empty()


@pytest.mark.lesson(7, "reformatted")
def test_companies_by_domain() -> None:
    people = [person("acme", "acme.com"), person("free", "gmail.com"), person("two", "two.com")]
    people += [person("tw1", "twin.com"), person("tw2", "twin.com"), person("web", "web.io")]
    records = [record("1", None, "ACME.com"), record("2", None, "gmail.com"), record("3", None, "two.com")]
    records += [record("4", None, "two.com"), record("5", None, "twin.com"), record("6", None, "https://www.web.io/x")]
    result = run(people, records, key="domain")
    assert links(result) == {("1", "acme", "domain"), ("6", "web", "domain")}
    assert stopped(result) == {
        "3": ["two"],
        "4": ["two"],
        "two": ["3", "4"],
        "5": ["tw1", "tw2"],
        "tw1": ["5"],
        "tw2": ["5"],
    }


def test_reasons_are_sentences_with_numbers() -> None:
    result = run([person("u1", "a@x"), person("u2", "a@x")], [record("1", None, "a@x")])
    assert result.ambiguous["reason"].to_list() == [
        "2 candidates by e-mail",
        "one of 2 that stand for record 1 by e-mail",
        "one of 2 that stand for record 1 by e-mail",
    ]


def test_many_records_with_one_email_cost_little_and_list_some() -> None:
    people = [person(f"u{number}", "a@x") for number in range(3000)]
    result = run(people, [record(f"r{number}", None, "a@x") for number in range(3000)])
    assert links(result) == set()
    assert result.ambiguous.height == 6000
    assert result.ambiguous["candidates"].list.len().unique().to_list() == [50]


def test_frames_have_their_declared_shape_even_when_empty() -> None:
    result = run([], [])
    assert dict(result.links.schema) == dict(LINKS)
    assert dict(result.ambiguous.schema) == dict(AMBIGUOUS)


PEOPLE = ["u", "v", "w", "x"]
CARDS = ["1", "2", "3", "4"]
KEYS = ["a@x", "b@x", "c@x"]


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, Any]:
    maybe_key = st.sampled_from([None, *KEYS])
    people = draw(st.lists(st.sampled_from(PEOPLE), unique=True))
    live = draw(st.lists(st.sampled_from(CARDS), unique=True))
    ids = st.sampled_from([None, None, *PEOPLE, "old"])
    further = st.lists(st.sampled_from(KEYS), max_size=2)
    return {
        "people": [(name, draw(maybe_key), draw(st.booleans()) and draw(st.booleans())) for name in people],
        "records": [(card, draw(ids), draw(maybe_key), draw(further)) for card in live],
        "stored": [
            (card, draw(st.sampled_from([*PEOPLE, "old"])))
            for card in draw(st.lists(st.sampled_from(CARDS), unique=True))
        ],
        "gone": [(card, draw(st.sampled_from([None, *live]))) for card in CARDS if card not in live],
        "aliases": [("old", "u")] if draw(st.booleans()) else [],
    }


def slow_level(pairs: set[tuple[str, str]], taken: set[str], stuck: set[str]) -> list[tuple[str, str]]:
    """Give the pairs where neither side has another candidate; close all involved."""
    pairs = {(card, who) for card, who in pairs if not {f"r{card}", f"p{who}"} & (taken | stuck)}
    found = []
    for card, who in pairs:
        alone = sum(card in pair[:1] for pair in pairs) == 1 and sum(who in pair[1:] for pair in pairs) == 1
        if alone:
            found.append((card, who))
    for card, who in pairs:
        (taken if (card, who) in found else stuck).update({f"r{card}", f"p{who}"})
    return found


def slow_match(world: dict[str, Any]) -> tuple[set[tuple[str, str, str]], set[str]]:
    shown = dict(world["aliases"])
    live = {card for card, *_ in world["records"]}
    moved = dict(world["gone"])
    keys = {who: key for who, key, off in world["people"] if not off}
    off = {who for who, _, away in world["people"] if away}
    stored = set()
    for card, who in world["stored"]:
        now = card if card in live else moved.get(card)
        if now in live:
            stored.add((now, shown.get(who, who)))
    levels = {
        "link": {(card, who) for card, who in stored if who in keys},
        "external_id": {
            (card, shown.get(who, who)) for card, who, _, _ in world["records"] if shown.get(who, who) in keys
        },
        "email": {(card, who) for card, _, key, _ in world["records"] for who in keys if key and key == keys[who]},
        "further_email": {(card, who) for card, _, _, more in world["records"] for who in keys if keys[who] in more},
    }
    taken: set[str] = set()
    stuck: set[str] = set()
    found = {(card, who, level) for level, pairs in levels.items() for card, who in slow_level(pairs, taken, stuck)}
    idle = {(card, who) for card, who in stored if who in off}
    found |= {(card, who, "link") for card, who in slow_level(idle, taken, stuck)}
    return found, stuck


@given(worlds())
@settings(max_examples=50, deadline=None)
def test_against_loops(world: dict[str, Any]) -> None:
    result = run(**world)
    expected, stuck = slow_match(world)
    assert links(result) == expected
    named = {f"r{one}" for one in result.ambiguous["record"].drop_nulls()}
    named |= {f"p{one}" for one in result.ambiguous["external_id"].drop_nulls()}
    assert named == stuck
    assert result.ambiguous.height == len(stuck)


@given(worlds())
@settings(max_examples=25, deadline=None)
def test_keeping_links_and_contested_ones_repeats_the_answer(world: dict[str, Any]) -> None:
    first = run(**world)
    world["stored"] = [*first.links.select("record", "external_id").iter_rows(), *first.contested.iter_rows()]
    second = run(**world)
    assert {pair[:2] for pair in links(second)} == {pair[:2] for pair in links(first)}
    assert set(stopped(second)) == set(stopped(first))
