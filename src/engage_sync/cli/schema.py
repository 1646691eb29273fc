"""`schema`: the JSON Schema of the project's files, for editors."""

from __future__ import annotations

from typing import Annotated

import typer

from engage_sync.cli.output import print_json
from engage_sync.errors import Mistake


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(schema)


def schema(
    kind: Annotated[str | None, typer.Argument(metavar="[FILE-KIND]", help="engage, model or connector.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The answer is always JSON.")] = True,  # noqa: ARG001  one option everywhere
) -> None:
    """Print the JSON Schema of one kind of file, or of all of them by name."""
    from engage_sync.sync import project_files  # noqa: PLC0415  start-up: --help needs none of it

    schemas = project_files.json_schemas()
    if kind is None:
        print_json(schemas)
    elif kind in schemas:
        print_json(schemas[kind])
    else:
        raise Mistake(f"there is no file kind {kind!r}; the kinds are {', '.join(schemas)}")
