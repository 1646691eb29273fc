"""The small world of the soak: people and firms in both CRMs and in the product, who type, merge, delete, restore and
use the product at random; and, in plain Python, what both CRMs should show in the end. It knows nothing of the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from engage_sync.sandbox.refusal import Refused
from engage_sync.sandbox.salesforce_refusal import Denied, RowRefused
from engage_sync.sandbox.store import PERSON
from tests.sync.two_crms import Both

MODEL = """\
properties:
  user: {plan: traits.plan, team: traits.team}
  account: {tier: traits.tier}
metrics:
  user: {reports: {count: report_run, window: 7d}}
signals:
  golden: {entity: user, when: "plan = 'gold'", actions: [{crm_task: "Say thank you"}]}
"""

HUBSPOT = """\
connector: hubspot
auth: {access_token: "${ENGAGE_TEST_TOKEN}"}
base_url: BASE_URL
objects:
  contacts:
    entity: user
    match: {external_id: engage_external_id, email: email}
    write:
      engage_plan: plan
      engage_team: {from: team, on_drift: respect}
      engage_reports: reports
      engage_external_id: external_id
  companies:
    entity: account
    match: {external_id: engage_external_id, domain: domain}
    write: {engage_tier: tier, engage_external_id: external_id}
"""

SALESFORCE = """\
connector: salesforce
auth: {login_url: BASE_URL, client_id: "${ENGAGE_TEST_CLIENT}", client_secret: "${ENGAGE_TEST_SECRET}"}
objects:
  Contact:
    entity: user
    match: {external_id: Engage_External_Id__c, email: Email}
    write:
      Engage_Plan__c: plan
      Engage_Team__c: {from: team, on_drift: respect}
      Engage_Reports__c: reports
      Engage_External_Id__c: external_id
  Account:
    entity: account
    match: {external_id: Engage_External_Id__c, domain: Website}
    write: {Engage_Tier__c: tier, Engage_External_Id__c: external_id}
"""

DEEDS = ("type", "type", "foreign", "plan", "plan", "team", "tier", "off", "create", "create", "merge", "bin", "back")
WORDS = ("gold", "silver", "free")
WINDOW = timedelta(days=7)
OBJECTS = {"contacts": "Contact", "companies": "Account"}
MANAGED = {
    "contacts": ("engage_plan", "engage_team", "engage_reports", "engage_external_id"),
    "companies": ("engage_tier", "engage_external_id"),
}


def theirs(name: str) -> str:
    """Give the name that Salesforce has for a field of ours."""
    return "_".join(part.capitalize() for part in name.split("_")) + "__c"


@dataclass
class World:
    """`plans`, `teams`, `tiers` and `reports` are what the product was told; `whose` is the user or account that each
    record of each CRM stands for, None for nobody's; `typed` what people typed into the respected field."""

    project: Both
    dice: Random
    people: int
    firms: int
    plans: dict[str, str] = field(default_factory=dict)
    teams: dict[str, str] = field(default_factory=dict)
    tiers: dict[str, str] = field(default_factory=dict)
    reports: dict[str, list[datetime]] = field(default_factory=dict)
    off: set[str] = field(default_factory=set)
    whose: dict[tuple[str, str, str], str | None] = field(default_factory=dict)
    shown: dict[tuple[str, str, str], set[str]] = field(default_factory=dict)
    """What the respected field of each record may still show: what people typed, and what was ever wanted."""
    typed: dict[tuple[str, str, str], dict[str, str]] = field(default_factory=dict)
    """What people typed last into our fields of each record."""
    late: set[tuple[str, str, str]] = field(default_factory=set)
    """Records made for somebody who had left: nobody takes them, so what people type there is theirs."""
    merged: set[tuple[str, str, str]] = field(default_factory=set)
    episodes: dict[str, int] = field(default_factory=dict)
    golden: set[str] = field(default_factory=set)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    strangers: int = 0

    def begin(self) -> None:
        """Found everything: half of the people are in one CRM only, some contacts are nobody's."""
        for number in range(self.firms):
            account = f"a{number}"
            self.tell_tier(account, number)
            self.create("hubspot", "companies", account)
            self.create("salesforce", "companies", account)
        for number in range(self.people):
            user = f"u{number}"
            self.tell(user, "plan", self.dice.choice(WORDS))
            self.tell(user, "team", self.dice.choice(WORDS))
            for crm in ("hubspot", "salesforce"):
                if self.dice.random() < 0.75:
                    self.create(crm, "contacts", user)

    # --- what the product is told ---

    def tell(self, user: str, name: str, text: str) -> None:
        email = f"{user}@{self.domain(int(user[1:]) % self.firms)}"
        self.bodies.append(self.project.identify(user, email=email, **{name: text}))
        (self.plans if name == "plan" else self.teams)[user] = text

    def tell_tier(self, account: str, number: int) -> None:
        text = self.dice.choice(WORDS)
        self.bodies.append(self.project.group(f"u{number}", account, domain=self.domain(number), tier=text))
        self.tiers[account] = text

    def domain(self, number: int) -> str:
        return f"firm{number}.example"

    def use(self, user: str) -> None:
        self.bodies.append(self.project.track(user, "report_run"))
        self.reports.setdefault(user, []).append(self.project.clock())

    # --- what people do ---

    def live(self, crm: str, object_: str) -> list[str]:
        if crm == "hubspot":
            return self.project.crm.store.ids(object_)
        return self.project.org.store.ids(OBJECTS[object_])

    def create(self, crm: str, object_: str, whose: str | None) -> None:
        """Create a record of somebody, or of nobody, unless there is one."""
        if whose is not None and any(self.whose.get((crm, object_, one)) == whose for one in self.live(crm, object_)):
            return
        self.strangers += 1
        number = int(whose[1:]) if whose else self.strangers
        if object_ == "companies":
            domain = self.domain(number)
            values: dict[str, str] = {"domain": domain} if crm == "hubspot" else {"Name": domain, "Website": domain}
        else:
            email = f"{whose}@{self.domain(number % self.firms)}" if whose else f"stranger{number}@else.example"
            values = {"email": email} if crm == "hubspot" else {"LastName": email, "Email": email}
        if crm == "hubspot":
            record = self.project.crm.store.create(object_, values)
        else:
            record = self.project.org.store.create(OBJECTS[object_], values)
        self.whose[crm, object_, record] = whose
        if whose in self.off:
            self.late.add((crm, object_, record))

    def day(self) -> None:
        """Let some hours pass in which people do a few things."""
        for _ in range(self.dice.randint(1, 12)):
            self.project.clock.advance(self.dice.choice((1.0, 60.0, 1_800.0, 7_200.0)))
            with suppress(Refused, RowRefused, Denied):
                self.deed()
        for _ in range(self.dice.randint(0, 40)):
            self.project.clock.advance(1.0)  # two messages of one user at one instant are one
            self.use(self.user())
        if self.bodies:
            self.project.tell(*self.bodies)
            self.bodies.clear()

    def user(self) -> str:
        return f"u{self.dice.randrange(self.people)}"

    def deed(self) -> None:
        crm = self.dice.choice(("hubspot", "salesforce"))
        object_ = self.dice.choice(("contacts", "contacts", "contacts", "companies"))
        record = self.dice.choice(self.live(crm, object_))
        match self.dice.choice(DEEDS):
            case "type":
                self.type(crm, object_, record, self.dice.choice(MANAGED[object_][:2]))
            case "foreign":
                self.edit(crm, object_, record, "firstname" if object_ == "contacts" else "phone", "FirstName", "5")
            case "plan" | "team" as name:
                self.tell(self.user(), name, self.dice.choice(WORDS))
            case "tier":
                number = self.dice.randrange(self.firms)
                self.tell_tier(f"a{number}", number)
            case "off":
                self.leave_or_return(self.user())
            case "create":
                self.create(crm, "contacts", self.user() if self.dice.random() < 0.8 else None)
            case "merge":
                self.merge(crm)
            case "bin" if object_ == "contacts":
                self.discard(crm, record)
            case "back":
                self.bring_back(crm)

    def type(self, crm: str, object_: str, record: str, name: str) -> None:
        text = self.dice.choice((*WORDS, ""))
        if name == "engage_external_id":
            return
        if name == "engage_team":
            self.shown.setdefault((crm, object_, record), set()).add(text)
        self.edit(crm, object_, record, name, theirs(name), text)
        self.typed.setdefault((crm, object_, record), {})[name] = text

    def edit(self, crm: str, object_: str, record: str, here: str, there: str, text: str) -> None:
        if crm == "hubspot":
            self.project.crm.store.update(object_, record, {here: text}, source=PERSON)
        else:
            there = "Phone" if there == "FirstName" and object_ == "companies" else there
            self.project.org.store.edit(OBJECTS[object_], record, {there: text or None})

    def leave_or_return(self, user: str) -> None:
        gone = user not in self.off and self.dice.random() < 0.5
        self.bodies.append(self.project.identify(user, deactivatedAt=self.project.at() if gone else None))
        (self.off.add if gone else self.off.discard)(user)

    def merge(self, crm: str) -> None:
        """Merge a stranger into somebody's contact, or the other way round where the address outlives it."""
        records = self.live(crm, "contacts")
        own = [one for one in records if self.whose[crm, "contacts", one] is not None]
        strangers = [one for one in records if self.whose[crm, "contacts", one] is None]
        if not strangers or not own:
            return
        one, other = self.dice.choice(own), self.dice.choice(strangers)
        whose = self.whose[crm, "contacts", one]
        if crm == "hubspot":
            pair = (one, other) if self.dice.random() < 0.5 else (other, one)
            survivor = self.project.crm.store.merge("contacts", *pair)
        else:
            survivor = self.project.org.store.merge("Contact", one, other)
        self.whose[crm, "contacts", survivor] = whose
        self.merged.add((crm, "contacts", survivor))

    def discard(self, crm: str, record: str) -> None:
        if crm == "hubspot":
            self.project.crm.store.archive("contacts", record)
        else:
            self.project.org.store.delete("Contact", record)

    def bring_back(self, crm: str) -> None:
        """Take a contact out of the recycle bin, unless its person has another one by now."""
        hubspot, org = self.project.crm.store, self.project.org.store
        bin_ = hubspot.ids("contacts", archived=True) if crm == "hubspot" else org.ids("Contact", deleted=True)
        here = {self.whose.get((crm, "contacts", one)) for one in self.live(crm, "contacts")} - {None}
        back = [one for one in bin_ if (crm, "contacts", one) in self.whose]
        back = [one for one in back if self.whose[crm, "contacts", one] not in here]
        if back:
            record = self.dice.choice(back)
            hubspot.restore("contacts", record) if crm == "hubspot" else org.undelete("Contact", record)
            self.merged.add((crm, "contacts", record))

    # --- what should be seen ---

    def computed(self) -> None:
        """Take note that the product looked: who turned golden since it last did."""
        now = {user for user, plan in self.plans.items() if plan == "gold" and user not in self.off}
        for user in now - self.golden:
            self.episodes[user] = self.episodes.get(user, 0) + 1
        self.golden = now

    def wanted(self, object_: str, whose: str, now: datetime) -> dict[str, str]:
        if object_ == "companies":
            return {"engage_tier": self.tiers[whose], "engage_external_id": whose}
        if whose in self.off:
            return dict.fromkeys(MANAGED["contacts"], "")
        reports = sum(now - WINDOW < at <= now for at in self.reports.get(whose, ()))
        return {
            "engage_plan": self.plans[whose],
            "engage_team": self.teams[whose],
            "engage_reports": str(reports),
            "engage_external_id": whose,
        }

    def held(self, crm: str, object_: str, record: str) -> Mapping[str, str]:
        """Give all values of a record, ours under HubSpot's names."""
        if crm == "hubspot":
            return self.project.crm.store.values(object_, record)
        texts = self.project.org.store.text(OBJECTS[object_], record)
        ours = {theirs(name): name for name in MANAGED[object_]}
        return {ours.get(name, name): text or "" for name, text in texts.items()}

    def foreign(self) -> dict[tuple[str, str, str], dict[str, str]]:
        """Give the values that are not ours, of all live records."""
        stamps = ("lastmodifieddate", "hs_lastmodifieddate", "SystemModstamp", "LastModifiedDate", "LastModifiedById")
        return {
            (crm, object_, record): {
                name: text
                for name, text in self.held(crm, object_, record).items()
                if name not in MANAGED[object_] and name not in stamps
            }
            for crm in ("hubspot", "salesforce")
            for object_ in OBJECTS
            for record in self.live(crm, object_)
        }

    def wrong(self, now: datetime) -> list[str]:
        """Say what differs from what is wanted at the end, in every live record."""
        found = []
        for crm in ("hubspot", "salesforce"):
            for object_ in OBJECTS:
                for record in self.live(crm, object_):
                    found += self._wrong(crm, object_, record, now)
        return found

    def _wrong(self, crm: str, object_: str, record: str, now: datetime) -> list[str]:
        whose = self.whose[crm, object_, record]
        held = self.held(crm, object_, record)
        if whose is None:
            return [
                f"{crm} {object_} {record} is nobody's and shows {held[name]!r} as {name}"
                for name in ("engage_reports", "engage_external_id")
                if held.get(name)
            ]
        found = []
        own = self.typed.get((crm, object_, record), {}) if (crm, object_, record) in self.late else {}
        if whose in self.off and (crm, object_, record) in self.merged:
            return []  # back from the bin of somebody who has left: what stood there was forgotten with the record
        for name, want in self.wanted(object_, whose, now).items():
            text = held.get(name) or ""
            if name == "engage_team":
                kept = (crm, object_, record) in self.shown or (crm, object_, record) in self.merged
                right = text == want or (kept and text != "")
            else:
                right = text == want or (whose in self.off and text == own.get(name))
            if not right:
                found.append(f"{crm} {object_} {record} of {whose} shows {text!r} as {name}, not {want!r}")
        return found

    def doubled(self) -> list[str]:
        """Say who has more tasks than occasions for one, or more records than one."""
        found = []
        for crm in ("hubspot", "salesforce"):
            owners = [self.whose[crm, "contacts", one] for one in self.live(crm, "contacts")]
            several = {user for user in owners if user is not None and owners.count(user) > 1}
            found += [f"{user} has several contacts in {crm}" for user in several]
            for record in self.live(crm, "contacts"):
                user = self.whose[crm, "contacts", record]
                if user is None:
                    continue
                if crm == "hubspot":
                    tasks = len(self.project.crm.store.tasks("contacts", record))
                else:
                    tasks = len(self.project.org.store.tasks("Contact", record))
                times = self.episodes.get(user, 0)
                if tasks > times:
                    found.append(f"{user} has {tasks} tasks in {crm}, and was golden {times} times")
        return found
