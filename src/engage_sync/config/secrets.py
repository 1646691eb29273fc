"""Secrets that a file only names: `${NAME}` from the environment, `${file:/run/secrets/x}` from a file.

They are looked up when somebody asks, never while a project is loaded, and no error or repr ever shows one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from engage_sync.config.yaml_lines import Value

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE = "file:"


class UnresolvedError(Exception):
    """A secret that cannot be had. The text is a sentence without the secret."""


def has_reference(text: str) -> bool:
    """Tell whether a text needs a secret to be complete."""
    return "${" in text


def reference_problem(text: str) -> str | None:
    """Say what is wrong with the way a text names its secrets, or None."""
    if "${" in _REFERENCE.sub("", text):
        return "`${` is not closed; write ${NAME} or ${file:/path}"
    for inner in _REFERENCE.findall(text):
        if inner.startswith(_FILE):
            if not inner.removeprefix(_FILE).strip() or "\0" in inner:
                return "`${file:}` names no file; write ${file:/run/secrets/name}"
        elif not _VARIABLE.fullmatch(inner):
            return f"`${{{inner}}}` names no environment variable; write ${{NAME}} or ${{file:/path}}"
    return None


def references(value: Value, location: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Give every text that needs a secret, with its location."""
    if isinstance(value, str):
        if has_reference(value):
            yield location, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from references(inner, (*location, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from references(inner, (*location, index))


def resolve(text: str, root: Path, *, encode: Callable[[str], str] = str) -> str:
    """Fill in the secrets that a text names, each passed through `encode`; what they hold is not looked at again.

    Raises UnresolvedError.
    """
    problem = reference_problem(text)
    if problem is not None:
        raise UnresolvedError(problem)
    return _REFERENCE.sub(lambda match: encode(_secret(match[1], root)), text)


def _secret(reference: str, root: Path) -> str:
    if reference.startswith(_FILE):
        return _from_file(root / reference.removeprefix(_FILE).strip())
    value = os.environ.get(reference)
    if value is None:
        raise UnresolvedError(f"the environment variable {reference} is not set; set it, or write another source here")
    if not value:
        raise UnresolvedError(f"the environment variable {reference} is set but empty")
    return value


def _from_file(path: Path) -> str:
    """Read a secret file; the line end after it, which editors add, is not part of it."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UnresolvedError(f"the secret file {path} is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise UnresolvedError(f"the secret file {path} cannot be read ({reason})") from None
    text = text.rstrip("\r\n")
    if not text:
        raise UnresolvedError(f"the secret file {path} is empty")
    return text


def redacted(message: str, secrets: list[str]) -> str:
    """Give the message without any of the secrets, as they are or as Python writes them."""
    for secret in sorted(secrets, key=len, reverse=True):
        for shown in (secret, repr(secret)[1:-1], secret.strip()):
            if shown:
                message = message.replace(shown, "***")
    return message
