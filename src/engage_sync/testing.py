"""The behaviour that every connector must show, as a test class for authors of connectors.

Derive `ConnectorSuite` in a pytest module (and `MergeSuite`, `SessionSuite` where they apply) and give it one fixture,
`stage`; its tests then run against the CRM that the stage drives: a sandbox, or a test account of the real thing. It
tests behaviour through the seam, and no wire form.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from engage_sync.connectors.base import Change, Connector, Cursor, Kind, Outcome, Page, Status


class Fault(StrEnum):
    """What a stage can make its CRM do to the next write, or as said."""

    THROTTLED = "throttled"
    """It is refused as one too many, with a time to wait."""
    UNAVAILABLE = "unavailable"
    """It fails at the CRM's side, without effect."""
    LOST_ANSWER = "lost_answer"
    """It takes effect, but its answer is lost."""
    GARBLED = "garbled"
    """It is answered with a success that cannot be read."""
    MISSING_ANSWER = "missing_answer"
    """Its answer leaves one record out."""
    SESSION_ENDED = "session_ended"
    """The session ends before the next call of any kind."""


class Crm(Protocol):
    """What a person, or bad luck, does to the CRM behind the connector's back."""

    def create(self, values: Sequence[Mapping[str, str]]) -> list[str]:
        """Create records of the stage's kind and give their ids."""

    def edit(self, record: str, values: Mapping[str, str]) -> None:
        """Change a record; "" clears."""

    def edit_at_once(self, records: Sequence[str], values: Mapping[str, str]) -> None:
        """Change many records so that they carry one and the same last-modified instant."""

    def delete(self, record: str) -> None:
        """Delete a record the way a person does."""

    def merge(self, winner: str, loser: str) -> str:
        """Merge two records and give the survivor's id."""

    def values(self, record: str) -> Mapping[str, str | None]:
        """Give what a record holds; unset fields are absent or None."""

    def fail(self, fault: Fault, times: int) -> None:
        """Let a fault strike."""

    def logins(self) -> int:
        """Give how often the connector has logged in."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One empty CRM and a hardened connector to it.

    `connect` builds another connector to the same CRM. `kind` reads the fields of `samples`, `foreign` and `refused`.
    `samples` gives for each writable field two values in canonical text. `refused` is a field and a value that the CRM
    does not take. `foreign` is a field that nobody writes here, with a value. `pauses` collects the seconds the
    connector waited between attempts. `page` is the size of a page of a full load.
    """

    connector: Connector
    connect: Callable[[], Connector]
    crm: Crm
    kind: Kind
    samples: Mapping[str, tuple[str, str]]
    refused: tuple[str, str]
    foreign: tuple[str, str]
    pauses: Sequence[float]
    page: int
    new: Callable[[int], Mapping[str, str]]
    """Values of the n-th record to create."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """All pages of one pull, put together."""

    records: Mapping[str, Mapping[str, str | None]]
    times: Mapping[str, int]
    vanished: frozenset[str]
    merged: Mapping[str, str]
    cursor: Cursor


def pull(connector: Connector, kind: Kind, cursor: Cursor | None) -> Pulled:
    """Pull to the end."""
    pages = [connector.pull(kind, cursor)]
    while not pages[-1].done:
        assert pages[-1].cursor != cursor, "the cursor of a page that is not the last must move on"
        cursor = pages[-1].cursor
        pages.append(connector.pull(kind, cursor))
    return together(pages)


def together(pages: Sequence[Page]) -> Pulled:
    """Put pages together as a reader must: the same id replaces."""
    records = {record.id: record.values for page in pages for record in page.records}
    times = Counter(record.id for page in pages for record in page.records)
    vanished = frozenset(one for page in pages for one in page.vanished)
    merged = {old: new for page in pages for old, new in page.merged.items()}
    return Pulled(records, times, vanished, merged, pages[-1].cursor)


def push(stage: Stage, changes: Mapping[str, Mapping[str, str | None]]) -> dict[str, Outcome]:
    """Push changes and give the outcome of each, which must be exactly one."""
    asked = [Change(record, values) for record, values in changes.items()]
    outcomes = list(stage.connector.push(stage.kind, asked))
    assert Counter(outcome.record for outcome in outcomes) == Counter(changes.keys())
    return {outcome.record: outcome for outcome in outcomes}


class ConnectorSuite:
    """The tests. `stage` is a fixture of the derived class."""

    def test_full_load_gives_every_record_once_over_page_edges(self, stage: Stage) -> None:
        """A page and a bit more than another."""
        ids = _create(stage, 2 * stage.page + 1)
        found = pull(stage.connector, stage.kind, None)
        assert set(found.records) == set(ids)
        assert set(found.times.values()) == {1}

    def test_full_load_that_ends_at_a_page_edge_is_complete(self, stage: Stage) -> None:
        """The last page is full."""
        ids = _create(stage, stage.page)
        assert set(pull(stage.connector, stage.kind, None).records) == set(ids)

    def test_empty_crm_gives_no_record(self, stage: Stage) -> None:
        """And a record created later comes with the next pull."""
        start = pull(stage.connector, stage.kind, None)
        assert start.records == {}
        ids = _create(stage, 1)
        assert set(pull(stage.connector, stage.kind, start.cursor).records) == set(ids)

    def test_cursor_is_text_that_any_connector_can_resume_from(self, stage: Stage) -> None:
        """Cursors are stored as text between processes, in the middle of a pull too."""
        ids = _create(stage, stage.page + 1)
        first = stage.connector.pull(stage.kind, None)
        assert not first.done
        stored = Cursor(json.loads(json.dumps(first.cursor)))
        other = stage.connect()
        rest = pull(other, stage.kind, stored)
        other.close()
        assert {record.id for record in first.records} | set(rest.records) == set(ids)

    def test_repeating_a_page_gives_it_again(self, stage: Stage) -> None:
        """A process that dies before it stored a page asks again with the old cursor."""
        _create(stage, stage.page + 1)
        cursor = stage.connector.pull(stage.kind, None).cursor
        assert _ids(stage.connector.pull(stage.kind, cursor)) == _ids(stage.connector.pull(stage.kind, cursor))

    def test_increment_brings_what_changed(self, stage: Stage) -> None:
        """New and edited records come with their new values."""
        ids, (field, (before, after)) = _create(stage, 3), next(iter(stage.samples.items()))
        stage.crm.edit(ids[0], {field: before})
        start = pull(stage.connector, stage.kind, None)
        stage.crm.edit(ids[0], {field: after})
        created = stage.crm.create([stage.new(3)])
        found = pull(stage.connector, stage.kind, start.cursor)
        assert found.records[ids[0]][field] == after
        assert created[0] in found.records

    def test_equal_timestamps_are_not_lost(self, stage: Stage) -> None:
        """More records than a page share one instant, before and after the cursor."""
        ids, (field, (before, after)) = _create(stage, stage.page * 2 + 50), next(iter(stage.samples.items()))
        stage.crm.edit_at_once(ids, {field: before})
        start = pull(stage.connector, stage.kind, None)
        assert set(start.records) == set(ids)
        stage.crm.edit_at_once(ids, {field: after})
        found = pull(stage.connector, stage.kind, start.cursor)
        assert {record: values[field] for record, values in found.records.items()} == dict.fromkeys(ids, after)

    def test_change_during_the_full_load_comes_with_the_next_pull(self, stage: Stage) -> None:
        """Its page has passed already, so only the next increment can bring it."""
        _create(stage, stage.page + 1)
        field, (value, _) = next(iter(stage.samples.items()))
        first = stage.connector.pull(stage.kind, None)
        edited = first.records[0].id
        stage.crm.edit(edited, {field: value})
        rest = pull(stage.connector, stage.kind, first.cursor)
        found = pull(stage.connector, stage.kind, rest.cursor)
        assert found.records[edited][field] == value

    def test_unset_field_is_none_and_unknown_field_is_absent(self, stage: Stage) -> None:
        """Nothing else tells "empty" from "not there"."""
        (record,) = _create(stage, 1)
        kind = Kind(stage.kind.object, stage.kind.role, (*stage.kind.fields, "no_such_field_here"))
        values = pull(stage.connector, kind, None).records[record]
        assert values[next(iter(stage.samples))] is None
        assert "no_such_field_here" not in values

    def test_pushed_values_read_back_equal(self, stage: Stage) -> None:
        """Each type, then other values, then empty."""
        (record,) = _create(stage, 1)
        for turn in (0, 1):
            wanted = {field: values[turn] for field, values in stage.samples.items()}
            assert push(stage, {record: wanted})[record].status is Status.WRITTEN
            read = stage.connector.read(stage.kind, [record]).records[0].values
            assert {field: read[field] for field in wanted} == wanted
        assert push(stage, {record: dict.fromkeys(stage.samples)})[record].status is Status.WRITTEN
        read = stage.connector.read(stage.kind, [record]).records[0].values
        assert {field: read[field] or None for field in stage.samples} == dict.fromkeys(stage.samples)

    def test_pushed_values_come_back_by_pull(self, stage: Stage) -> None:
        """What a person sees and what the next plan sees are the same."""
        (record,) = _create(stage, 1)
        start = pull(stage.connector, stage.kind, None)
        wanted = {field: values[0] for field, values in stage.samples.items()}
        push(stage, {record: wanted})
        found = pull(stage.connector, stage.kind, start.cursor).records[record]
        assert {field: found[field] for field in wanted} == wanted

    def test_pushing_twice_equals_once(self, stage: Stage) -> None:
        """Values are absolute."""
        (record,) = _create(stage, 1)
        wanted = {record: {field: values[0] for field, values in stage.samples.items()}}
        push(stage, wanted)
        once = dict(stage.crm.values(record))
        assert push(stage, wanted)[record].status is Status.WRITTEN
        twice = dict(stage.crm.values(record))
        assert {field: twice[field] for field in wanted[record]} == {field: once[field] for field in wanted[record]}

    def test_push_of_several_batches_writes_each_record_once(self, stage: Stage) -> None:
        """Batches are split and sent at the same time."""
        ids, (field, (value, _)) = _create(stage, stage.connector.limits.push_batch * 3 + 1), _first(stage)
        ends = push(stage, {record: {field: value} for record in ids})
        assert {end.status for end in ends.values()} == {Status.WRITTEN}
        assert {stage.crm.values(record).get(field) for record in ids} == {value}

    def test_one_bad_record_refuses_only_itself(self, stage: Stage) -> None:
        """With the CRM's own reason; all others are written."""
        ids, (field, (value, _)) = _create(stage, 7), _first(stage)
        changes: dict[str, dict[str, str | None]] = {record: {field: value} for record in ids}
        changes[ids[3]] = {stage.refused[0]: stage.refused[1]}
        ends = push(stage, changes)
        assert ends[ids[3]].status is Status.REFUSED
        assert ends[ids[3]].message
        assert {ends[record].status for record in ids if record != ids[3]} == {Status.WRITTEN}
        assert {stage.crm.values(record).get(field) for record in ids if record != ids[3]} == {value}

    def test_foreign_fields_stay_untouched(self, stage: Stage) -> None:
        """A change names some fields; the others are somebody else's."""
        (record,), (field, (value, _)) = _create(stage, 1), _first(stage)
        stage.crm.edit(record, {stage.foreign[0]: stage.foreign[1]})
        push(stage, {record: {field: value}})
        push(stage, {record: {field: None}})
        assert stage.crm.values(record)[stage.foreign[0]] == stage.foreign[1]

    def test_throttled_push_waits_and_succeeds(self, stage: Stage) -> None:
        """It waits at least once, and nothing is lost."""
        self._survives(stage, Fault.THROTTLED)
        assert max(stage.pauses) > 0

    def test_push_survives_an_unavailable_crm(self, stage: Stage) -> None:
        """Twice, with a pause each time."""
        self._survives(stage, Fault.UNAVAILABLE, times=2)
        assert len(stage.pauses) >= 2

    def test_push_whose_answer_was_lost_is_repeated(self, stage: Stage) -> None:
        """It took effect already; writing the same again is no harm."""
        self._survives(stage, Fault.LOST_ANSWER)

    def test_push_with_an_unreadable_answer_is_repeated(self, stage: Stage) -> None:
        """A success that says nothing is no success."""
        self._survives(stage, Fault.GARBLED)

    def test_record_missing_from_the_answer_is_asked_again(self, stage: Stage) -> None:
        """Once is mended by the next attempt."""
        self._survives(stage, Fault.MISSING_ANSWER)

    def test_record_that_no_answer_names_is_failed(self, stage: Stage) -> None:
        """Silence is never success."""
        (record,), (field, (value, _)) = _create(stage, 1), _first(stage)
        stage.crm.fail(Fault.MISSING_ANSWER, 1_000)
        assert push(stage, {record: {field: value}})[record].status is Status.FAILED

    def test_deleted_record_vanishes(self, stage: Stage) -> None:
        """From the increment, from a read, and a write to it is told as gone."""
        ids, (field, (value, _)) = _create(stage, 3), _first(stage)
        start = pull(stage.connector, stage.kind, None)
        stage.crm.delete(ids[1])
        assert ids[1] in pull(stage.connector, stage.kind, start.cursor).vanished
        assert list(stage.connector.read(stage.kind, [ids[1], ids[2]]).vanished) == [ids[1]]
        ends = push(stage, {record: {field: value} for record in ids})
        assert [ends[record].status for record in ids] == [Status.WRITTEN, Status.GONE, Status.WRITTEN]

    def test_closing_twice_is_harmless(self, stage: Stage) -> None:
        """Also before any call."""
        connector = stage.connect()
        connector.close()
        connector.close()
        stage.connector.check()
        stage.connector.close()
        stage.connector.close()

    def _survives(self, stage: Stage, fault: Fault, times: int = 1) -> None:
        """Push to three records while a fault strikes; all must be written in the end."""
        ids, (field, (value, _)) = _create(stage, 3), _first(stage)
        stage.crm.fail(fault, times)
        ends = push(stage, {record: {field: value} for record in ids})
        assert {end.status for end in ends.values()} == {Status.WRITTEN}
        assert {stage.crm.values(record).get(field) for record in ids} == {value}


class MergeSuite:
    """For a CRM whose records can be merged."""

    def test_merged_record_leads_to_its_survivor(self, stage: Stage) -> None:
        """By the increment, by a read, and a write to the old id reaches the survivor or is told as gone."""
        ids, (field, (value, _)) = _create(stage, 3), _first(stage)
        start = pull(stage.connector, stage.kind, None)
        survivor = stage.crm.merge(ids[0], ids[1])
        found = pull(stage.connector, stage.kind, start.cursor)
        assert found.merged[ids[1]] == survivor
        assert survivor in found.records
        assert stage.connector.read(stage.kind, [ids[1]]).merged == {ids[1]: survivor}
        end = push(stage, {ids[1]: {field: value}})[ids[1]]
        assert end.moved_to == survivor
        assert (end.status is Status.WRITTEN) == (stage.crm.values(survivor).get(field) == value)

    def test_chain_of_merges_leads_to_the_last_survivor(self, stage: Stage) -> None:
        """Step by step, following what each pull told."""
        ids = _create(stage, 3)
        start = pull(stage.connector, stage.kind, None)
        middle = stage.crm.merge(ids[0], ids[1])
        last = stage.crm.merge(ids[2], middle)
        moved = pull(stage.connector, stage.kind, start.cursor).merged
        for record in {*ids, middle} - {last}:
            end = record
            while end in moved:
                end = moved[end]
            assert end == last


class SessionSuite:
    """For credentials whose session ends and can be renewed."""

    def test_ended_session_is_renewed_once(self, stage: Stage) -> None:
        """One more login, and the call goes through."""
        ids = _create(stage, 1)
        pull(stage.connector, stage.kind, None)
        before = stage.crm.logins()
        stage.crm.fail(Fault.SESSION_ENDED, 1)
        assert set(pull(stage.connector, stage.kind, None).records) == set(ids)
        assert stage.crm.logins() == before + 1


def _create(stage: Stage, count: int) -> list[str]:
    return stage.crm.create([stage.new(number) for number in range(count)])


def _first(stage: Stage) -> tuple[str, tuple[str, str]]:
    return next(iter(stage.samples.items()))


def _ids(page: Page) -> list[str]:
    return [record.id for record in page.records]
