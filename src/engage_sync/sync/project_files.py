"""The files of a project: the ready-made ones that `init` copies, and their JSON Schemas. Never overwrites a file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

from engage_sync.config.json_schema import KINDS, json_schema
from engage_sync.errors import Mistake
from engage_sync.sync.wiring import connector_classes, connector_types

IGNORED = "var/\n.schema/\n"
_FROM_CRM = re.compile(r"^(\s+)(\w+): (crm\.(\w+)\.\w+)\s*$", re.MULTILINE)


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
    """Give the CRMs a project can start with: those that have a ready-made connector file, ours first."""
    return list(_connector_files())


def _connector_files() -> dict[str, Traversable]:
    """Give the ready-made connector files by CRM. Another package's is `ready/connectors/NAME.yaml` in the package."""
    ours = {
        item.name.removesuffix(".yaml"): item
        for item in sorted(ready_made("connectors").iterdir(), key=lambda item: item.name)
        if item.name.endswith(".yaml")
    }
    classes = connector_classes()
    others = sorted(name for name in set(classes) - set(ours) if classes.why_not(name) is None)
    shipped = {name: _shipped(classes[name].__module__.partition(".")[0], name) for name in others}
    return ours | {name: file for name, file in shipped.items() if file is not None and file.is_file()}


def _shipped(package: str, name: str) -> Traversable | None:
    """Find what a package ships for a connector; a single module ships nothing."""
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        return None
    return files(package).joinpath("ready", "connectors", f"{name}.yaml")


def _without_others(text: str, chosen: Sequence[str]) -> str:
    """Let properties that come from a CRM which is not connected come from a trait, and say what they were."""

    def line(found: re.Match[str]) -> str:
        indent, name, source, crm = found.groups()
        return found[0] if crm in chosen else f"{indent}{name}: traits.{name}      # {source}, once connected"

    return _FROM_CRM.sub(line, text)


def init(root: Path, chosen: Sequence[str]) -> list[Path]:
    """Write a new project and give the files written. A file that exists already, or an unknown CRM, is a Mistake."""
    known = _connector_files()
    for name in chosen:
        if name not in known:
            raise Mistake(f"there is no ready-made connector {name!r}; there are {', '.join(known)}")
    config = [item for item in ready_made("config").iterdir() if item.name.endswith(".yaml")]
    contents = {
        root / folder / item.name: _without_others(item.read_text(encoding="utf-8"), chosen)
        for folder, items in (("config", config), ("connectors", [known[name] for name in chosen]))
        for item in items
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
