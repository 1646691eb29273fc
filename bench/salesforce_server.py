"""A sandbox Salesforce in a process of its own, so that its CPU is not the worker's; driven by lines on stdin.

Started by `bench_salesforce.py`. Each line gets one line of JSON back: the calls since the last one, of them the
writes, and apart from them the looks whether a job has ended.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta

from engage_sync.sandbox.salesforce_fields import FieldDef
from engage_sync.sandbox.salesforce_server import SalesforceOptions, SalesforceSandbox, start

TEXTS = (
    "FirstName", "LastName", "Title", "Department", "Phone", "MobilePhone", "MailingCity", "MailingStreet",
    "MailingState", "MailingPostalCode", "MailingCountry",
)  # fmt: skip
WRITTEN = ("Health__c", "Stage__c", "Segments__c", "Link__c", "Plan__c", "Heat__c")
_LOOK = re.compile(r"/services/data/v[\d.]+/jobs/ingest/\w+")


def contact(number: int, names: set[str]) -> dict[str, object]:
    """Give a contact last changed a day or more ago, one a second."""
    filled: dict[str, object] = {name: f"{name[-9:]} {number}" for name in TEXTS if name in names}
    stamp = datetime.now(UTC) - timedelta(days=1, seconds=number)
    return {**filled, "Email": f"person{number}@example.com", "LeadSource": "Web", "SystemModstamp": stamp}


def report(sandbox: SalesforceSandbox) -> dict[str, int]:
    """Count calls."""
    calls = [call for call in sandbox.calls.all() if call.kind != "login"]
    looks = [call for call in calls if call.method == "GET" and _LOOK.fullmatch(call.path.rstrip("/"))]
    writes = sum(call.kind == "write" for call in calls)
    sandbox.calls.clear()
    return {"calls": len(calls) - len(looks), "looks": len(looks), "writes": writes}


def main() -> None:
    """Serve until stdin ends. Argument: contacts."""
    with start(options=SalesforceOptions()) as sandbox:
        for name in WRITTEN:
            sandbox.store.add_field("Contact", FieldDef(name, name, "string", 255, custom=True))
        names = set(sandbox.store.type("Contact").fields)
        ids = sandbox.store.create_many("Contact", (contact(number, names) for number in range(int(sys.argv[1]))))
        hello = {"base_url": sandbox.base_url, "client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
        print(json.dumps({**hello, "ids": ids}), flush=True)
        for _ in sys.stdin:
            print(json.dumps(report(sandbox)), flush=True)


if __name__ == "__main__":
    main()
