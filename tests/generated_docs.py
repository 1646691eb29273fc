"""The pages that are generated from the code. `make fix` writes them; a test holds them in step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import typer

from engage_sync.cli.main import app
from engage_sync.config.reference import reference
from engage_sync.config.vocabulary import vocabulary
from engage_sync.sync.wiring import connector_types

ROOT = Path(__file__).parents[1]


def readme() -> str:
    """README with its command table filled from the commands' own help."""
    text = (ROOT / "README.md").read_text()
    before, rest = text.split("| command | does |\n|---|---|\n", 1)
    _, after = rest.split("\n## ", 1)
    group = typer.main.get_command(app)
    lines = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        names = [item.metavar or "" for item in command.params if item.param_type_name == "argument"]
        arguments = " ".join(names)
        shown = f"{name} {arguments}".strip().replace("|", "\\|")
        lines.append(f"| `{shown}` | {(command.help or '').splitlines()[0]} |")
    return f"{before}| command | does |\n|---|---|\n" + "\n".join(lines) + f"\n\n## {after}"


PAGES: Mapping[Path, Callable[[], str]] = {
    ROOT / "docs" / "reference" / "configuration.md": lambda: reference(connector_types()),
    ROOT / "docs" / "reference" / "model.md": vocabulary,
    ROOT / "README.md": readme,
}


if __name__ == "__main__":
    for page, text in PAGES.items():
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text())
