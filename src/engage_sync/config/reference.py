"""Writes the reference page of all configuration keys (`docs/reference/configuration.md`) from the definitions, so that
it cannot say anything else than the files accept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from engage_sync.config.connector import ConnectorType
from engage_sync.config.durations import DURATION_PATTERN
from engage_sync.config.json_schema import Schema, json_schema

_INTRODUCTION = """# Configuration reference

Generated from the definitions; do not edit. Every key is optional unless it says *required*. Unknown keys are refused.

- Durations: `10s`, `30m`, `12h`, `30d` (24 h each), `2w`.
- `${NAME}` is read from the environment, `${file:/run/secrets/x}` from a file, when the value is needed.
- `NAME` in a heading stands for a name you choose, `[]` for each item of a list.
- Plain `on`, `off`, `yes`, `no` and dates are text; only `true` and `false` are booleans.
- Each file names its JSON Schema in its first line, so an editor completes and checks keys while you type.
"""

_FILES = {
    "engage": "config/engage.yaml",
    "model": "config/model.yaml",
    "connector": "connectors/NAME.yaml",
}


@dataclass(frozen=True, slots=True)
class _Table:
    description: str
    rows: tuple[str, ...]


def reference(connector_types: Mapping[str, ConnectorType]) -> str:
    """Give the whole page as Markdown."""
    parts = [_INTRODUCTION]
    for kind, file in _FILES.items():
        schema = json_schema(kind, connector_types)
        branches = schema.get("oneOf")
        for branch in branches if isinstance(branches, list) else [schema]:
            title = f"`{file}`"
            if kind == "connector":
                title += f": `connector: {_at(branch, 'properties', 'connector')['const']}`"
            parts.append(f"## {title}\n")
            parts.extend(_written(table, paths) for table, paths in _together(_tables(branch, schema, "")).items())
    return "\n".join(parts).rstrip() + "\n"


def _together(tables: Iterable[tuple[str, _Table]]) -> dict[_Table, list[str]]:
    """Give each different table with all its paths."""
    found: dict[_Table, list[str]] = {}
    for path, table in tables:
        found.setdefault(table, []).append(path)
    return found


def _written(table: _Table, paths: list[str]) -> str:
    heading = f"### {', '.join(f'`{path}`' for path in paths)}\n\n" if paths != [""] else ""
    description = f"{table.description}\n\n" if table.description else ""
    rows = "\n".join(("| key | value | default | meaning |", "|---|---|---|---|", *table.rows))
    return f"{heading}{description}{rows}\n"


def _tables(node: Schema, document: Schema, path: str) -> Iterator[tuple[str, _Table]]:
    """Give the table of an object and those of the objects in it, depth first."""
    properties = _at(node, "properties")
    required = node.get("required")
    names = required if isinstance(required, list) else []
    rows = tuple(_row(name, _mapping(inner), document, name in names) for name, inner in properties.items())
    yield path, _Table(str(node.get("description", "")), rows)
    for name, inner in properties.items():
        for suffix, found in _objects(_mapping(inner), document):
            place = f"{path}.{name}{suffix}" if path else f"{name}{suffix}"
            yield from _tables(found, document, place)


def _objects(node: Schema, document: Schema) -> Iterator[tuple[str, Schema]]:
    """Give the objects with keys of their own that a value may hold, with what stands between: `.NAME` or `[]`."""
    node = _followed(node, document)
    for branch in _branches(node):
        yield from _objects(branch, document)
    if "properties" in node:
        yield "", node
    further = node.get("additionalProperties")
    if isinstance(further, dict):
        yield from ((f".NAME{suffix}", found) for suffix, found in _objects(further, document))
    items = node.get("items")
    if isinstance(items, dict):
        yield from ((f"[]{suffix}", found) for suffix, found in _objects(items, document))


def _row(name: str, node: Schema, document: Schema, required: bool) -> str:
    default = "*required*" if required else _default(node)
    described = node if "description" in node else _followed(node, document)
    meaning = str(described.get("description", "")).replace("|", "\\|")
    return f"| `{name}` | {_kind(node, document)} | {default} | {meaning} |"


def _default(node: Schema) -> str:
    value = node.get("default")
    return "" if value in (None, "", [], {}) or isinstance(value, dict) else f"`{_yaml(value)}`"


def _yaml(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _kind(node: Schema, document: Schema) -> str:
    node = _followed(node, document)
    if branches := _branches(node):
        kinds = dict.fromkeys(_kind(branch, document) for branch in branches if branch.get("type") != "null")
        return " or ".join(kinds)
    options = node.get("enum")
    if "const" in node:
        return f"`{node['const']}`"
    if isinstance(options, list):
        return ", ".join(f"`{option}`" for option in options)
    if isinstance(node.get("pattern"), str) and node.get("type") == "string":
        examples = node.get("examples")
        if node["pattern"] != DURATION_PATTERN and isinstance(examples, list):
            return f"`{examples[0]}`"
        return "duration"
    return _plain_kind(node, document)


def _plain_kind(node: Schema, document: Schema) -> str:
    kind = str(node.get("type", "anything"))
    items, further = node.get("items"), node.get("additionalProperties")
    if kind == "array":
        return f"list of {_kind(items, document)}" if isinstance(items, dict) else "list"
    if kind == "object":
        return f"names, each with {_kind(further, document)}" if isinstance(further, dict) else "mapping"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return words.get(kind, kind) + _range(node)


def _range(node: Schema) -> str:
    low, high = node.get("minimum", node.get("exclusiveMinimum")), node.get("maximum")
    if low is None or high is None:
        return ""
    return f", {low:g} to {high:g}" if isinstance(low, (int, float)) and isinstance(high, (int, float)) else ""


def _branches(node: Schema) -> list[Schema]:
    found = node.get("anyOf") or node.get("oneOf")
    return [_mapping(branch) for branch in found] if isinstance(found, list) else []


def _followed(node: Schema, document: Schema) -> Schema:
    target = node.get("$ref")
    if not isinstance(target, str):
        return node
    return _mapping(_at(document, "$defs")[target.removeprefix("#/$defs/")])


def _at(node: Schema, *keys: str) -> Schema:
    for key in keys:
        node = _mapping(node.get(key, {}))
    return node


def _mapping(value: object) -> Schema:
    if not isinstance(value, dict):
        raise TypeError("a JSON Schema holds a mapping here")
    return value
