"""Writes small projects for the tests of this room, with connector types made up for them."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from engage_sync.config.project import ConnectorType, Project, load
from engage_sync.core.definitions import Entity
from engage_sync.errors import Mistake


class TokenAuth(BaseModel):
    model_config = ConfigDict(extra="forbid")

    access_token: SecretStr


class OAuth(BaseModel):
    model_config = ConfigDict(extra="forbid")

    client_id: str
    client_secret: SecretStr


class HubSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    auth: TokenAuth | OAuth
    base_url: str = Field("https://crm.example", pattern="^https?://")


class ForceSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    auth: dict[str, SecretStr]
    instance_url: str | None = None

    @field_validator("instance_url")
    @classmethod
    def _telling(cls, value: str | None) -> str | None:
        """Refuse like a careless plugin: the message holds the value."""
        if value is not None and not value.startswith("http"):
            raise ValueError(f"{value!r} is no address")
        return value


TYPES: Mapping[str, ConnectorType] = {
    "hubspot": ConnectorType(HubSettings, {"contacts": Entity.USER, "companies": Entity.ACCOUNT}),
    "salesforce": ConnectorType(ForceSettings, {"Contact": Entity.USER, "Account": Entity.ACCOUNT}),
}

HUBSPOT = """\
connector: hubspot
auth: {access_token: "${TOKEN}"}
objects:
  contacts: {entity: user, match: {email: email}}
  companies: {entity: account, match: {domain: domain}}
"""


def write(
    root: Path, *, engage: str = "", model: str | None = None, parts: Mapping[str, str] | None = None, **connectors: str
) -> Path:
    """Write the files of a project and give its folder. `parts` are the files of `config/model/` by name."""
    (root / "config").mkdir(parents=True, exist_ok=True)
    (root / "connectors").mkdir(exist_ok=True)
    (root / "config" / "engage.yaml").write_text(engage, encoding="utf-8")
    if model is not None:
        (root / "config" / "model.yaml").write_text(model, encoding="utf-8")
    for name, text in (parts or {}).items():
        (root / "config" / "model").mkdir(exist_ok=True)
        (root / "config" / "model" / name).write_text(text, encoding="utf-8")
    for name, text in connectors.items():
        (root / "connectors" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return root


def loaded(
    root: Path, *, engage: str = "", model: str | None = None, parts: Mapping[str, str] | None = None, **connectors: str
) -> Project:
    """Load a project made of these texts."""
    return load(write(root, engage=engage, model=model, parts=parts, **connectors), TYPES)


def refused(
    root: Path, *, engage: str = "", model: str | None = None, parts: Mapping[str, str] | None = None, **connectors: str
) -> list[str]:
    """Give the problems of a project made of these texts, one line each."""
    with pytest.raises(Mistake) as caught:
        loaded(root, engage=engage, model=model, parts=parts, **connectors)
    return str(caught.value).splitlines()


def mistakes(name: str) -> list[tuple[str, list[str]]]:
    """Read the cases of `mistakes/NAME.txt`: a file's text, then the problems it must give, each after `=> `."""
    cases = []
    for block in (Path(__file__).parent / "mistakes" / f"{name}.txt").read_text(encoding="utf-8").split("\n\n"):
        lines = block.strip("\n").split("\n")
        told = [line.removeprefix("=> ") for line in lines if line.startswith("=> ")]
        cases.append(("\n".join(line for line in lines if not line.startswith("=> ")), told))
    return cases
