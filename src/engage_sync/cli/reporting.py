"""Drawing a run: progress while it works, its report at the end, and its exit code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from engage_sync.cli.logs import configure
from engage_sync.cli.output import ERR, say, table
from engage_sync.cli.verified import print_verified

if TYPE_CHECKING:
    from polars import DataFrame
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from engage_sync.sync.cycle import Report
    from engage_sync.sync.pull import Pulled

SHOWN_CHANGES = 40
SHOWN_MOVES = 15
BUCKETS = (
    *("written", "unchanged", "drift_kept", "outside", "ambiguous", "unlinked", "gone", "refused", "held", "failed"),
)


class Drawn:
    """Progress on the terminal: a line per object pulled or pushed. Silent where stderr is no terminal."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self.totals: dict[tuple[str, str], Pulled] = {}

    def _task(self, name: str, total: int | None = None) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total)
        return self._tasks[name]

    def step(self, what: str) -> None:
        """Show a step without a count."""
        self._task(what)

    def pulled(self, pulled: Pulled) -> None:
        """Show the totals of one object's pull."""
        self.totals[pulled.connector, pulled.object] = pulled
        self._bars.update(self._task(f"pulling {pulled.connector} {pulled.object}"), completed=pulled.records)

    def pushed(self, object_: str, done: int, total: int) -> None:
        """Show how far one object's push is."""
        self._bars.update(self._task(f"pushing {object_}", total), completed=done, total=total)

    def print_pulled(self) -> None:
        """Print what the pull brought."""
        lines = [(p.connector, p.object, f"{p.records:,}", p.vanished, p.merged, p.pages) for p in self.totals.values()]
        columns = ("connector", "object", "records", "gone", "merged", "pages")
        table(None, columns, lines, right=columns[2:])


@contextmanager
def drawn(*, quiet: bool) -> Iterator[Drawn]:
    """Draw progress on stderr for the length of a run, and log there."""
    from rich import progress  # noqa: PLC0415  start-up: --help needs none of it

    configure()
    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=ERR, transient=True, disable=quiet or not ERR.is_terminal) as bars:
        yield Drawn(bars)


def end(report: Report) -> None:
    """End the process with the run's exit code."""
    if report.exit:
        raise typer.Exit(report.exit)


def held_told(holds: Iterable[Mapping[str, Any]]) -> list[str]:
    """Give the sentences of holds (as `Hold.json` gives them), those that hold several connectors alike once."""
    named: dict[str, list[str]] = {}
    for hold in holds:
        name, sentence = hold["connector"], hold["sentence"]
        same = sentence.removeprefix(f"{name}: ")
        named.setdefault(same, []).extend([name] if same != sentence else [])
    return [f"{', '.join(names)}: {same}" if names else same for same, names in named.items()]


def print_errors(report: Report) -> None:
    """Print what held or ended connectors."""
    for reason in held_told(hold.json() for hold in report.holds):
        say(f"[bold]held[/bold] {escape(reason)}")
    for name, text in report.errors.items():
        say(f"[bold red]{escape(name)}[/bold red]: {escape(text)}")


def print_report(report: Report) -> None:
    """Print a run: a line per object with its buckets, then what held it or went wrong."""
    say(f"Run {report.run}: {report.status}, {report.reads} read and {report.writes} write calls.")
    if report.connectors:
        print_buckets(report.connectors)
    else:
        say("This project has no connectors/NAME.yaml, so there is no CRM to write to.")
    if report.no_record:
        say(f"{report.no_record:,} users and accounts have no record in a CRM.")
    _print_signals(report)
    print_verified(report)
    print_errors(report)
    every = [counts for objects in report.connectors.values() for counts in objects.values()]
    if any(counts["refused"] + counts["failed"] for counts in every):
        say("Refused and failed records are listed by `engage-sync failures`.")
    if report.waiting is not None:
        one = report.waiting.records == 1
        wait = "record waits for its next attempt," if one else "records wait for their next attempt, the first"
        say(
            f"{report.waiting.records:,} refused {wait} at {report.waiting.first:%Y-%m-%d %H:%M} UTC;"
            f" `engage-sync failures retry` tries {'it' if one else 'them'} now."
        )


def _print_signals(report: Report) -> None:
    """Print what became of the actions that signals ask for, and what could not be done."""
    counts = {name: report.signals.get(name) for name in ("delivered", "pending", "failed", "skipped", "expired")}
    told = [f"{count:,} {name}" for name, count in counts.items() if isinstance(count, int) and count]
    if told:
        say(f"Actions of signals: {', '.join(told)}.")
    problems = report.signals.get("problems")
    for problem in problems if isinstance(problems, list) else []:
        say(escape(str(problem)))
    if problems:
        say("Actions that wait or failed are listed by `engage-sync status`.")


def _print_moves(report: Report) -> None:
    """Print which verdicts would change against the newest recorded run, and which signals would fire."""
    lines = [
        (
            f"{one.entity.value} {one.kind} {one.name}".strip(),
            f"{one.changed:,} of {one.of:,}",
            " → ".join("–" if value is None else value for value in one.commonest),
            "most of them" if one.most else "",
        )
        for one in report.moves[:SHOWN_MOVES]
    ]
    if lines:
        table("\nVerdicts that would change", ("verdict", "changes", "mostly", ""), lines, right=["changes"])
    if any(one.most for one in report.moves):
        say("[bold]A verdict of most would change[/bold]: is that meant by a change of the model, or are data missing?")
    for name, counts in report.switching.items():
        say(f"signal {escape(name)}: {counts['on']:,} would fire, {counts['off']:,} would clear")


def print_buckets(connectors: Mapping[str, Mapping[str, Mapping[str, int]]], *, title: str | None = None) -> None:
    """Print how many records of each object ended in which bucket."""
    lines = [
        (name, object_, _counted(counts)) for name, objects in connectors.items() for object_, counts in objects.items()
    ]
    if lines:
        table(title, ("connector", "object", "records"), lines)


def holds_records(connectors: Mapping[str, Mapping[str, Mapping[str, int]]]) -> bool:
    """Tell whether a run counted any record: a pull does not, nor one that ended before its plan."""
    return any(any(counts.values()) for objects in connectors.values() for counts in objects.values())


def _counted(counts: Mapping[str, int]) -> str:
    """Name the buckets that hold records."""
    held = [f"{counts[bucket]:,} {bucket.replace('_', ' ')}" for bucket in BUCKETS if counts.get(bucket)]
    return ", ".join(held) or "none"


def _parted(changes: DataFrame) -> tuple[DataFrame, int]:
    """Give the changes of a plan that a person wants to read, and how many records have others."""
    if not changes.height:
        return changes, 0
    outside = changes["decision"] == "outside"
    return changes.filter(~outside), changes.filter(outside).n_unique(["connector", "object", "record"])


def print_plan(report: Report) -> None:
    """Print a plan: counts, then the first changes, record by record."""
    print_report(report)
    for name, price in report.price.items():
        if (sentence := price.sentence(name)) is not None:
            say(escape(sentence) + ".")
    _print_moves(report)
    changes, outside = _parted(report.changes)
    if outside:
        say(f"{outside:,} records are outside of the segment that `only` of their object names; they stay as they are.")
    if not changes.height:
        if report.exit == 0:
            say("Nothing to write: the CRM holds what is wanted." if not outside else "Nothing to write inside of it.")
        return
    from engage_sync.sync.drift_answers import set_by  # noqa: PLC0415  start-up: --help needs none of it

    columns = ("object", "record", "entity", "field", "before", "after", "decision")
    shown = changes.head(SHOWN_CHANGES)
    who = set_by(shown, report.drift)
    lines = shown.select(columns).iter_rows()
    if any(who):
        table("\nChanges", (*columns, "set by"), ((*line, one) for line, one in zip(lines, who, strict=True)))
    else:
        table("\nChanges", columns, lines)
    if changes.height > SHOWN_CHANGES:
        say(f"… and {changes.height - SHOWN_CHANGES:,} more (`--json` gives all of them).")
