"""The brakes over whole cycles: held leaves the CRM untouched, and the sentence has the numbers (architecture §6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engage_sync.errors import Held
from tests.sync.project import Project, project

PEOPLE = 20
TIGHT = "{max_event_age: 24h, max_change_share: 0.3, max_clear_share: 0.1, min_records: 20}"


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Project]:
    """Twenty linked users, written once."""
    with project(tmp_path, brakes=TIGHT) as made:
        for number in range(PEOPLE):
            made.contact(f"user{number}@a.example")
        made.tell(*[made.identify(f"user{n}", email=f"user{n}@a.example") for n in range(PEOPLE)])
        report = made.sync()
        assert (report.exit, made.buckets(report)) == (0, {"written": PEOPLE})
        yield made


def held(made: Project) -> str:
    """Check that a plan and a cycle are held and change nothing; give the reason."""
    before = [made.values(record) for record in made.crm.store.ids("contacts")]
    made.crm.calls.clear()
    planned, report = made.plan(), made.sync(after=0)
    assert (planned.exit, report.exit, report.status) == (Held.exit_code, Held.exit_code, "held")
    assert made.crm.calls.count("write") == 0
    assert before == [made.values(record) for record in made.crm.store.ids("contacts")]
    assert "written" not in made.buckets(report)
    (reason,) = report.held
    assert reason.startswith(("hubspot: ", "hubspot contacts: "))
    return reason


def use(made: Project, users: int) -> None:
    made.tell(*[made.track(f"user{number}") for number in range(users)])


def test_a_share_at_its_limit_goes(crowd: Project) -> None:
    use(crowd, 6)
    report = crowd.sync()
    assert (report.exit, crowd.buckets(report)) == (0, {"written": 6, "unchanged": 14})


def test_too_many_changes_are_held(crowd: Project) -> None:
    use(crowd, 7)
    reason = held(crowd)
    assert "7 of 20" in reason
    assert "30 %" in reason
    assert "max_change_share" in reason


def test_what_is_held_is_counted_and_still_waits(crowd: Project) -> None:
    use(crowd, 7)
    for _ in range(2):
        assert crowd.buckets(crowd.sync()) == {"held": 7, "unchanged": 13}


def test_too_many_cleared_are_held(crowd: Project) -> None:
    crowd.tell(*[crowd.identify(f"user{number}", deactivatedAt=crowd.at()) for number in range(3)])
    reason = held(crowd)
    assert "3 of 20" in reason
    assert "max_clear_share" in reason


def test_first_writes_count_in_no_share(crowd: Project) -> None:
    for number in range(PEOPLE, 3 * PEOPLE):
        crowd.contact(f"user{number}@a.example")
    crowd.tell(*[crowd.identify(f"user{n}", email=f"user{n}@a.example") for n in range(PEOPLE, 3 * PEOPLE)])
    report = crowd.sync()
    assert (report.exit, crowd.buckets(report)) == (0, {"written": 40, "unchanged": 20})


def test_few_records_are_not_held(crowd: Project) -> None:
    crowd.crm.store.archive("contacts", crowd.crm.store.ids("contacts")[-1])
    use(crowd, 10)
    assert crowd.sync().exit == 0


def test_old_events_hold(crowd: Project) -> None:
    crowd.clock.advance(24 * 3_600 + 60)
    reason = held(crowd)
    assert "max_event_age" in reason
    crowd.tell(crowd.track("user1"))
    assert crowd.sync().exit == 0


def test_no_message_at_all_holds(tmp_path: Path) -> None:
    with project(tmp_path, brakes=TIGHT) as made:
        made.contact("ann@a.example")
        assert "no message" in held(made)
