from collections.abc import Mapping
from pathlib import Path

import pytest

from engage_sync.config.json_schema import DIALECT, KINDS, json_schema
from engage_sync.config.project import ConnectorType
from engage_sync.config.yaml_lines import read_document
from engage_sync.errors import Mistake
from engage_sync.sync.wiring import connector_types
from tests.config.projects import TYPES
from tests.config.schema_check import errors

ROOT = Path(__file__).parents[2]
CONTRACT = Path(__file__).parent / "contract"


def wrong(path: Path, kind: str, types: Mapping[str, ConnectorType]) -> list[str]:
    schema = json_schema(kind, types)
    return list(errors(read_document(path.name, path.read_bytes())[0].data, schema, schema))


@pytest.mark.parametrize("kind", KINDS)
def test_the_dialect_is_named_and_every_key_described(kind: str) -> None:
    schema = json_schema(kind, TYPES)
    assert schema["$schema"] == DIALECT
    described(schema)


def described(node: object) -> None:
    if isinstance(node, dict):
        properties = node.get("properties") if node.get("type") == "object" else None
        for name, inner in properties.items() if isinstance(properties, dict) else ():
            assert name in {"auth", "access_token", "client_id", "client_secret", "base_url", "instance_url"} or (
                "description" in inner or "$ref" in inner
            ), name
        for inner in node.values():
            described(inner)
    elif isinstance(node, list):
        for inner in node:
            described(inner)


@pytest.mark.parametrize(
    ("name", "kind"), [("engage", "engage"), ("model", "model"), ("hubspot", "connector"), ("salesforce", "connector")]
)
def test_the_files_of_the_contract_are_valid(name: str, kind: str) -> None:
    assert wrong(CONTRACT / f"{name}.yaml", kind, TYPES) == []


@pytest.mark.parametrize(
    ("file", "kind"),
    [("config/engage.yaml", "engage"), ("config/model.yaml", "model"), ("connectors/hubspot.yaml", "connector")],
)
def test_the_ready_made_files_are_valid_and_name_their_schema(file: str, kind: str) -> None:
    assert wrong(ROOT / file, kind, connector_types()) == []
    first = (ROOT / file).read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema=../.schema/{kind}.json"


@pytest.mark.parametrize("name", ["engage", "model", "hubspot"])
def test_mistaken_files_are_invalid(name: str) -> None:
    kind = "connector" if name == "hubspot" else name
    assert wrong(Path(__file__).parent / "mistakes" / "everywhere" / f"{name}.yaml", kind, TYPES) != []


def test_defaults_are_written_as_a_file_would() -> None:
    definitions = json_schema("engage", TYPES)["$defs"]
    assert isinstance(definitions, dict)
    assert definitions["BrakesSection"]["properties"]["max_event_age"]["default"] == "24h"


def test_no_such_kind() -> None:
    with pytest.raises(Mistake, match="there is no file kind 'modle'; the kinds are engage, model, connector"):
        json_schema("modle", TYPES)
