"""The package that the pages about connectors contain: its files as their readers would write them, installed."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("writing-a-connector.md", "testing-a-connector.md")
_BLOCK = re.compile(r"^```(?:python|toml|yaml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """Give the text of each file by its path: the blocks that begin with its name, in the order of the pages."""
    found: dict[str, str] = {"engage_sync_shelf/__init__.py": ""}
    for page in PAGES:
        for name, text in _BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
            gap = "\n" if text.startswith((" ", "\n")) else "\n\n"
            found[name] = found[name] + gap + text if name in found else text
    return found


def write(folder: Path, contents: Mapping[str, str]) -> Path:
    """Write files into a folder."""
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def install(folder: Path, contents: Mapping[str, str]) -> Path:
    """Write a package and, beside it, what an installer notes of it."""
    project = tomllib.loads(contents["pyproject.toml"])["project"]
    return write(folder, {**contents, **noted(project["name"], project["version"], project["entry-points"])})


def noted(name: str, version: str, groups: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Give the files of the folder in which an installer keeps a package's name and entry points."""
    place = f"{name.replace('-', '_')}-{version}.dist-info"
    points = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in items.items())
        for group, items in groups.items()
    )
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return {f"{place}/METADATA": metadata, f"{place}/entry_points.txt": points}


def environment(paths: Sequence[Path], **more: str) -> dict[str, str]:
    """Give the environment of a process that finds what is installed in these folders."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), **more}
