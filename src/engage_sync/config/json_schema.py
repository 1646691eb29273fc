"""The JSON Schema (draft 2020-12) of each kind of file, derived from the definitions and the connectors' settings, for
editors. `init` writes them into the project's `.schema/`, where the first line of each ready-made file looks for them.

Knows shapes only: a name that no other file declares passes here and is refused by `project.load`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from engage_sync.config.connector import ConnectorType
from engage_sync.config.connector_file import ConnectorDefinition
from engage_sync.config.durations import duration_text
from engage_sync.config.engage_file import EngageFile
from engage_sync.config.model_file import ModelFile
from engage_sync.errors import Mistake

DIALECT = "https://json-schema.org/draft/2020-12/schema"
KINDS = ("engage", "model", "connector")

Schema: TypeAlias = dict[str, object]


def json_schema(kind: str, connector_types: Mapping[str, ConnectorType]) -> Schema:
    """Give the JSON Schema of one kind of file. Raises Mistake for a kind that is not in KINDS."""
    if kind == "engage":
        schema = _schema(EngageFile, "")
    elif kind == "model":
        schema = _schema(ModelFile, "")
    elif kind == "connector":
        schema = _connector(connector_types)
    else:
        raise Mistake(f"there is no file kind {kind!r}; the kinds are {', '.join(KINDS)}")
    return {"$schema": DIALECT, **schema}


class _Generator(GenerateJsonSchema):
    """Writes defaults as a file would say them."""

    def encode_default(self, dft: object) -> object:
        """Write durations with their unit and exact numbers as numbers."""
        if isinstance(dft, timedelta):
            return duration_text(dft)
        return float(dft) if isinstance(dft, Decimal) else super().encode_default(dft)


def _schema(definition: type[BaseModel], prefix: str) -> Schema:
    """Give a definition's schema; its `$defs` are called `PREFIX` + name, so that several can stand in one document."""
    schema = definition.model_json_schema(
        by_alias=True, ref_template=f"#/$defs/{prefix}{{model}}", schema_generator=_Generator
    )
    if "$defs" in schema:
        schema["$defs"] = {f"{prefix}{name}": inner for name, inner in schema["$defs"].items()}
    return schema


def _connector(types: Mapping[str, ConnectorType]) -> Schema:
    """One branch per connector type, each with the keys of all connectors and its own."""
    common = _schema(ConnectorDefinition, "")
    definitions = dict(_inner(common, "$defs"))
    branches: list[object] = []
    for name, connector in sorted(types.items()):
        own = _schema(connector.settings, f"{name}.")
        definitions |= _inner(own, "$defs")
        shared = dict(_inner(common, "properties"))
        objects = {**_mapping(shared["objects"]), "propertyNames": {"enum": sorted(connector.objects)}}
        required = own.get("required")
        branches.append(
            {
                "type": "object",
                "title": f"A {name} connector",
                "properties": {
                    "connector": {"const": name, "description": "The type of connector."},
                    **_inner(own, "properties"),
                    **{key: value for key, value in shared.items() if key not in {"connector", "objects"}},
                    "objects": objects,
                },
                "required": ["connector", *(required if isinstance(required, list) else [])],
                "additionalProperties": False,
            }
        )
    top: Schema = {"title": "connectors/NAME.yaml", "description": common.get("description", ""), "$defs": definitions}
    return top | (_mapping(branches[0]) if len(branches) == 1 else {"oneOf": branches})


def _inner(schema: Schema, key: str) -> Schema:
    return _mapping(schema.get(key, {}))


def _mapping(value: object) -> Schema:
    if not isinstance(value, dict):
        raise TypeError("a JSON Schema holds a mapping here")
    return value
