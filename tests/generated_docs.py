"""The pages that are generated from the code, and the tables that tests fill by running. `make fix` writes them; tests
hold them in step."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import typer

from engage_sync.cli.main import app
from engage_sync.config.reference import reference
from engage_sync.config.vocabulary import vocabulary
from engage_sync.sync.wiring import connector_types
from tests.lessons import lessons_table
from tests.sync.fault_matrix import CASES, live_through, markers

ROOT = Path(__file__).parents[1]


def readme() -> str:
    """README with its command table filled from the commands' own help."""
    text = (ROOT / "README.md").read_text()
    before, rest = text.split("| command | does |\n|---|---|\n", 1)
    _, after = rest.split("\n## ", 1)
    group = typer.main.get_command(app)
    lines = []
    shown = {name: one for name, one in group.commands.items() if not one.hidden}  # type: ignore[attr-defined]
    for name, command in shown.items():
        names = [item.metavar or "" for item in command.params if item.param_type_name == "argument"]
        arguments = " ".join(names)
        usage = f"{name} {arguments}".strip().replace("|", "\\|")
        lines.append(f"| `{usage}` | {(command.help or '').splitlines()[0]} |")
    return f"{before}| command | does |\n|---|---|\n" + "\n".join(lines) + f"\n\n## {after}"


RELIABILITY = ROOT / "docs" / "reliability.md"


def filled(text: str, what: str, table: str) -> str:
    """Put a table between the markers of a page."""
    begin, end = markers(what)
    before, _, rest = text.partition(begin)
    return f"{before}{begin}{table}{end}{rest.partition(end)[2]}"


def reliability() -> str:
    """The page about bad days with its table of lessons; its tables of faults are filled by the cases themselves."""
    return filled(RELIABILITY.read_text(), "lessons", lessons_table())


def with_faults(text: str) -> str:
    """The page about bad days with the tables of faults, which takes as long as to run all cases."""
    for connector in CASES:
        with tempfile.TemporaryDirectory(prefix="engage-faults-") as folder:
            text = filled(text, f"faults of {connector}", live_through(connector, Path(folder)))
    return text


PAGES: Mapping[Path, Callable[[], str]] = {
    ROOT / "docs" / "reference" / "configuration.md": lambda: reference(connector_types()),
    ROOT / "docs" / "reference" / "model.md": vocabulary,
    ROOT / "README.md": readme,
    RELIABILITY: reliability,
}


if __name__ == "__main__":
    for page, text in PAGES.items():
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text())
    RELIABILITY.write_text(with_faults(RELIABILITY.read_text()))
