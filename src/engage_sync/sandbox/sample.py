"""The sample company as the start of a sandbox: what its CRM holds before engage-sync has ever run."""

from __future__ import annotations

from datetime import datetime

from engage_sync.sandbox.company import Company, generate
from engage_sync.sandbox.seed import Seed


def seed(now: datetime, company: Company | None = None) -> Seed:
    """Give the CRM side of the sample company; `company` where it has been generated already."""
    made = company or generate(now)
    return Seed(contacts=made.contacts, companies=made.companies, merges=made.merges)
