"""The people of the demo that a customer-success manager should notice, or trip over: some of the drawn users are given
a part, and each part is told as a `Story`. Messages and CRM records follow from them; none is written here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from engage_sync.sandbox.company_people import DAYS, Firm, Person, first_midnight

BUSY = 22.0
"""A weight that is well inside the top tenth."""


@dataclass(frozen=True, slots=True)
class Story:
    """One case of the demo. `user` is an external id, `email` the address in the product, `account` an external id.
    `of_account` tells that the case is the account's, and `domain` where the CRM finds it."""

    key: str
    title: str
    why: str
    user: str
    email: str
    account: str | None
    of_account: bool = False
    domain: str | None = None


@dataclass(slots=True)
class Cast:
    """Firms and people while parts are given out. `free` are the indexes of people without a part, shuffled."""

    now: datetime
    firms: list[Firm]
    people: list[Person]
    free: list[int] = field(default_factory=list)
    stories: list[Story] = field(default_factory=list)
    merges: list[tuple[str, str]] = field(default_factory=list)
    second_contacts: dict[str, str] = field(default_factory=dict)

    def take(self, fits: Callable[[Person], bool] = lambda _: True) -> Person:
        """Take a person of an ordinary, paying firm that is there from the first day on and fits."""
        for index in self.free:
            person = self.people[index]
            firm = person.firms[0]
            settled = firm.signed_up < first_midnight(self.now) and firm.last_day == DAYS - 1 and firm.plan != "trial"
            if settled and self._colleagues(firm) >= 3 and fits(person):
                self.free.remove(index)
                return person
        return self.people[self.free.pop(0)]

    def _colleagues(self, firm: Firm) -> int:
        return sum(each.firms[:1] == (firm,) for each in self.people)

    def settle(self, person: Person) -> Person:
        """Put a changed person back in its place."""
        index = next(i for i, each in enumerate(self.people) if each.id == person.id)
        self.people[index] = person
        return person

    def tell(self, key: str, title: str, why: str, person: Person, *, of_account: bool = False) -> None:
        """Keep a story about a person, or about the person's firm."""
        firm = person.firms[0] if person.firms else None
        account, domain = (None, None) if firm is None else (firm.id, firm.domain)
        self.stories.append(Story(key, title, why, person.id, person.email, account, of_account, domain))

    def colleagues(self, firm: Firm) -> list[int]:
        """Give the indexes of those people of a firm alone who have no part yet."""
        return [index for index in self.free if [each.id for each in self.people[index].firms] == [firm.id]]


def cast_stories(random: Random, now: datetime, firms: list[Firm], people: list[Person]) -> Cast:
    """Give out the parts."""
    cast = Cast(now, firms, people, free=list(range(len(people))))
    random.shuffle(cast.free)
    _never_onboarded(cast)
    _free_mail(cast)
    for give in (_champions, _power_not_in_crm, _shared_email, _merged_contact, _no_company, _deactivated, _renamed):
        give(cast)
    for tell in (_usage_fell, _seats_full):
        tell(cast)
    return cast


def _there_from_the_start(cast: Cast, person: Person, **changes: object) -> Person:
    start = first_midnight(cast.now)
    before = replace(
        person,
        firms=person.firms[:1],
        joined=min(person.joined, start - timedelta(days=11, hours=14)),
        first_day=0,
        last_day=DAYS - 1,
        former_id=None,
    )
    return replace(before, **changes)  # type: ignore[arg-type]  # the names are fields of Person, checked by replace


def _champions(cast: Cast) -> None:
    quiet = cast.settle(
        _there_from_the_start(
            cast,
            cast.take(),
            title="Head of Data",
            role="admin",
            weight=BUSY,
            last_day=DAYS - 49,
            in_crm=True,
            buying_role="CHAMPION",
        )
    )
    cast.tell(
        "quiet_champion",
        "A champion gone quiet",
        "Was among the busiest users for months and has not done anything for more than 45 days.",
        quiet,
    )
    well = cast.settle(
        _there_from_the_start(
            cast,
            cast.take(lambda person: person.firms[0] != quiet.firms[0]),
            title="Head of Operations",
            role="admin",
            weight=BUSY,
            in_crm=True,
            buying_role="CHAMPION;DECISION_MAKER",
        )
    )
    cast.tell(
        "healthy_champion",
        "A champion as one wishes",
        "Uses the product every working day and decides about it: power and influencer.",
        well,
    )


def _power_not_in_crm(cast: Cast) -> None:
    person = cast.take()
    person = cast.settle(_there_from_the_start(cast, person, title="Data Analyst", weight=BUSY, in_crm=False))
    cast.tell(
        "power_not_in_crm",
        "A power user the CRM has never heard of",
        "One of the busiest users of all; sales and success have no contact for this person.",
        person,
    )


def _never_onboarded(cast: Cast) -> None:
    places: dict[str, list[int]] = {}
    for index, person in enumerate(cast.people):
        if len(person.firms) == 1:
            places.setdefault(person.firms[0].id, []).append(index)
    there = {firm.id: firm for firm in cast.firms if firm.id in places}
    chosen = min(there, key=lambda firm: (abs(len(places[firm]) - 8), firm))
    signed_up = cast.now - timedelta(days=52, hours=3)
    firm = replace(there[chosen], plan="business", mrr=1900, signed_up=signed_up, upgraded=None, in_crm=True)
    cast.firms[cast.firms.index(there[chosen])] = firm
    for index, person in enumerate(cast.people):
        if firm.id not in [each.id for each in person.firms]:
            continue
        if len(person.firms) > 1:  # only colleagues that never came
            home = person.firms[0] if person.firms[0].id != firm.id else person.firms[1]
            cast.people[index] = replace(person, firms=(home,))
            continue
        joined = signed_up + timedelta(hours=2 * len(person.first))
        cast.people[index] = replace(person, firms=(firm,), joined=joined, last_day=-1, former_id=None)
    mine = places[chosen]
    cast.free = [index for index in cast.free if index not in mine]
    contact = cast.settle(replace(cast.people[mine[0]], in_crm=True, role="admin"))
    cast.tell(
        "never_onboarded",
        "An account that never onboarded",
        f"{firm.name} pays, invited {len(mine)} people, and not one of them has ever done anything.",
        contact,
        of_account=True,
    )


def _shared_email(cast: Cast) -> None:
    one = cast.take()
    other = cast.take(lambda person: person.firms[0].id == one.firms[0].id)
    address = f"frontdesk@{one.firms[0].domain}"
    one = cast.settle(_there_from_the_start(cast, one, email=address, weight=3.0, in_crm=True))
    cast.settle(_there_from_the_start(cast, replace(other, firms=one.firms), email=address, weight=2.0, in_crm=False))
    cast.tell(
        "shared_email",
        "One address, two people",
        f"{one.name} and {other.name} both work as {address}; the CRM has one contact, and nobody can say whose it is.",
        one,
    )


def _merged_contact(cast: Cast) -> None:
    person = cast.settle(_there_from_the_start(cast, cast.take(), weight=4.0, in_crm=True))
    survivor = person.email.replace("@", ".work@")
    cast.second_contacts[person.email] = survivor
    cast.merges.append((survivor, person.email))
    cast.tell(
        "merged_contact",
        "Two contacts that become one",
        f"Sales entered {person.name} twice; after the merge the address known to the product is a further one of "
        f"{survivor}.",
        person,
    )


def _no_company(cast: Cast) -> None:
    person = cast.take()
    address = f"{person.email.partition('@')[0]}@freelance.example"
    person = cast.settle(replace(_there_from_the_start(cast, person, email=address, weight=1.5, in_crm=True), firms=()))
    cast.tell("no_company", "A user without a company", "Works alone: a user of no account.", person)


def _free_mail(cast: Cast) -> None:
    person = cast.take()
    firm = replace(
        cast.firms[0],
        id="acct_onewomanstudio",
        name="One Woman Studio",
        domain="gmail.com",
        plan="team",
        mrr=240,
        in_crm=False,
        upgraded=None,
        last_day=DAYS - 1,
        signed_up=first_midnight(cast.now) - timedelta(days=30),
    )
    address = f"{person.email.partition('@')[0]}.engage-demo@gmail.com"
    person = _there_from_the_start(cast, person, email=address, weight=1.5, in_crm=True)
    cast.settle(replace(person, firms=(firm,)))
    cast.firms.append(firm)
    cast.tell(
        "free_mail",
        "A free-mail address",
        "Signed up with a free-mail address: its domain says nothing about the company and is never matched.",
        replace(person, firms=(firm,)),
    )


def _deactivated(cast: Cast) -> None:
    gone = cast.now - timedelta(days=20, hours=5)
    person = cast.take()
    person = _there_from_the_start(
        cast, person, weight=5.0, last_day=DAYS - 23, in_crm=True, deactivated=gone, role="owner"
    )
    cast.settle(person)
    cast.tell(
        "deactivated",
        "A user who was switched off",
        "An owner, removed by the account's admin 20 days ago: no verdict, and the managed fields are cleared.",
        person,
    )


def _renamed(cast: Cast) -> None:
    person = cast.take()
    person = _there_from_the_start(cast, person, weight=3.0, in_crm=True)
    person = cast.settle(replace(person, former_id=f"legacy-{person.id[-4:]}", renamed=70))
    cast.tell(
        "renamed",
        "One person, two ids",
        "The product changed this person's id half-way; an alias message makes both one user.",
        person,
    )


def _usage_fell(cast: Cast) -> None:
    person = cast.take(lambda one: len(cast.colleagues(one.firms[0])) >= 6)
    firm = replace(person.firms[0], plan="business", mrr=2400, in_crm=True, renewal=cast.now + timedelta(days=40))
    _replace_firm(cast, firm)
    for index in cast.colleagues(firm):
        colleague = replace(cast.people[index], first_day=0, last_day=DAYS - 9, weight=3.0)
        cast.people[index] = _there_from_the_start(cast, colleague, first_day=0, last_day=DAYS - 9)
    contact = cast.settle(_there_from_the_start(cast, person, weight=1.0, in_crm=True, role="admin"))
    cast.tell(
        "usage_fell",
        "A renewal at risk",
        f"{firm.name} has worked with the product for months; a week ago nearly all of them stopped, and the contract"
        " ends in 40 days.",
        contact,
        of_account=True,
    )


def _seats_full(cast: Cast) -> None:
    person = cast.take(lambda one: len(cast.colleagues(one.firms[0])) >= 4)
    mine = cast.colleagues(person.firms[0])
    firm = replace(person.firms[0], plan="team", mrr=640, in_crm=True, renewal=cast.now + timedelta(days=200))
    _replace_firm(cast, replace(firm, seats=len(mine) + 1))
    for index in mine:
        cast.people[index] = _there_from_the_start(cast, cast.people[index], weight=3.0)
    contact = cast.settle(_there_from_the_start(cast, person, weight=4.0, in_crm=True, role="admin"))
    cast.tell(
        "seats_full",
        "An account that wants to grow",
        f"Everybody at {firm.name} uses the product every week, and there is no seat left.",
        contact,
        of_account=True,
    )


def _replace_firm(cast: Cast, firm: Firm) -> None:
    """Put a changed firm in its place; people are given the final firms in the end."""
    index = next(place for place, each in enumerate(cast.firms) if each.id == firm.id)
    cast.firms[index] = firm
