"""The pages about connectors, read as a stranger does: their package is written out, tested and used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.docs import commands, package

BIN = Path(sys.executable).parent
PLAIN = ("--isolated", "--target-version", "py311", "--line-length", "120")
RULES = "E,F,W,I,B,UP,SIM,RUF,C4,PIE,RET,PT,S1,S2,S3,S5"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the pages, installed."""
    return package.install(tmp_path_factory.mktemp("shelf"), package.files())


def ran(*line: str | Path, within: Path, **more: str) -> str:
    """Run a command with the package in reach; it must end well."""
    environment = package.environment([within], **more)
    done = subprocess.run(line, check=False, cwd=within, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pages_stay_short() -> None:
    assert [page for page in package.PAGES if (package.DOCS / page).read_text().count("\n") > 420] == []


def test_every_block_of_code_is_a_file_that_is_run() -> None:
    blocks = sum((package.DOCS / page).read_text().count("```python\n") for page in package.PAGES)
    named = sum((package.DOCS / page).read_text().count("```python\n# ") for page in package.PAGES)
    assert blocks == named
    assert sorted(package.files()) == [
        "engage_sync_shelf/__init__.py",
        "engage_sync_shelf/connector.py",
        "engage_sync_shelf/ready/connectors/shelf.yaml",
        "engage_sync_shelf/standin.py",
        "pyproject.toml",
        "tests/test_shelf.py",
    ]


def test_code_is_clean(shelf: Path) -> None:
    checked = ran(BIN / "ruff", "check", *PLAIN, "--select", RULES, "--ignore", "S101,S105", ".", within=shelf)
    assert checked == "All checks passed!\n"
    assert "already formatted" in ran(BIN / "ruff", "format", "--check", *PLAIN, ".", within=shelf)


def test_types_are_sound_for_a_stranger(shelf: Path) -> None:
    """With the types that engage-sync ships, and no settings of this project."""
    line = (BIN / "mypy", "--strict", "--config-file", "", "--cache-dir", package.DOCS.parent / ".mypy_cache" / "docs")
    told = ran(*line, "engage_sync_shelf", "tests", within=shelf)
    assert told.startswith("Success: no issues found")


def test_its_own_tests_pass(shelf: Path) -> None:
    """The suite over the connector of the page."""
    told = ran(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", shelf, "tests", within=shelf
    )
    assert int(told.rsplit(" passed", 1)[0].rsplit(maxsplit=1)[-1]) >= 60


@contextmanager
def standin(shelf: Path, *people: str) -> Iterator[str]:
    """Run the stand-in as the page does; give its address."""
    line = [sys.executable, "-m", "engage_sync_shelf.standin", *people]
    environment = package.environment([shelf])
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        try:
            assert run.stdout is not None
            yield run.stdout.readline().strip()
        finally:
            run.terminate()


def test_a_project_with_it_ends_in_a_run_that_writes_nothing(shelf: Path, tmp_path: Path) -> None:
    now = datetime.now(UTC).isoformat()
    messages = [
        {"type": "identify", "messageId": "1", "userId": "u1", "timestamp": now, "traits": {"email": "ada@a.example"}},
        {"type": "track", "messageId": "2", "userId": "u1", "timestamp": now, "event": "login"},
    ]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(message) + "\n" for message in messages))
    root = tmp_path / "acme"
    environment = package.environment([shelf], SHELF_API_KEY="shelf-key")

    def engage(*lines: str) -> list[tuple[int, Any]]:
        asked = [
            (*line.split(), *(() if line.startswith("init") else ("--project", str(root))), "--json") for line in lines
        ]
        return [(code, json.loads(out)) for code, out, _ in commands.run(environment, *asked)]

    with standin(shelf, "ada@a.example", "bo@a.example") as url:
        (code, _), (unknown, _) = engage(f"init {root} --crm shelf", f"init {tmp_path / 'other'} --crm self")
        assert (code, unknown) == (0, 2)
        file = root / "connectors" / "shelf.yaml"
        file.write_text(f"{file.read_text()}\nbase_url: {url}\n")
        ended = engage(f"import {tmp_path / 'events.jsonl'}", "check", "provision --apply", "check", "sync", "sync")
        _, todo, made, checked, first, second = (answer for _, answer in ended)
        assert [code for code, _ in ended] == [0, 1, 0, 0, 0, 0]
        assert len(todo["problems"]) == 4
        assert {one["result"] for one in made["fields"]} == {"created"}
        assert checked["problems"] == []
        assert (first["calls"]["write"], second["calls"]["write"]) == (1, 0)
        assert first["connectors"]["shelf"]["people"]["written"] == 1
        assert second["connectors"]["shelf"]["people"]["unchanged"] == 1
