"""What the CRM should hold after a clean cycle, worked out slowly and plainly: matching (semantics §5) in loops, wanted
values from the oracle. It knows nothing of the product."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import yaml

from tests.oracle import verdicts
from tests.oracle.messages import Message
from tests.oracle.world import World

Values = Mapping[str, str]
Pair = tuple[str, str]

USER_FIELDS = (
    "engage_user_types",
    "engage_user_type",
    "engage_reports",
    "engage_last_active",
    "engage_external_id",
    "engage_link",
)
ACCOUNT_FIELDS = ("engage_active_users", "engage_seat_use", "engage_events", "engage_external_id")
RESPECTED = "engage_user_type"


@dataclass
class Match:
    """Record → id of the user or account it is linked to; and the records that are ambiguous."""

    links: dict[str, str] = field(default_factory=dict)
    ambiguous: set[str] = field(default_factory=set)


@dataclass
class Side:
    """The users and contacts, or the accounts and companies, to be matched."""

    keys: Mapping[str, str | None]
    idle: Collection[str]
    records: Mapping[str, Values]
    key_field: str
    stored: Iterable[Pair]


def match(side: Side, moved: Mapping[str, str], aliases: Mapping[str, str]) -> Match:
    """Match one side. `moved` maps a merged-away record to its survivor, `aliases` any id to the one shown."""
    found = Match()
    free_people, free_records = set(side.keys) - set(side.idle), set(side.records)

    def level(pairs: Iterable[Pair], people: set[str]) -> None:
        still = {(record, who) for record, who in pairs if record in free_records and who in people}
        for record, who in still:
            alone = sum(r == record for r, _ in still) == 1 and sum(w == who for _, w in still) == 1
            free_records.discard(record)
            people.discard(who)
            if alone:
                found.links[record] = who
            else:
                found.ambiguous.add(record)

    stored = {(survivor(record, moved), aliases.get(who, who)) for record, who in side.stored}
    level(stored, free_people)
    carried = ((record, values.get("engage_external_id", "")) for record, values in side.records.items())
    level([(record, aliases.get(who, who)) for record, who in carried], free_people)
    level(_by_key(side, lambda values: [values.get(side.key_field, "")]), free_people)
    level(_by_key(side, lambda values: values.get("hs_additional_emails", "").split(";")), free_people)
    level(stored, set(side.idle))
    return found


def survivor(record: str, moved: Mapping[str, str]) -> str:
    while record in moved:
        record = moved[record]
    return record


def _by_key(side: Side, texts: Any) -> list[Pair]:
    return [
        (record, who)
        for record, values in side.records.items()
        for text in texts(values)
        for who, key in side.keys.items()
        if key and text.strip().lower() == key
    ]


@dataclass
class Expected:
    """What both objects should look like: who is linked, and the wanted values of each linked record."""

    contacts: Match
    companies: Match
    wanted: dict[tuple[str, str], dict[str, str]]


def expect(
    messages: Sequence[Message],
    model: str,
    as_of: datetime,
    records: Mapping[str, Mapping[str, Values]],
    stored: Mapping[str, Sequence[Pair]],
    moved: Mapping[str, Mapping[str, str]],
) -> Expected:
    """Work everything out. `records`, `stored` and `moved` by object; `records` are the live ones."""
    rules = yaml.safe_load(model)
    plain = World(messages, rules, as_of, "Europe/Berlin", {})
    emails = {user: (plain.user_traits[user].get("email") or "").strip().lower() or None for user in plain.users}
    domains = {account: plain.account_traits[account].get("domain") for account in plain.accounts}
    people = Side(emails, plain.deactivated, records["contacts"], "email", stored["contacts"])
    firms = Side(domains, (), records["companies"], "domain", stored["companies"])
    contacts = match(people, moved["contacts"], plain.shown_as)
    companies = match(firms, moved["companies"], {})
    crm = {
        "users": {who: _link("contacts", record, records) for record, who in contacts.links.items()},
        "accounts": {who: _link("companies", record, records) for record, who in companies.links.items()},
    }
    users = {
        row["external_id"]: row for row in verdicts.users(messages, rules, as_of, "Europe/Berlin", {"hubspot": crm})
    }
    accounts = {
        row["external_id"]: row for row in verdicts.accounts(messages, rules, as_of, "Europe/Berlin", {"hubspot": crm})
    }
    wanted = {("contacts", record): _user(users.get(who)) for record, who in contacts.links.items()}
    wanted |= {("companies", record): _account(accounts[who]) for record, who in companies.links.items()}
    return Expected(contacts, companies, wanted)


def _link(object_: str, record: str, records: Mapping[str, Mapping[str, Values]]) -> dict[str, Any]:
    return {"object": object_, "id": record, "url": None, "values": records[object_][record]}


def _user(row: Mapping[str, Any] | None) -> dict[str, str]:
    """Give the wanted texts of a user; one that is deactivated (no row) wants everything empty."""
    if row is None:
        return dict.fromkeys(USER_FIELDS, "")
    last = row["last_active_at"]
    return {
        "engage_user_types": ";".join(row["user_types"]),
        "engage_user_type": row["primary_user_type"],
        "engage_reports": str(row["metrics"]["reports"]),
        "engage_last_active": "" if last is None else last,
        "engage_external_id": row["external_id"],
        "engage_link": "https://console.example.com/users/" + quote(row["external_id"], safe=""),
    }


def _account(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "engage_active_users": str(row["active_users"]),
        "engage_seat_use": "" if row["seat_use"] is None else str(round(row["seat_use"], 4)),
        "engage_events": str(row["metrics"]["events_5d"]),
        "engage_external_id": row["external_id"],
    }


def meaning(field_: str, text: str) -> object:
    """Give what a CRM's text stands for, so that two ways to write one value compare equal."""
    if not text:
        return None
    if field_ == "engage_user_types":
        return frozenset(text.split(";"))
    if field_ == "engage_last_active":
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    if field_ in ("engage_reports", "engage_active_users", "engage_seat_use", "engage_events"):
        return float(text)
    return text
