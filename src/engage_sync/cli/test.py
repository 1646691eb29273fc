"""`test`: run the tests that stand beside the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from engage_sync.cli.options import HERE, AsJson, ProjectFolder
from engage_sync.cli.output import print_json, say
from engage_sync.errors import EXIT_PARTIAL

if TYPE_CHECKING:
    from engage_sync.sync.model_tests import Failure, Result

HOW = """\
There are no tests. One gives messages and an instant, and what must come out, in config/model.yaml:

  tests:
    - name: a login makes the account active
      as_of: 2026-06-01T00:00:00Z
      messages:
        - {type: group, userId: u1, groupId: acme, timestamp: 2026-05-30T12:00:00Z}
        - {type: track, userId: u1, event: login, timestamp: 2026-05-31T12:00:00Z}
      expect:
        accounts: {acme: {active: true, active_users: 1}}
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("test")(run)


def run(project: ProjectFolder = HERE, as_json: AsJson = False) -> None:
    """Run the model's tests."""
    from engage_sync.sync import model_tests, wiring  # noqa: PLC0415  start-up: --help needs none of it

    loaded = wiring.load_project(project)
    results = []
    for result in model_tests.run_tests(loaded):
        results.append(result)
        if not as_json:
            _print(result)
    if as_json:
        print_json(model_tests.results_json(results))
    elif results:
        passed = sum(result.passed for result in results)
        say(f"{passed} passed, {len(results) - passed} failed")
    else:
        typer.echo(HOW, nl=False)
    if not all(result.passed for result in results):
        raise typer.Exit(EXIT_PARTIAL)


def _print(result: Result) -> None:
    place = f"{result.file}:{result.line}" if result.line is not None else result.file
    mark = "[green]✓[/green]" if result.passed else "[red]✗[/red]"
    say(f"{mark} {escape(result.name)}{'' if result.passed else f'  [dim]{escape(place)}[/dim]'}")
    for failure in result.failures:
        for line in _lines(failure):
            say(f"    {escape(line)}")


def _lines(failure: Failure) -> list[str]:
    if failure.entity is None or failure.field == "external_id":
        return list(failure.why)
    about = f"{failure.entity} {failure.external_id}: {failure.field}"
    values = f"expected {_shown(failure.expected)}, got {_shown(failure.got)}"
    return [f"{about}: {values}", *(f"  {reason}" for reason in failure.why)]


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
