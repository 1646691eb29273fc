"""A small software company's half year, invented from a seed: about 40 client firms, 600 users and 150,000 events, and
what its CRM holds about them before engage-sync has ever run, with people worth noticing as `stories`. Used by the demo
and by tests. The same arguments give the same bytes; it reads no clock and talks to nobody."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from engage_sync.errors import Mistake
from engage_sync.sandbox.company_messages import messages
from engage_sync.sandbox.company_names import FIRST, HEADS, LAST, TITLES, ascii_word
from engage_sync.sandbox.company_people import Firm, Person, draw_firms, draw_people
from engage_sync.sandbox.company_stories import Cast, Story, cast_stories

__all__ = ["Company", "Plan", "Story", "generate", "write_messages"]

STRANGERS = 40
"""People in the CRM who do not use the product."""

SMALLEST = (10, 80, 1_000)
"""Accounts, users and events below which the stories do not fit in."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who does how much until `now`; messages are drawn from it while they are written."""

    now: datetime
    seed: int
    events: int
    firms: tuple[Firm, ...]
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class Company:
    """What the CRM holds (HubSpot property values), which contacts are to be merged there (e-mails: survivor, merged
    away), the stories, and the plan that `write_messages` follows."""

    contacts: list[dict[str, str]]
    companies: list[dict[str, str]]
    merges: list[tuple[str, str]]
    stories: list[Story]
    plan: Plan = field(repr=False)


def generate(now: datetime, *, seed: int = 7, accounts: int = 40, users: int = 600, events: int = 150_000) -> Company:
    """Invent the company. `now` must have a zone; `events` are tracked events and page views, sign-ups come on top."""
    if now.tzinfo is None:
        raise Mistake("the sample company needs `now` with a time zone")
    for what, asked, least in zip(("accounts", "users", "events"), (accounts, users, events), SMALLEST, strict=True):
        if asked < least:
            raise Mistake(f"the sample company needs at least {least} {what}, not {asked}")
    now = now.astimezone(UTC)
    random = Random(seed)  # noqa: S311 - a demo, not a secret
    firms = draw_firms(random, now, accounts - 1)  # one more comes with the stories
    cast = cast_stories(random, now, firms, draw_people(random, now, firms, users))
    people = _with_seats(random, cast)
    return Company(
        contacts=_contacts(random, people, cast),
        companies=_companies(cast),
        merges=cast.merges,
        stories=sorted(cast.stories, key=lambda story: story.key),
        plan=Plan(now, seed, events, tuple(cast.firms), tuple(people)),
    )


def write_messages(company: Company, path: Path) -> int:
    """Write the half year as JSON lines, oldest first, and give their number. The newest is minutes before `now`."""
    plan, count = company.plan, 0
    busiest = next(story.user for story in company.stories if story.key == "healthy_champion")
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in messages(plan.people, plan.firms, plan.now, seed=plan.seed, events=plan.events, busiest=busiest):
            file.write(line)
            count += 1
    return count


def _with_seats(random: Random, cast: Cast) -> list[Person]:
    """Give every firm its seats, by the number of its people, and every person the final firms."""
    sizes: dict[str, int] = {}
    for person in cast.people:
        for firm in person.firms:
            sizes[firm.id] = sizes.get(firm.id, 0) + 1
    cast.firms[:] = [
        replace(firm, seats=firm.seats or max(5, round(sizes.get(firm.id, 0) * random.uniform(0.9, 1.8))))
        for firm in cast.firms
    ]
    final = {firm.id: firm for firm in cast.firms}
    return [replace(person, firms=tuple(final[firm.id] for firm in person.firms)) for person in cast.people]


def _contacts(random: Random, people: list[Person], cast: Cast) -> list[dict[str, str]]:
    found = []
    for person in people:
        if not person.in_crm:
            continue
        stage = "customer" if person.firms and person.firms[0].mrr else random.choice(("lead", "opportunity"))
        contact = _contact(random, person.first, person.last, person.email.lower(), person.title, stage)
        contact["hs_buying_role"] = person.buying_role
        found.append(contact)
        further = cast.second_contacts.get(person.email)
        if further:
            found.append({**contact, "email": further, "jobtitle": "", "phone": ""})
    taken = {contact["email"] for contact in found} | {person.email for person in people}
    for _ in range(STRANGERS):
        first, last = random.choice(FIRST), random.choice(LAST)
        firm = random.choice(cast.firms).domain if random.random() < 0.3 else "prospects.example"
        email = f"{ascii_word(first)}.{ascii_word(last)}@{'prospects.example' if firm == 'gmail.com' else firm}"
        if email not in taken:
            taken.add(email)
            stage = random.choice(("subscriber", "lead", "marketingqualifiedlead", "opportunity"))
            found.append(_contact(random, first, last, email, random.choice(TITLES + HEADS), stage))
    random.shuffle(found)
    return found


def _contact(random: Random, first: str, last: str, email: str, title: str, stage: str) -> dict[str, str]:
    return {
        "email": email,
        "firstname": first,
        "lastname": last,
        "jobtitle": title,
        "hs_buying_role": "",
        "lifecyclestage": stage,
        "phone": f"+1 555 01{random.randint(0, 99):02d}" if random.random() < 0.7 else "",
    }


def _companies(cast: Cast) -> list[dict[str, str]]:
    known = [{"name": firm.name, "domain": firm.domain} for firm in cast.firms if firm.in_crm]
    others = [
        {"name": "Gmail", "domain": "gmail.com"},
        {"name": "Prospects United", "domain": "prospects.example"},
        {"name": "Faraway Foods", "domain": "farawayfoods.example"},
    ]
    return known + others
