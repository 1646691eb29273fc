"""The sample company: the same bytes for the same arguments, the sizes asked for, stories that hold by the oracle."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from engage_sync.errors import Mistake
from engage_sync.sandbox.company import Company, Story, generate, write_messages
from tests.oracle import messages as reading
from tests.oracle.verdicts import accounts, users, world

NOW = datetime(2026, 8, 22, 9, 30, tzinfo=UTC)
SMALL = {"accounts": 16, "users": 160, "events": 12_000}
MODEL = yaml.safe_load(
    """
    activity: {exclude: [heartbeat]}
    properties:
      user: {title: crm.hubspot.jobtitle, role: crm.hubspot.hs_buying_role}
      account: {mrr: {from: traits.mrr, type: number}, seats: {from: traits.seats, type: number}}
    user_types: {influencer: {where: "role like '%CHAMPION%' or title ilike '%head of%'"}}
    metrics: {user: {admin_invites: {count: invite_sent, where: "properties.role = 'admin'"}}}
    """
)


class Half:
    """A generated half year and what the oracle says of it, with contacts linked by their address where it is clear."""

    def __init__(self, company: Company, path: Path, now: datetime) -> None:
        self.company, self.now = company, now
        self.written = write_messages(company, path)
        self.reading = reading.read([path], now=now)
        self.stories = {story.key: story for story in company.stories}
        holders = Counter(person.email for person in company.plan.people)
        contacts = {contact["email"]: contact for contact in company.contacts}
        links = {
            person.id: {"object": "contacts", "id": person.email, "values": contacts[person.email]}
            for person in company.plan.people
            if person.email in contacts and holders[person.email] == 1
        }
        self.crm: dict[str, Any] = {"hubspot": {"users": links, "accounts": {}}}
        self.contacts = contacts
        self.users = {row["external_id"]: row for row in users(self.reading.messages, MODEL, now, crm=self.crm)}
        sixty_days_ago = users(self.reading.messages, MODEL, now - timedelta(days=60), crm=self.crm)
        self.before = {row["external_id"]: row for row in sixty_days_ago}
        self.accounts = {row["external_id"]: row for row in accounts(self.reading.messages, MODEL, now, crm=self.crm)}

    def of(self, key: str) -> tuple[Story, dict[str, Any]]:
        story = self.stories[key]
        row = self.users[story.user]
        assert row["email"] == story.email
        assert row["accounts"] == ([story.account] if story.account else [])
        return story, row


CASES = {
    "demo": ({}, 7, NOW),
    "monday just after midnight": (SMALL, 1, datetime(2026, 3, 2, 0, 5, tzinfo=UTC)),
    "sunday, another zone": (SMALL, 2, datetime.fromisoformat("2027-01-03T23:59:59.999+09:00")),
}


@pytest.fixture(scope="module", params=list(CASES))
def half(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Half:
    sizes, seed, now = CASES[request.param]
    return Half(generate(now, seed=seed, **sizes), tmp_path_factory.mktemp("company") / "messages.jsonl", now)


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    seeds = (3, 3, 4)
    made = [generate(NOW, seed=seed, **SMALL) for seed in seeds]
    for company, path in zip(made, paths, strict=True):
        write_messages(company, path)
    assert made[0] == made[1]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].read_bytes() != paths[2].read_bytes()
    assert made[0].contacts != made[2].contacts


def test_sizes(half: Half) -> None:
    asked = half.company.plan
    assert half.reading.refused == []
    assert (half.reading.duplicates, half.reading.empty_properties) == (0, 0)
    assert half.written == len(half.reading.messages)
    named = [message for message in half.reading.messages if message["kind"] in ("track", "page")]
    assert len(named) == asked.events
    assert len(half.users) == len(asked.people) - 1  # one is deactivated
    assert len(half.accounts) == len(asked.firms)
    assert {message["kind"] for message in half.reading.messages} == {"track", "page", "identify", "group", "alias"}


def test_the_demo_has_the_size_of_a_small_company(tmp_path: Path) -> None:
    company = generate(NOW)
    assert (len(company.plan.firms), len(company.plan.people), company.plan.events) == (40, 600, 150_000)
    assert 380 <= len(company.contacts) <= 480
    assert len({contact["email"] for contact in company.contacts}) == len(company.contacts)
    strangers = {contact["email"] for contact in company.contacts} - {person.email for person in company.plan.people}
    assert len(strangers) >= 20
    assert 30 <= len(company.companies) <= 45


def test_nothing_after_now_and_the_newest_within_the_hour(half: Half) -> None:
    stamps = [message["timestamp"] for message in half.reading.messages]
    assert stamps == sorted(stamps)
    assert half.now - timedelta(hours=1) <= stamps[-1] <= half.now
    assert stamps[0] >= half.now - timedelta(days=185)


def test_the_rhythm_is_that_of_work(half: Half) -> None:
    moments = [m["timestamp"] for m in half.reading.messages if m["kind"] == "track"]
    weekend = sum(moment.weekday() >= 5 for moment in moments)
    assert 0.01 < weekend / len(moments) < 0.08  # two days of seven would be 0.29
    per_user = sorted((row["metrics"]["events"] for row in half.users.values()), reverse=True)
    assert sum(per_user[: len(per_user) // 10]) > 0.25 * sum(per_user)


def test_quiet_champion(half: Half) -> None:
    story, row = half.of("quiet_champion")
    assert row["user_types"] == ["inactive"]
    assert row["lapsed_influencer"] is True
    assert row["metrics"]["days_since_active"] >= 45
    assert half.contacts[story.email]["jobtitle"].startswith("Head of")
    assert half.before[story.user]["user_types"] == ["active", "influencer", "power"]


def test_healthy_champion(half: Half) -> None:
    _, row = half.of("healthy_champion")
    assert row["user_types"] == ["active", "influencer", "power"]
    assert row["metrics"]["days_since_active"] == 0


def test_power_user_not_in_the_crm(half: Half) -> None:
    story, row = half.of("power_not_in_crm")
    assert row["user_types"] == ["active", "power"]
    assert story.email not in half.contacts


def test_account_that_never_onboarded(half: Half) -> None:
    story, row = half.of("never_onboarded")
    account = half.accounts[story.account]
    assert row["user_types"] == ["zombie"]
    assert account["users"] >= 2
    assert account["users_by_type"]["zombie"] == account["users"]
    assert sum(account["users_by_type"].values()) == account["users"]
    assert account["active"] is False
    assert account["mrr"] > 0
    assert account["metrics"]["age_days"] > 45
    assert story.email in half.contacts
    assert account["domain"] in {company["domain"] for company in half.company.companies}


def test_shared_email(half: Half) -> None:
    story, _ = half.of("shared_email")
    sharing = [row for row in half.users.values() if row["email"] == story.email]
    assert len(sharing) == 2
    assert sharing[0]["accounts"] == sharing[1]["accounts"] == [story.account]
    assert story.email in half.contacts
    shared = [mail for mail, count in Counter(row["email"] for row in half.users.values()).items() if count > 1]
    assert shared == [story.email]


def test_merged_contact(half: Half) -> None:
    story, _ = half.of("merged_contact")
    assert len(half.company.merges) == 1
    survivor, gone = half.company.merges[0]
    assert gone == story.email
    assert {survivor, gone} <= set(half.contacts)
    assert half.contacts[survivor]["lastname"] == half.contacts[gone]["lastname"]
    assert survivor not in {row["email"] for row in half.users.values()}


def test_loners_and_the_one_who_left(half: Half) -> None:
    assert half.of("no_company")[1]["accounts"] == []
    free, row = half.of("free_mail")
    assert half.accounts[free.account]["domain"] == row["email"].partition("@")[2] == "gmail.com"
    gone = half.stories["deactivated"]
    assert gone.user in world(half.reading.messages, MODEL, half.now, crm=half.crm).deactivated
    assert gone.email in half.contacts
    assert "active" in half.before[gone.user]["user_types"]


def test_renamed_user_is_one_user(half: Half) -> None:
    story, row = half.of("renamed")
    own = (story.user, f"legacy-{story.user[-4:]}")
    ids = {message["user"] for message in half.reading.messages if message["kind"] == "track"} & set(own)
    assert len(ids) == 2
    assert not any(name.startswith("legacy-") for name in half.users)
    assert row["metrics"]["age_days"] > 184


@pytest.mark.parametrize("change", [{"accounts": 3}, {"users": 10}, {"events": 1}])
def test_too_small_is_a_mistake(change: dict[str, int]) -> None:
    with pytest.raises(Mistake, match="at least"):
        generate(NOW, **change)


def test_now_needs_a_zone() -> None:
    with pytest.raises(Mistake, match="time zone"):
        generate(datetime(2026, 8, 22))  # noqa: DTZ001 - the mistake itself
