"""The behaviour that every connector must show, as a test class for authors of connectors.

Derive `ConnectorSuite` in a pytest module (and `MergeSuite`, `SessionSuite`, `TaskSuite`, `WholeSuite` where they
apply), name the writable fields of your stage in `fields`, and give it one fixture, `stage`; its tests then run against
the CRM that the stage drives: a sandbox, or a test account of the real thing. They know no wire form.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Protocol

from engage_sync.connectors.base import Cursor, Kind, Status
from engage_sync.testing_stage import (
    PASSING,
    Crm,
    Fault,
    Pulled,
    Stage,
    create,
    first_field,
    ids_of,
    pull,
    push,
    read,
    together,
)
from engage_sync.testing_tasks import TaskSuite

__all__ = [
    "ConnectorSuite",
    "Crm",
    "Fault",
    "MergeSuite",
    "Pulled",
    "SessionSuite",
    "Stage",
    "TaskSuite",
    "WholeSuite",
    "pull",
    "push",
    "together",
]


class Parametrizing(Protocol):
    """What pytest hands to a class that chooses the parameters of its tests."""

    fixturenames: Sequence[str]

    def parametrize(self, name: str, values: Sequence[object]) -> None:
        """Run the test once for each value."""


class ConnectorSuite:
    """The tests. `stage` is a fixture of the derived class, `fields` are the writable fields of its `samples`."""

    fields: ClassVar[Sequence[str]] = ()

    def pytest_generate_tests(self, metafunc: Parametrizing) -> None:
        """Run the tests about one field for each field, those about a passing fault for each fault."""
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", list(self.fields))
        if "fault" in metafunc.fixturenames:
            metafunc.parametrize("fault", list(PASSING))

    def test_fields_are_those_of_the_stage(self, stage: Stage) -> None:
        """A field that is not named here would not be tested."""
        assert sorted(self.fields) == sorted(stage.samples)

    def test_full_load_gives_every_record_once_over_page_edges(self, stage: Stage) -> None:
        """A page and a bit more than another."""
        ids = create(stage, 2 * stage.page + 1)
        found = pull(stage.connector, stage.kind, None)
        assert set(found.records) == set(ids)
        assert set(found.times.values()) == {1}

    def test_full_load_that_ends_at_a_page_edge_is_complete(self, stage: Stage) -> None:
        """The last page is full."""
        ids = create(stage, stage.page)
        assert set(pull(stage.connector, stage.kind, None).records) == set(ids)

    def test_empty_crm_gives_no_record(self, stage: Stage) -> None:
        """And a record created later comes with the next pull."""
        start = pull(stage.connector, stage.kind, None)
        assert start.records == {}
        ids = create(stage, 1)
        assert set(pull(stage.connector, stage.kind, start.cursor).records) == set(ids)

    def test_cursor_is_text_that_any_connector_can_resume_from(self, stage: Stage) -> None:
        """Cursors are stored as text between processes, in the middle of a pull too."""
        ids = create(stage, stage.page + 1)
        first = stage.connector.pull(stage.kind, None)
        assert not first.done
        stored = Cursor(json.loads(json.dumps(first.cursor)))
        other = stage.connect()
        rest = pull(other, stage.kind, stored)
        other.close()
        assert {record.id for record in first.records} | set(rest.records) == set(ids)

    def test_repeating_a_page_gives_it_again(self, stage: Stage) -> None:
        """A process that dies before it stored a page asks again with the old cursor."""
        create(stage, stage.page + 1)
        cursor = stage.connector.pull(stage.kind, None).cursor
        assert ids_of(stage.connector.pull(stage.kind, cursor)) == ids_of(stage.connector.pull(stage.kind, cursor))

    def test_increment_brings_what_changed(self, stage: Stage) -> None:
        """New and edited records come with their new values."""
        ids, (field, (before, after)) = create(stage, 3), next(iter(stage.samples.items()))
        stage.crm.edit(ids[0], {field: before})
        start = pull(stage.connector, stage.kind, None)
        stage.crm.edit(ids[0], {field: after})
        created = stage.crm.create([stage.new(3)])
        found = pull(stage.connector, stage.kind, start.cursor)
        assert found.records[ids[0]][field] == after
        assert created[0] in found.records

    def test_equal_timestamps_are_not_lost(self, stage: Stage) -> None:
        """More records than a page share one instant, before and after the cursor."""
        ids, (field, (before, after)) = create(stage, stage.page * 2 + 50), next(iter(stage.samples.items()))
        stage.crm.edit_at_once(ids, {field: before})
        start = pull(stage.connector, stage.kind, None)
        assert set(start.records) == set(ids)
        stage.crm.edit_at_once(ids, {field: after})
        found = pull(stage.connector, stage.kind, start.cursor)
        assert {record: values[field] for record, values in found.records.items()} == dict.fromkeys(ids, after)

    def test_change_during_the_full_load_comes_with_the_next_pull(self, stage: Stage) -> None:
        """Its page has passed already, so only the next increment can bring it."""
        create(stage, stage.page + 1)
        field, (value, _) = next(iter(stage.samples.items()))
        first = stage.connector.pull(stage.kind, None)
        edited = first.records[0].id
        stage.crm.edit(edited, {field: value})
        rest = pull(stage.connector, stage.kind, first.cursor)
        found = pull(stage.connector, stage.kind, rest.cursor)
        assert found.records[edited][field] == value

    def test_unset_field_is_none_and_unknown_field_is_absent(self, stage: Stage) -> None:
        """Nothing else tells "empty" from "not there"."""
        (record,) = create(stage, 1)
        kind = Kind(stage.kind.object, stage.kind.role, (*stage.kind.fields, "no_such_field_here"))
        values = pull(stage.connector, kind, None).records[record]
        assert values[next(iter(stage.samples))] is None
        assert "no_such_field_here" not in values

    def test_all_fields_at_once_read_back_equal(self, stage: Stage) -> None:
        """First values, then others, then empty."""
        (record,) = create(stage, 1)
        for turn in (0, 1):
            wanted = {name: values[turn] for name, values in stage.samples.items()}
            assert push(stage, {record: wanted})[record].status is Status.WRITTEN
            assert read(stage, record, wanted) == wanted
        assert push(stage, {record: dict.fromkeys(stage.samples)})[record].status is Status.WRITTEN
        assert read(stage, record, stage.samples) == {name: stage.blank.get(name) for name in stage.samples}

    def test_field_reads_back_as_it_was_pushed(self, stage: Stage, name: str) -> None:
        """Its first value, then the other."""
        (record,) = create(stage, 1)
        for value in stage.samples[name]:
            assert push(stage, {record: {name: value}})[record].status is Status.WRITTEN
            assert read(stage, record, [name]) == {name: value}

    def test_field_can_be_emptied(self, stage: Stage, name: str) -> None:
        """By None; and emptying it again is no harm."""
        (record,) = create(stage, 1)
        push(stage, {record: {name: stage.samples[name][0]}})
        for _ in range(2):
            assert push(stage, {record: {name: None}})[record].status is Status.WRITTEN
            assert read(stage, record, [name]) == {name: stage.blank.get(name)}

    def test_pull_gives_the_same_text_asread(self, stage: Stage, name: str) -> None:
        """By the full load and by the increment: what a person sees and what the next plan sees are the same."""
        (record,) = create(stage, 1)
        start = pull(stage.connector, stage.kind, None)
        push(stage, {record: {name: stage.samples[name][0]}})
        assert pull(stage.connector, stage.kind, start.cursor).records[record][name] == stage.samples[name][0]
        assert pull(stage.connector, stage.kind, None).records[record][name] == stage.samples[name][0]

    def test_pushing_twice_equals_once(self, stage: Stage) -> None:
        """Values are absolute."""
        (record,) = create(stage, 1)
        wanted = {record: {field: values[0] for field, values in stage.samples.items()}}
        push(stage, wanted)
        once = dict(stage.crm.values(record))
        assert push(stage, wanted)[record].status is Status.WRITTEN
        twice = dict(stage.crm.values(record))
        assert {field: twice[field] for field in wanted[record]} == {field: once[field] for field in wanted[record]}

    def test_push_of_several_batches_writes_each_record_once(self, stage: Stage) -> None:
        """Batches are split and sent at the same time."""
        ids, (field, (value, _)) = create(stage, stage.connector.limits.push_batch * 3 + 1), first_field(stage)
        ends = push(stage, {record: {field: value} for record in ids})
        assert {end.status for end in ends.values()} == {Status.WRITTEN}
        assert {stage.crm.values(record).get(field) for record in ids} == {value}

    def test_one_bad_record_refuses_only_itself(self, stage: Stage) -> None:
        """With the CRM's own reason; all others are written."""
        ids, (field, (value, _)) = create(stage, 7), first_field(stage)
        changes: dict[str, dict[str, str | None]] = {record: {field: value} for record in ids}
        changes[ids[3]] = {stage.refused[0]: stage.refused[1]}
        ends = push(stage, changes)
        assert ends[ids[3]].status is Status.REFUSED
        assert ends[ids[3]].message
        assert {ends[record].status for record in ids if record != ids[3]} == {Status.WRITTEN}
        assert {stage.crm.values(record).get(field) for record in ids if record != ids[3]} == {value}

    def test_unknown_field_refuses_only_its_record(self, stage: Stage) -> None:
        """A field that was deleted in the CRM meanwhile."""
        ids, (field, (value, _)) = create(stage, 3), first_field(stage)
        changes: dict[str, dict[str, str | None]] = {record: {field: value} for record in ids}
        changes[ids[0]] = {"no_such_field_here": "x"}
        ends = push(stage, changes)
        assert [ends[record].status for record in ids] == [Status.REFUSED, Status.WRITTEN, Status.WRITTEN]

    def test_push_of_nothing_gives_nothing(self, stage: Stage) -> None:
        """And writes nothing."""
        assert push(stage, {}) == {}

    def test_schema_tells_types_and_what_may_be_written(self, stage: Stage) -> None:
        """Of every field of the stage."""
        schema = stage.connector.check()
        described = schema.objects[stage.kind.object]
        assert schema.account
        assert {name: described[name].writable for name in stage.samples} == dict.fromkeys(stage.samples, True)
        assert all(described[name].type is not None for name in stage.samples)

    def test_foreign_fields_stay_untouched(self, stage: Stage) -> None:
        """A change names some fields; the others are somebody else's."""
        (record,), (field, (value, _)) = create(stage, 1), first_field(stage)
        stage.crm.edit(record, {stage.foreign[0]: stage.foreign[1]})
        push(stage, {record: {field: value}})
        push(stage, {record: {field: None}})
        assert stage.crm.values(record)[stage.foreign[0]] == stage.foreign[1]

    def test_push_survives(self, stage: Stage, fault: Fault) -> None:
        """It waits and repeats; one that took effect already may be repeated."""
        self._survives(stage, fault)
        assert max(stage.pauses) > 0

    def test_push_survives_twice_in_a_row(self, stage: Stage, fault: Fault) -> None:
        """With a pause each time."""
        self._survives(stage, fault, times=2)
        assert len(stage.pauses) >= 2

    def test_full_load_survives(self, stage: Stage, fault: Fault) -> None:
        """In its middle."""
        ids = create(stage, stage.page + 1)
        first = stage.connector.pull(stage.kind, None)
        stage.crm.fail(fault, 1, writing=False)
        rest = pull(stage.connector, stage.kind, first.cursor)
        assert {record.id for record in first.records} | set(rest.records) == set(ids)
        assert stage.pauses

    def test_increment_survives(self, stage: Stage, fault: Fault) -> None:
        """Twice in a row."""
        create(stage, 1)
        start = pull(stage.connector, stage.kind, None)
        created = stage.crm.create([stage.new(1)])
        stage.crm.fail(fault, 2, writing=False)
        assert set(created) <= set(pull(stage.connector, stage.kind, start.cursor).records)
        assert len(stage.pauses) >= 2

    def test_read_survives(self, stage: Stage, fault: Fault) -> None:
        """The record is neither lost nor taken for gone."""
        ids = create(stage, 2)
        stage.crm.fail(fault, 1, writing=False)
        page = stage.connector.read(stage.kind, ids)
        assert (set(ids_of(page)), list(page.vanished)) == (set(ids), [])

    def test_check_survives(self, stage: Stage, fault: Fault) -> None:
        """All fields are described."""
        stage.crm.fail(fault, 1, writing=False)
        assert set(stage.samples) <= set(stage.connector.check().objects[stage.kind.object])

    def test_record_missing_from_the_answer_is_asked_again(self, stage: Stage) -> None:
        """Once is mended by the next attempt."""
        self._survives(stage, Fault.MISSING_ANSWER)

    def test_record_that_no_answer_names_is_failed(self, stage: Stage) -> None:
        """Silence is never success."""
        (record,), (field, (value, _)) = create(stage, 1), first_field(stage)
        stage.crm.fail(Fault.MISSING_ANSWER, 1_000)
        assert push(stage, {record: {field: value}})[record].status is Status.FAILED

    def test_deleted_record_vanishes(self, stage: Stage) -> None:
        """From the increment, from a read, and a write to it is told as gone."""
        ids, (field, (value, _)) = create(stage, 3), first_field(stage)
        start = pull(stage.connector, stage.kind, None)
        stage.crm.delete(ids[1])
        assert ids[1] in pull(stage.connector, stage.kind, start.cursor).vanished
        assert list(stage.connector.read(stage.kind, [ids[1], ids[2]]).vanished) == [ids[1]]
        ends = push(stage, {record: {field: value} for record in ids})
        assert [ends[record].status for record in ids] == [Status.WRITTEN, Status.GONE, Status.WRITTEN]

    def test_authors_are_of_what_was_asked(self, stage: Stage) -> None:
        """Who set a field, as far as the CRM tells; of a record that is gone nothing, and no error."""
        (record, gone), (field, (value, _)) = create(stage, 2), first_field(stage)
        stage.crm.edit(record, {field: value})
        stage.crm.delete(gone)
        told = stage.connector.authors(stage.kind, [(record, field), (gone, field)])
        assert set(told) <= {(record, field)}

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
        ids, (field, (value, _)) = create(stage, 3), first_field(stage)
        stage.crm.fail(fault, times)
        ends = push(stage, {record: {field: value} for record in ids})
        assert {end.status for end in ends.values()} == {Status.WRITTEN}
        assert {stage.crm.values(record).get(field) for record in ids} == {value}


class MergeSuite:
    """For a CRM whose records can be merged."""

    def test_merged_record_leads_to_its_survivor(self, stage: Stage) -> None:
        """By the increment, by a read, and a write to the old id reaches the survivor or is told as gone."""
        ids, (field, (value, _)) = create(stage, 3), first_field(stage)
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
        ids = create(stage, 3)
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
        ids = create(stage, 1)
        pull(stage.connector, stage.kind, None)
        before = stage.crm.logins()
        stage.crm.fail(Fault.SESSION_ENDED, 1)
        assert set(pull(stage.connector, stage.kind, None).records) == set(ids)
        assert stage.crm.logins() == before + 1


class WholeSuite:
    """For a connector that takes a large push whole (`limits.whole_above`)."""

    def test_large_push_writes_each_record_once(self, stage: Stage) -> None:
        """With one bad record among them."""
        ids, (name, (value, _)) = create(stage, (stage.connector.limits.whole_above or 0) + 5), first_field(stage)
        changes: dict[str, dict[str, str | None]] = {record: {name: value} for record in ids}
        changes[ids[7]] = {stage.refused[0]: stage.refused[1]}
        ends = push(stage, changes)
        assert Counter(end.status for end in ends.values()) == {Status.WRITTEN: len(ids) - 1, Status.REFUSED: 1}
        assert ends[ids[7]].status is Status.REFUSED
        assert {stage.crm.values(record).get(name) for record in ids if record != ids[7]} == {value}

    def test_large_push_survives(self, stage: Stage, fault: Fault) -> None:
        """Whichever of its calls is struck."""
        ids, (name, (value, _)) = create(stage, (stage.connector.limits.whole_above or 0) + 1), first_field(stage)
        stage.crm.fail(fault, 2)
        stage.crm.fail(fault, 2, writing=False)
        ends = push(stage, {record: {name: value} for record in ids})
        assert Counter(end.status for end in ends.values()) == {Status.WRITTEN: len(ids)}
        assert {stage.crm.values(record).get(name) for record in ids} == {value}

    def test_large_push_leaves_what_it_does_not_name(self, stage: Stage) -> None:
        """Other fields of the same record, and fields that only other records change."""
        ids, (name, (value, other)) = create(stage, (stage.connector.limits.whole_above or 0) + 1), first_field(stage)
        second = next(one for one in stage.samples if one != name)
        for record in ids[:2]:
            stage.crm.edit(record, {name: other, stage.foreign[0]: stage.foreign[1]})
        changes: dict[str, dict[str, str | None]] = {record: {name: value} for record in ids}
        changes[ids[0]] = {second: stage.samples[second][0]}
        changes[ids[2]] = {name: None}
        push(stage, changes)
        assert [stage.crm.values(record).get(name) for record in ids[:3]] == [other, value, stage.blank.get(name)]
        assert [stage.crm.values(record).get(stage.foreign[0]) for record in ids[:2]] == [stage.foreign[1]] * 2
