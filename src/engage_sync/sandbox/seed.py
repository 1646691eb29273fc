"""What a pretend CRM starts with: records, who works where, and which contacts were merged. Data only, and the one
function that puts it into a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from engage_sync.sandbox.refusal import Refused
from engage_sync.sandbox.store import Store


@dataclass(frozen=True, slots=True)
class Seed:
    """HubSpot property values of contacts and companies. `employers` are pairs of a contact's e-mail and a company's
    domain (the first company with it); None joins them by the e-mail's domain, as HubSpot itself does. `merges` are
    pairs of e-mails, survivor and merged away, done in order."""

    contacts: Sequence[Mapping[str, str]] = ()
    companies: Sequence[Mapping[str, str]] = ()
    employers: Sequence[tuple[str, str]] | None = None
    merges: Sequence[tuple[str, str]] = ()


def plant(store: Store, seed: Seed) -> None:
    """Put a seed into a store. Raises Refused for invalid values and for an e-mail or a domain that is not there."""
    firms = store.create_many("companies", seed.companies)
    domains = {store.values("companies", firm).get("domain", ""): firm for firm in reversed(firms)}
    store.create_many("contacts", seed.contacts)
    for email, domain in _by_domain(seed, domains) if seed.employers is None else seed.employers:
        if domain not in domains:
            raise Refused(f"There is no company with the domain {domain}.")
        store.employ(_contact(store, email), domains[domain])
    for winner, loser in seed.merges:
        store.merge("contacts", _contact(store, winner), _contact(store, loser))


def _by_domain(seed: Seed, domains: Collection[str]) -> list[tuple[str, str]]:
    pairs = [(row["email"], row["email"].rpartition("@")[2].lower()) for row in seed.contacts if row.get("email")]
    return [(email, domain) for email, domain in pairs if domain in domains]


def _contact(store: Store, email: str) -> str:
    found = store.find("contacts", "email", email)
    if found is None:
        raise Refused(f"There is no contact with the e-mail {email}.")
    return found
