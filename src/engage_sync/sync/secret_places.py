"""Where in a project's files secrets stand: by the types of the connectors' settings, and by what keys are called."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator

from pydantic import BaseModel, SecretBytes, SecretStr

from engage_sync.config.connector_file import OWN_KEYS
from engage_sync.config.project import ConnectorType
from engage_sync.config.redaction import Hides, Location, Replaced, Secret, redacted_file
from engage_sync.core.secrecy import like_token, named_secret

ALERTS = ("alerts", "webhook")
OPTIONS = ("events", "engine_options")
STORE, TELEMETRY = ("events", "store"), ("telemetry", "endpoint")


def without_secrets(file: str, content: bytes, connector: ConnectorType | None) -> tuple[bytes, list[Replaced]]:
    """Give a file of a project without the secrets that are written out in it, and what was replaced."""
    if file.startswith("connectors/"):
        return redacted_file(file, content, _of_connector(connector))
    return redacted_file(file, content, _of_engage if file == "config/engage.yaml" else _of_model)


def _of_engage(location: Location, text: str) -> Hides:
    if location == ALERTS or (location[:2] == OPTIONS and named_secret(location[-1])):
        return Hides.ALL
    if location == TELEMETRY:
        return _of_address(text)
    return Hides.QUERY if location == STORE else Hides.LITTLE


def _of_model(location: Location, text: str) -> Hides:
    """Only webhooks hold any; elsewhere the keys are names that people give."""
    if "webhook" not in location[:-1]:
        return Hides.LITTLE
    if location[-1] == "secret":
        return Hides.ALL
    return _of_address(text) if location[-1] == "url" else Hides.LITTLE


def _of_address(url: str) -> Hides:
    return Hides.ALL if like_token(url) else Hides.QUERY


def _of_connector(connector: ConnectorType | None) -> Secret:
    typed = frozenset() if connector is None else frozenset(_secrets(connector.settings))

    def secret(location: Location, text: str) -> Hides:  # noqa: ARG001 - a `Secret`
        named = bool(location) and location[0] not in OWN_KEYS and named_secret(location[-1])
        return Hides.ALL if location in typed or named else Hides.LITTLE

    return secret


def _secrets(model: type[BaseModel], at: Location = ()) -> Iterator[Location]:
    """Give the keys of every secret that settings declare."""
    for name, declared in model.model_fields.items():
        here = (*at, declared.alias or name)
        for kind in _kinds(declared.annotation):
            if kind in {SecretStr, SecretBytes}:
                yield here
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _secrets(kind, here)


def _kinds(annotation: object) -> Iterator[object]:
    if typing.get_origin(annotation) in {typing.Union, types.UnionType, typing.Annotated}:
        for inner in typing.get_args(annotation):
            yield from _kinds(inner)
    else:
        yield annotation
