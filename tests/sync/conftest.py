"""A project for each test."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from engage_sync.cli.logs import configure
from tests.sync.project import Project
from tests.sync.project import project as begin


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with begin(tmp_path) as made:
        yield made


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Log as the daemon does, as JSON; gives the lines so far. The tests' own way is put back."""
    before, handlers = structlog.get_config(), logging.getLogger().handlers[:]
    configure("json", "debug")
    lines: list[dict[str, Any]] = []

    def read() -> list[dict[str, Any]]:
        lines.extend(json.loads(line) for line in capsys.readouterr().err.splitlines())
        return lines

    yield read
    structlog.configure(**before)
    logging.getLogger().handlers[:] = handlers
