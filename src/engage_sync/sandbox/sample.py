"""The sample company as the start of the sandboxes: what its CRMs hold before engage-sync has ever run. Marketing works
in HubSpot, sales in Salesforce: most people are in both, some in one only."""

from __future__ import annotations

from datetime import datetime
from random import Random

from engage_sync.sandbox.company import Company, generate
from engage_sync.sandbox.company_people import Firm, Person
from engage_sync.sandbox.salesforce_seed import SalesforceSeed
from engage_sync.sandbox.seed import Seed

IN_BOTH = 0.85
"""The share of HubSpot's product users whom sales knows too."""
ONLY_SALES = 0.12
"""The share of the other users whom sales alone knows."""
LEADS = 0.4
"""The share of HubSpot's strangers who are leads of sales."""


def seed(now: datetime, company: Company | None = None) -> Seed:
    """Give the HubSpot side of the sample company; `company` where it has been generated already."""
    made = company or generate(now)
    return Seed(contacts=made.contacts, companies=made.companies, merges=made.merges)


def salesforce_seed(now: datetime, company: Company | None = None) -> SalesforceSeed:
    """Give the Salesforce side of the sample company; the same arguments give the same records."""
    made = company or generate(now)
    random = Random(f"salesforce {made.plan.seed}")  # noqa: S311  (a demo, not a secret)
    unknown = {story.email for story in made.stories if story.key == "power_not_in_crm"}
    known = {story.email for story in made.stories} - unknown
    firms = {firm.id: firm for firm in made.plan.firms if firm.in_crm and firm.domain != "gmail.com"}
    contacts, taken = [], set()
    for person in made.plan.people:
        share = IN_BOTH if person.in_crm else ONLY_SALES
        if person.email in unknown or person.email in taken or (random.random() >= share and person.email not in known):
            continue
        taken.add(person.email)
        contacts.append(_contact(random, person, firms))
    products = {person.email.lower() for person in made.plan.people}
    strangers = [row for row in made.contacts if row["email"] not in products and ".work@" not in row["email"]]
    leads = [_lead(random, row) for row in strangers if random.random() < LEADS]
    return SalesforceSeed([_account(random, firm) for firm in firms.values()], contacts, leads)


def _account(random: Random, firm: Firm) -> dict[str, object]:
    return {
        "Name": firm.name,
        "Website": f"https://www.{firm.domain}",
        "Type": "Customer - Direct" if firm.mrr else "Prospect",
        "NumberOfEmployees": firm.seats * random.randint(1, 9),
        "Phone": f"+1 555 02{random.randint(0, 99):02d}",
    }


def _contact(random: Random, person: Person, firms: dict[str, Firm]) -> dict[str, object]:
    firm = next((firms[one.id] for one in person.firms if one.id in firms), None)
    values: dict[str, object] = {
        "FirstName": person.first,
        "LastName": person.last,
        "Email": person.email.lower(),
        "Title": person.title,
        "LeadSource": random.choice(("Web", "Phone Inquiry", "Partner Referral", "")),
        "Phone": f"+1 555 03{random.randint(0, 99):02d}" if random.random() < 0.5 else "",
    }
    return values if firm is None else {**values, "Account.Name": firm.name}


def _lead(random: Random, row: dict[str, str]) -> dict[str, object]:
    domain = row["email"].rpartition("@")[2]
    return {
        "FirstName": row["firstname"],
        "LastName": row["lastname"],
        "Email": row["email"],
        "Title": row["jobtitle"],
        "Company": domain.partition(".")[0].title(),
        "Status": random.choice(("Open - Not Contacted", "Working - Contacted")),
        "LeadSource": "Web",
    }
