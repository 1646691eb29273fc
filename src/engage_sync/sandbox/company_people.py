"""The client firms and people of the invented company: who exists, since when, and how much each one uses the product.
Drawn from a seeded generator; days count from the first day of the half year. It writes no message, no CRM record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from engage_sync.sandbox.company_names import (
    FIRM_ENDS,
    FIRM_FORMS,
    FIRM_STARTS,
    FIRST,
    HEADS,
    LAST,
    TITLES,
    ascii_word,
)

DAYS = 184
"""Length of the half year in days; the last one, DAYS - 1, is the day of `now`."""

PLANS = {"trial": (0, 0), "team": (200, 900), "business": (1_000, 4_500), "enterprise": (5_000, 18_000)}
"""Monthly recurring revenue per plan, from and to."""


@dataclass(frozen=True, slots=True)
class Firm:
    """One client: an account of the product. `upgraded` is the day its plan and MRR rose, None when they did not."""

    id: str
    name: str
    domain: str
    plan: str
    mrr: int
    seats: int
    signed_up: datetime
    renewal: datetime
    zone_hours: int
    last_day: int
    upgraded: int | None
    in_crm: bool


@dataclass(frozen=True, slots=True)
class Person:
    """One user. Active from `first_day` to `last_day`, both included; `last_day` -1 is never. `weight` is how much.
    Before the day `renamed` the messages carry the id `former_id`."""

    id: str
    first: str
    last: str
    email: str
    title: str
    role: str
    firms: tuple[Firm, ...]
    joined: datetime
    weight: float
    first_day: int
    last_day: int
    in_crm: bool
    buying_role: str = ""
    deactivated: datetime | None = None
    former_id: str | None = None
    renamed: int = 0

    @property
    def name(self) -> str:
        """The first and the last name."""
        return f"{self.first} {self.last}"


def first_midnight(now: datetime) -> datetime:
    """Give the instant the half year begins."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1)


def draw_firms(random: Random, now: datetime, count: int) -> list[Firm]:
    """Draw client firms: two thirds were there before the half year, a few stop during it."""
    names = [f"{start}{end}" for start in FIRM_STARTS for end in FIRM_ENDS]
    random.shuffle(names)
    while len(names) < count:
        names.append(f"{names[len(names) - 360]} {len(names)}")
    return [_firm(random, now, name) for name in names[:count]]


def _firm(random: Random, now: datetime, name: str) -> Firm:
    start = first_midnight(now)
    old = random.random() < 0.66
    signed_up = start + timedelta(days=-random.randint(20, 900) if old else random.randint(1, DAYS - 30))
    signed_up += timedelta(minutes=random.randint(8 * 60, 18 * 60))
    plan = random.choices(list(PLANS), weights=(1 if old else 4, 4, 4, 2))[0]
    low, high = PLANS[plan]
    upgrades = plan != "trial" and old and random.random() < 0.4
    renewal = signed_up
    while renewal <= now - timedelta(days=10):
        renewal += timedelta(days=365)
    return Firm(
        id=f"acct_{ascii_word(name)}",
        name=name + random.choice(FIRM_FORMS),
        domain=f"{ascii_word(name)}.example",
        plan=plan,
        mrr=int(random.triangular(low, high, low + (high - low) * 0.3)) // 10 * 10 if high else 0,
        seats=0,
        signed_up=signed_up,
        renewal=renewal,
        zone_hours=random.choice((-8, -5, -5, 0, 1, 1, 1, 2, 3, 9)),
        last_day=random.randint(60, DAYS - 50) if old and random.random() < 0.08 else DAYS - 1,
        upgraded=random.randint(20, DAYS - 20) if upgrades else None,
        in_crm=random.random() < 0.9,
    )


def draw_people(random: Random, now: datetime, firms: list[Firm], count: int) -> list[Person]:
    """Draw users: firms of very different size, a few people in two of them, most quiet, few very busy."""
    sizes = [random.lognormvariate(0, 0.8) for _ in firms]
    homes = firms + random.choices(firms, weights=sizes, k=max(0, count - len(firms)))
    people, taken = [], set()
    for number, firm in enumerate(homes[:count], start=1):
        person = _person(random, now, f"usr_{number:04d}", firm, firms)
        while person.email in taken:
            person = _person(random, now, f"usr_{number:04d}", firm, firms)
        taken.add(person.email)
        people.append(person)
    return people


def _person(random: Random, now: datetime, user: str, firm: Firm, firms: list[Firm]) -> Person:
    start = first_midnight(now)
    first, last = random.choice(FIRST), random.choice(LAST)
    joined = min(firm.signed_up + timedelta(days=random.expovariate(1 / 70)), now - timedelta(days=3))
    first_day = max(0, (joined - start).days + 1)
    stops = random.random() < 0.16 and first_day < DAYS - 40
    never = random.random() < 0.07
    last_day = -1 if never else min(random.randint(first_day, DAYS - 1) if stops else DAYS - 1, firm.last_day)
    head = random.random() < 0.05
    second = random.choice(firms) if random.random() < 0.03 else firm
    if second.signed_up > joined:
        second = firm
    return Person(
        id=user,
        first=first,
        last=last,
        email=f"{ascii_word(first)}.{ascii_word(last)}@{firm.domain}",
        title=random.choice(HEADS if head else TITLES),
        role=random.choices(("admin", "member", "viewer"), weights=(2, 6, 2))[0],
        firms=(firm,) if second is firm else (firm, second),
        joined=joined,
        weight=min(random.lognormvariate(0, 1.1), 14.0),
        first_day=first_day,
        last_day=last_day,
        in_crm=random.random() < 0.665,
        buying_role=random.choice(("CHAMPION", "DECISION_MAKER")) if head else random.choice(("", "", "END_USER")),
        former_id=f"legacy-{user[-4:]}" if random.random() < 0.01 else None,
        renamed=random.randint(30, DAYS - 30),
    )
