"""`demo`: one whole cycle against both sandboxes with an invented company, and what a CSM sees before and after."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.rule import Rule

from engage_sync.cli.logs import configure
from engage_sync.cli.options import AsJson, clock
from engage_sync.cli.output import OUT, print_json, say, table
from engage_sync.cli.reporting import drawn, print_report
from engage_sync.errors import EXIT_PARTIAL

if TYPE_CHECKING:
    from engage_sync.sandbox.company import Company
    from engage_sync.sandbox.company_stories import Story
    from engage_sync.sandbox.salesforce_server import SalesforceSandbox
    from engage_sync.sandbox.server import Sandbox
    from engage_sync.sandbox.store import Store
    from engage_sync.sync.cycle import Report
    from engage_sync.sync.wiring import Workspace

SHOWN = {
    "type": {"HubSpot": "engage_user_type", "Salesforce": "Engage_User_Type__c"},
    "all types": {"HubSpot": "engage_user_types", "Salesforce": "Engage_User_Types__c"},
    "lapsed influencer": {"HubSpot": "engage_lapsed_influencer", "Salesforce": "Engage_Lapsed_Influencer__c"},
    "last active": {"HubSpot": "engage_last_active", "Salesforce": "Engage_Last_Active__c"},
    "engagement": {"HubSpot": "engage_engagement", "Salesforce": "Engage_Engagement__c"},
    "signals": {"HubSpot": "engage_signals", "Salesforce": "Engage_Signals__c"},
    "reasons": {"HubSpot": "engage_reasons", "Salesforce": "Engage_Reasons__c"},
}
"""What is shown of a contact → its field in each CRM."""
SHOWN_OF_ACCOUNTS = {
    "stage": {"HubSpot": "engage_stage", "Salesforce": "Engage_Stage__c"},
    "health": {"HubSpot": "engage_health", "Salesforce": "Engage_Health__c"},
    "adoption": {"HubSpot": "engage_adoption", "Salesforce": "Engage_Adoption__c"},
    "engagement": {"HubSpot": "engage_engagement", "Salesforce": "Engage_Engagement__c"},
    "segments": {"HubSpot": "engage_segments", "Salesforce": "Engage_Segments__c"},
    "signals": {"HubSpot": "engage_signals", "Salesforce": "Engage_Signals__c"},
    "reasons": {"HubSpot": "engage_reasons", "Salesforce": "Engage_Reasons__c"},
}
"""What is shown of a company → its field in each CRM."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Where to put the project; kept.", show_default="a folder that is removed"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run one whole cycle against the sandboxes with sample data, and show what a CSM now sees."""
    configure()
    with _folder(folder) as root:
        told = _Told(quiet=as_json)
        reports = _play(root, told)
    told.timing()
    if folder is not None:
        told.line(f"The project is kept in {folder}.")
    second = reports[-1]
    if as_json:
        from engage_sync.sync import views  # noqa: PLC0415  start-up: --help needs none of it

        print_json({"runs": [views.report_json(report) for report in reports], "stories": told.stories})
    if second.writes or any(report.exit for report in reports):
        raise typer.Exit(next((report.exit for report in reports if report.exit), EXIT_PARTIAL))


Seen = Mapping[str, str | None] | None
"""A contact's values by field; None where there is no contact."""
Contacts = Mapping[str, Mapping[str, Seen]]
"""By story, then by CRM."""


@dataclass(slots=True)
class _Told:
    """What has been said. Quiet for machines."""

    quiet: bool
    began: float = field(default_factory=time.perf_counter)
    stories: list[dict[str, object]] = field(default_factory=list)

    def chapter(self, title: str) -> None:
        if not self.quiet:
            OUT.print()
            OUT.print(Rule(f"[bold]{title}[/bold]", align="left", style="dim"))

    def line(self, text: str) -> None:
        if not self.quiet:
            say(text)

    def rows(self, columns: Sequence[str], lines: Iterator[Sequence[object]] | Sequence[Sequence[object]]) -> None:
        if not self.quiet:
            table(None, columns, lines)

    def bars(self, workspace: Workspace) -> None:
        from engage_sync.cli import bars as drawing  # noqa: PLC0415  start-up: --help needs none of it
        from engage_sync.sync import bars  # noqa: PLC0415  start-up: --help needs none of it

        if not self.quiet:
            drawing.print_health(bars.health(workspace, None, everyone=False))
            drawing.print_stages(bars.stages(workspace, None, everyone=False))

    def timing(self) -> None:
        self.line(f"\nAll of it took {time.perf_counter() - self.began:.0f} seconds.")


@dataclass(frozen=True, slots=True)
class _Crms:
    """The two stand-ins."""

    hubspot: Sandbox
    salesforce: SalesforceSandbox

    def secrets(self) -> dict[str, str]:
        """Give what the connector files read from the environment."""
        return {
            "HUBSPOT_ACCESS_TOKEN": self.hubspot.token,
            "SALESFORCE_LOGIN_URL": self.salesforce.base_url,
            "SALESFORCE_CLIENT_ID": self.salesforce.client_id,
            "SALESFORCE_CLIENT_SECRET": self.salesforce.client_secret,
        }

    def seen(self, story: Story) -> dict[str, Seen]:
        """Give the contact, or the company of an account's story, as each CRM holds it now, None where there is
        none."""
        marketing, sales = self.hubspot.store, self.salesforce.store
        if story.of_account:
            mine = (record for record in marketing.ids("companies") if _domain(marketing, record) == story.domain)
            here, there = next(mine, None), sales.find("Account", "Website", f"https://www.{story.domain}")
        else:
            address = story.email.lower()
            here, there = marketing.find("contacts", "email", address), sales.find("Contact", "Email", address)
        objects = ("companies", "Account") if story.of_account else ("contacts", "Contact")
        return {
            "HubSpot": None if here is None else marketing.values(objects[0], here),
            "Salesforce": None if there is None else sales.text(objects[1], there),
        }


def _domain(store: Store, record: str) -> str | None:
    return store.values("companies", record).get("domain")


def _play(root: Path, told: _Told) -> list[Report]:
    from engage_sync.sandbox import company as companies  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sandbox import salesforce_server, sample, server  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync import doctor, ingest, project_files, wiring  # noqa: PLC0415  start-up: --help needs none of it

    now = clock()
    company = companies.generate(now)
    with (
        server.start(seed=sample.seed(now, company)) as hubspot,
        salesforce_server.start(seed=sample.salesforce_seed(now, company)) as salesforce,
    ):
        crms = _Crms(hubspot, salesforce)
        project_files.init(root, ["hubspot", "salesforce"])
        for file in (root / "connectors").glob("*.yaml"):
            file.write_text(re.sub(r"# (\w+: scores\.)", r"\1", file.read_text()))  # the model's scores too
        file = root / "connectors" / "hubspot.yaml"
        file.write_text(f"{file.read_text()}\nbase_url: {hubspot.base_url}\n")

        told.chapter("A small software company's half year of events")
        messages = root / "messages.jsonl"
        count = companies.write_messages(company, messages)
        imported = ingest.import_files(root, [messages], now=now, progress=lambda *_: None)
        told.line(f"{count:,} messages written, {imported.imported:,} imported")
        told.line(f"Marketing works in HubSpot ({hubspot.base_url}), sales in Salesforce ({salesforce.base_url})")

        with _environment(crms.secrets()), wiring.open_workspace(root) as workspace:
            told.chapter("check: what must an admin do first?")
            gaps, _ = doctor.check(workspace)
            told.line(f"{len(gaps)} gaps, for instance: {gaps[0].problem}" if gaps else "nothing")
            told.chapter("provision --apply: create our fields, and give ourselves access to them")
            made = doctor.provision(workspace, apply=True)
            told.line(
                f"{sum(one.result == 'created' for one in made)} fields created;"
                f" {len(doctor.check(workspace)[0])} gaps left"
            )
            before = _seen(crms, company)
            reports = [_sync(workspace, told, now, "sync: the first run")]
            told.chapter("How the accounts are")
            told.bars(workspace)
            _compare(told, company, before, _seen(crms, company), workspace)
            reports.append(_sync(workspace, told, now, "sync again: nothing changed, so nothing is written"))
    return reports


def _sync(workspace: Workspace, told: _Told, as_of: datetime, title: str) -> Report:
    from engage_sync.sync import cycle  # noqa: PLC0415  start-up: --help needs none of it

    told.chapter(title)
    with drawn(quiet=told.quiet) as progress:
        report = cycle.sync(workspace, None, as_of, clock=clock, progress=progress)
    if not told.quiet:
        print_report(report)
    return report


def _seen(crms: _Crms, company: Company) -> Contacts:
    return {story.key: crms.seen(story) for story in company.stories}


def _compare(told: _Told, company: Company, before: Contacts, after: Contacts, workspace: Workspace) -> None:
    told.chapter("What a CSM sees on the company or the contact, before and after")
    for story in sorted(company.stories, key=lambda story: not story.of_account):
        explained = _verdict(workspace, story)
        old, new = before[story.key], after[story.key]
        told.stories.append(
            {
                "key": story.key,
                "user": story.user,
                "account": story.account,
                "before": old,
                "after": new,
                "verdict": explained,
            }
        )
        who = f"{story.domain} ({story.account})" if story.of_account else f"{story.email} ({story.user})"
        told.line(f"\n[bold]{escape(story.title)}[/bold]  {escape(who)}")
        told.line(f"  {escape(story.why)}")
        told.line(f"  verdict: {escape(explained)}")
        absent = [crm for crm, contact in new.items() if contact is None]
        if absent:
            record = "company" if story.of_account else "contact"
            told.line(f"  no {record} in {' nor in '.join(absent)}, so nothing to write there")
        there = [crm for crm in new if crm not in absent]
        if there:
            lines = [
                [f"  {label}", *(_turn(old, new, crm, fields) for crm in there)]
                for label, fields in (SHOWN_OF_ACCOUNTS if story.of_account else SHOWN).items()
            ]
            told.rows(["  field", *there], lines)


def _turn(old: Mapping[str, Seen], new: Mapping[str, Seen], crm: str, fields: Mapping[str, str]) -> str:
    """Say what became of one field: `before → after`, or the value that stays."""
    before, after = ((side[crm] or {}).get(fields[crm]) or "–" for side in (old, new))
    return after if before == after else f"{before} → {after}"


def _verdict(workspace: Workspace, story: Story) -> str:
    from engage_sync.core.definitions import Entity  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync.explain import explain  # noqa: PLC0415  start-up: --help needs none of it

    entity, identity = (Entity.ACCOUNT, story.account or "") if story.of_account else (Entity.USER, story.user)
    found = explain(workspace, entity, identity, None)
    held = [f"{reason.verdict} ({reason.why.split('; the rule')[0]})" for reason in found.reasons if reason.holds]
    rules = [f"{node.verdict} {node.value}" for node in found.tree if node.verdict in {"stage", "health"}]
    named = [node.verdict.partition(".")[2] for node in found.tree if node.value is True]
    stopped = [place.why for place in found.places if place.why.startswith("ambiguous")]
    return "; ".join([*(rules if story.of_account else held), *named, *stopped])


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="engage-sync-demo-") as folder:
        yield Path(folder)


@contextmanager
def _environment(given: Mapping[str, str]) -> Iterator[None]:
    """Set the stand-ins' credentials for the length of the demo; real ones in the environment are put back."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
