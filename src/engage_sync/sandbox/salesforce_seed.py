"""What a pretend Salesforce org starts with: accounts, contacts, leads. Data only, and the one function that puts it
into a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engage_sync.sandbox.salesforce_store import SalesforceStore

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SalesforceSeed:
    """Field values of the records. A contact's `Account.Name` names its account, instead of an `AccountId`."""

    accounts: Sequence[Row] = ()
    contacts: Sequence[Row] = ()
    leads: Sequence[Row] = ()


def plant(store: SalesforceStore, seed: SalesforceSeed) -> None:
    """Put a seed into a store. Raises RowRefused for invalid values, KeyError for an account that is not there."""
    ids = store.create_many("Account", seed.accounts, by="Data Loader")
    names = {str(row["Name"]): number for row, number in zip(seed.accounts, ids, strict=True)}
    contacts = []
    for row in seed.contacts:
        firm = row.get("Account.Name")
        values = {name: value for name, value in row.items() if name != "Account.Name"}
        contacts.append(values if firm is None else {**values, "AccountId": names[str(firm)]})
    store.create_many("Contact", contacts, by="Data Loader")
    store.create_many("Lead", seed.leads, by="Data Loader")
