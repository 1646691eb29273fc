"""A project connected to both CRMs, with the clocks of `project`: marketing works in HubSpot, sales in Salesforce."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engage_sync.sandbox import salesforce_server, server
from engage_sync.sandbox.limits import UNLIMITED
from engage_sync.sandbox.salesforce_server import SalesforceOptions, SalesforceSandbox
from engage_sync.sandbox.server import Options
from engage_sync.sync.cycle import Report
from tests.sync.project import CONNECTOR, MODEL, Clock, Project, write

TITLES = MODEL.replace(
    "title: crm.hubspot.jobtitle", "title: crm.hubspot.jobtitle, sales_title: crm.salesforce.Title"
).replace("title ilike '%head%'", "sales_title ilike '%head%' or title ilike '%head%'")

SALESFORCE = """\
connector: salesforce
auth: {login_url: BASE_URL, client_id: "${ENGAGE_TEST_CLIENT}", client_secret: "${ENGAGE_TEST_SECRET}"}
objects:
  Contact:
    entity: user
    match: {external_id: Engage_External_Id__c, email: Email}
    write:
      Engage_User_Types__c: user_types
      Engage_User_Type__c: primary_user_type
      Engage_Lapsed__c: lapsed_influencer
      Engage_Reports__c: reports
      Engage_Last_Active__c: last_active_at
      Engage_External_Id__c: external_id
      Engage_Link__c: link
  Account:
    entity: account
    match: {external_id: Engage_External_Id__c, domain: Website}
    write:
      Engage_Active_Users__c: active_users
      Engage_Seat_Use__c: seat_use
      Engage_External_Id__c: external_id
  Lead:
    entity: user
    match: {external_id: Engage_External_Id__c, email: Email}
    write: {Engage_User_Type__c: primary_user_type, Engage_External_Id__c: external_id}
"""


@dataclass
class Both(Project):
    """The project, with Salesforce beside HubSpot."""

    org: SalesforceSandbox = field(kw_only=True)

    def sales(self, email: str, **values: object) -> str:
        """Create a contact in Salesforce."""
        return self.org.store.create("Contact", {"LastName": email, "Email": email, **values})

    def held(self, record: str, object_: str = "Contact") -> Mapping[str, str | None]:
        """Give what a Salesforce record holds, as canonical text."""
        return self.org.store.text(object_, record)

    def counts(self, report: Report, connector: str, object_: str) -> dict[str, int]:
        """Give the counts of one object that are not zero."""
        return {name: count for name, count in report.connectors[connector][object_].items() if count}


@contextmanager
def both(root: Path, *, provisioned: bool = True, real_time: bool = False, **org: Any) -> Iterator[Both]:
    """Start both sandboxes, write a project for them and create the fields. A bug of a sandbox fails the test.

    With `real_time` the sandboxes go by the machine's clock, as commands in processes of their own do.
    """
    clock = Clock()
    wall = Options().clock if real_time else clock
    clock.now = wall()
    options = Options(rates=UNLIMITED, clock=wall, tick=clock.tick)
    other = SalesforceOptions(clock=wall, tick=clock.tick, **org)
    with server.start(options=options) as crm, salesforce_server.start(options=other) as salesforce:
        given = {
            "ENGAGE_TEST_TOKEN": crm.token,
            "ENGAGE_TEST_CLIENT": salesforce.client_id,
            "ENGAGE_TEST_SECRET": salesforce.client_secret,
        }
        os.environ.update(given)
        try:
            made = Both(root, crm, clock, org=salesforce)
            write(root, crm.base_url, model=TITLES, connector=CONNECTOR)
            file = root / "connectors" / "salesforce.yaml"
            file.write_text(SALESFORCE.replace("BASE_URL", salesforce.base_url), encoding="utf-8")
            if provisioned:
                made.provision()
            yield made
            assert (crm.bugs, salesforce.bugs) == ([], [])
        finally:
            for name in given:
                del os.environ[name]
