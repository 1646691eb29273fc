"""`demo`: one whole cycle against the sandbox with an invented company, and what a CSM sees before and after."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
    from engage_sync.sandbox.server import Sandbox
    from engage_sync.sync.cycle import Report
    from engage_sync.sync.wiring import Workspace

TOKEN_VARIABLE = "HUBSPOT_ACCESS_TOKEN"  # noqa: S105  the variable's name
SHOWN = {
    "engage_user_type": "type",
    "engage_user_types": "all types",
    "engage_lapsed_influencer": "lapsed influencer",
    "engage_last_active": "last active",
}


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
    """Run one whole cycle against the sandbox with sample data, and show what a CSM now sees."""
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

    def timing(self) -> None:
        self.line(f"\nAll of it took {time.perf_counter() - self.began:.0f} seconds.")


def _play(root: Path, told: _Told) -> list[Report]:
    from engage_sync.sandbox import company as companies  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sandbox import sample, server  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync import doctor, ingest, project_files, wiring  # noqa: PLC0415  start-up: --help needs none of it

    now = clock()
    company = companies.generate(now)
    with server.start(seed=sample.seed(now, company)) as crm, _token(crm.token):
        project_files.init(root, ["hubspot"])
        file = root / "connectors" / "hubspot.yaml"
        file.write_text(f"{file.read_text()}\nbase_url: {crm.base_url}\n")

        told.chapter("A small software company's half year of events")
        messages = root / "messages.jsonl"
        count = companies.write_messages(company, messages)
        imported = ingest.import_files(root, [messages], now=now, progress=lambda *_: None)
        told.line(f"{count:,} messages written, {imported.imported:,} imported; the CRM is at {crm.base_url}")

        with wiring.open_workspace(root) as workspace:
            told.chapter("check: what must an admin do first?")
            gaps, _ = doctor.check(workspace)
            told.line(f"{len(gaps)} things to do, for instance: {gaps[0].problem}" if gaps else "nothing")
            told.chapter("provision --apply: create our fields")
            made = doctor.provision(workspace, apply=True)
            told.line(
                f"{sum(one.result == 'created' for one in made)} properties created;"
                f" {len(doctor.check(workspace)[0])} things left to do"
            )
            before = _seen(crm, company)
            reports = [_sync(workspace, told, "sync: the first run")]
            _compare(told, company, before, _seen(crm, company), workspace)
            reports.append(_sync(workspace, told, "sync again: nothing changed, so nothing is written"))
    return reports


def _sync(workspace: Workspace, told: _Told, title: str) -> Report:
    from engage_sync.sync import cycle  # noqa: PLC0415  start-up: --help needs none of it

    told.chapter(title)
    with drawn(quiet=told.quiet) as progress:
        report = cycle.sync(workspace, None, clock(), clock=clock, progress=progress)
    if not told.quiet:
        print_report(report)
    return report


def _seen(crm: Sandbox, company: Company) -> dict[str, Mapping[str, str] | None]:
    """Give the contact of each story as the CRM holds it now, None where there is none."""
    found: dict[str, Mapping[str, str] | None] = {}
    for story in company.stories:
        record = crm.store.find("contacts", "email", story.email.lower())
        found[story.key] = None if record is None else crm.store.values("contacts", record)
    return found


def _compare(
    told: _Told,
    company: Company,
    before: Mapping[str, Mapping[str, str] | None],
    after: Mapping[str, Mapping[str, str] | None],
    workspace: Workspace,
) -> None:
    told.chapter("What a CSM sees on the contact, before and after")
    for story in company.stories:
        explained = _verdict(workspace, story)
        old, new = before[story.key], after[story.key]
        told.stories.append({"key": story.key, "user": story.user, "before": old, "after": new, "verdict": explained})
        told.line(f"\n[bold]{escape(story.title)}[/bold]  {escape(story.email)} ({escape(story.user)})")
        told.line(f"  {escape(story.why)}")
        told.line(f"  verdict: {escape(explained)}")
        if new is None:
            told.line("  in the CRM: no contact, so nothing to write")
        else:
            was = old or {}
            lines = [(label, was.get(name) or None, new.get(name) or None) for name, label in SHOWN.items()]
            told.rows(("  field", "before", "after"), [(f"  {label}", one, two) for label, one, two in lines])


def _verdict(workspace: Workspace, story: Story) -> str:
    from engage_sync.core.definitions import Entity  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync.explain import explain  # noqa: PLC0415  start-up: --help needs none of it

    found = explain(workspace, Entity.USER, story.user, None)
    held = [f"{reason.verdict} ({reason.why.split('; the rule')[0]})" for reason in found.reasons if reason.holds]
    stopped = [place.why for place in found.places if place.why.startswith("ambiguous")]
    return "; ".join([*held, *stopped])


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="engage-sync-demo-") as folder:
        yield Path(folder)


@contextmanager
def _token(token: str) -> Iterator[None]:
    """Set the stand-in's token for the length of the demo; a real one in the environment is put back."""
    before = os.environ.get(TOKEN_VARIABLE)
    os.environ[TOKEN_VARIABLE] = token
    try:
        yield
    finally:
        os.environ.pop(TOKEN_VARIABLE)
        if before is not None:
            os.environ[TOKEN_VARIABLE] = before
