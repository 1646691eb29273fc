"""When a CRM has brought nothing new for too long: by hand, and of a project on a clock that moves only when told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engage_sync.sync import cycle, snapshot
from engage_sync.sync.alerts import Sight, observe
from engage_sync.sync.rhythm import Rhythm
from tests.sync.project import Project

MONDAY = datetime(2026, 6, 1, 8, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def office(weeks: int) -> Rhythm:
    """A CRM in which people work from Monday to Friday, from 8 to 18."""
    found = Rhythm(MONDAY, "")
    for week in range(weeks):
        for day in range(5):
            for hour in range(11):
                if week or day or hour:
                    found = found.heard(MONDAY + timedelta(weeks=week, days=day, hours=hour), "")
    return found


def test_weekends_are_usual() -> None:
    found = office(6)
    assert found.at == MONDAY + timedelta(weeks=5, days=4, hours=10)
    assert found.usual == 62 * HOUR  # Friday 18:00 to Monday 8:00
    assert not found.silent_at(found.at + 186 * HOUR)
    assert found.silent_at(found.at + 187 * HOUR)


def test_a_young_project_is_never_silent() -> None:
    assert office(4).usual is None
    assert not office(4).silent_at(MONDAY + 700 * DAY)


def test_one_accident_is_not_the_usual() -> None:
    found = office(6)
    after = found.heard(found.at + 40 * DAY, "")
    assert after.usual == 62 * HOUR
    assert after.heard(after.at + 40 * DAY, "").usual == 40 * DAY


def test_a_crm_that_is_never_quiet_has_two_days() -> None:
    found = Rhythm(MONDAY, "")
    for quarter in range(4 * 24 * 40):
        found = found.heard(MONDAY + timedelta(minutes=15 * (quarter + 1)), "")
    assert found.usual == timedelta(minutes=15)
    assert len(found.longest) == 6
    assert not found.silent_at(found.at + 2 * DAY)
    assert found.silent_at(found.at + 2 * DAY + HOUR)


def test_it_has_an_end_and_is_read_as_it_was_written() -> None:
    found = office(60)
    assert len(found.longest) == 8
    assert Rhythm.read(found.text()) == found
    assert Rhythm.read('{"at": "2026-06-01T08:00:00+00:00", "newest": "x"}') == Rhythm(MONDAY, "x")


def test_a_clock_that_was_put_back_is_no_wait() -> None:
    assert office(6).heard(MONDAY, "").usual == 62 * HOUR


@pytest.mark.lesson(15)
def test_a_cursor_that_stalls_silently_is_told(project: Project) -> None:
    """Somebody changes a contact once a week; then nothing comes any more, and no pull fails."""
    contact = project.contact("ann@acme.example")

    def told(days: float) -> list[str]:
        project.clock.advance(days * 86_400)
        with project.open() as workspace:
            assert cycle.pull(workspace, None, clock=project.clock).exit == 0
            seen = snapshot.take(workspace, project.clock())
        return [one.sentence for one in observe(Sight(project.clock(), (), seen), HOUR, project.clock())]

    for week in range(6):
        project.crm.store.update("contacts", contact, {"jobtitle": f"title {week}"})
        assert told(7) == []
    assert told(20) == []
    (sentence,) = told(2)
    what, advice = sentence.split("\n")
    assert what == (
        "nothing new has come from hubspot since 2026-07-13 12:00 UTC (contacts), although its pulls go well:"
        " 7 days without are usual at most"
    )
    assert "`engage-sync pull --reconcile`" in advice
    project.crm.store.update("contacts", contact, {"jobtitle": "at last"})
    assert told(0.01) == []
