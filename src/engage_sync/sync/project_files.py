"""The files of a project: the ready-made ones that `init` copies, and their JSON Schemas. Never overwrites a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from engage_sync.config.json_schema import KINDS, json_schema
from engage_sync.errors import Mistake
from engage_sync.sync.wiring import connector_types

IGNORED = "var/\n.schema/\n"


def json_schemas() -> dict[str, dict[str, object]]:
    """Give the JSON Schema of each kind of file."""
    types = connector_types()
    return {kind: json_schema(kind, types) for kind in KINDS}


def ready_made(*parts: str) -> Traversable:
    """Find a ready-made file: package data when installed from a wheel, the repository's own copy in a checkout."""
    shipped = files("engage_sync") / "ready"
    if not shipped.is_dir():
        shipped = Path(__file__).parents[3]
    return shipped.joinpath(*parts)


def crms() -> list[str]:
    """Give the CRMs a project can start with: those that have a ready-made connector file."""
    return sorted(
        item.name.removesuffix(".yaml") for item in ready_made("connectors").iterdir() if item.name.endswith(".yaml")
    )


def init(root: Path, chosen: Sequence[str]) -> list[Path]:
    """Write a new project and give the files written. A file that exists already, or an unknown CRM, is a Mistake."""
    for name in chosen:
        if name not in crms():
            raise Mistake(f"there is no ready-made connector {name!r}; there are {', '.join(crms())}")
    contents = {
        root / folder / item.name: item.read_text(encoding="utf-8")
        for folder, names in (("config", None), ("connectors", {f"{name}.yaml" for name in chosen}))
        for item in ready_made(folder).iterdir()
        if item.name.endswith(".yaml") and (names is None or item.name in names)
    }
    contents |= {
        root / ".schema" / f"{kind}.json": json.dumps(found, indent=2) + "\n" for kind, found in json_schemas().items()
    }
    contents[root / ".gitignore"] = IGNORED
    taken = [str(path) for path in contents if path.exists()]
    if taken:
        raise Mistake(f"{', '.join(sorted(taken))} exists already; init writes a new project and overwrites nothing")
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return sorted(contents)
