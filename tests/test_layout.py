"""The shape of the repository: what a reader may rely on is asserted here, so that it stays true."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import typer

from engage_sync import errors
from engage_sync.cli.main import EXIT_STATUS, app
from tests import generated_docs

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "engage_sync"
MODULES = sorted(SOURCE.rglob("*.py"))
README = (ROOT / "README.md").read_text()


def test_no_module_is_longer_than_400_lines() -> None:
    long = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in MODULES}
    assert {path: lines for path, lines in long.items() if lines > 400} == {}


def test_no_function_is_longer_than_50_lines() -> None:
    """Migrations are lists of tables and columns: there length is no matter of thought."""
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in MODULES
        if "migrations" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 50
    ]
    assert long == []


def test_packages_have_no_code_of_their_own() -> None:
    assert [str(path) for path in SOURCE.rglob("__init__.py") if path.read_text().strip()] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        path for path in MODULES if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_the_core_is_pure() -> None:
    """No clock, no randomness, no files, no output in the core."""
    impure = re.compile(r"\b(datetime\.now|time\.time|random\.|print\(|open\(|logging|structlog)")
    assert [str(path) for path in (SOURCE / "core").glob("*.py") if impure.search(path.read_text())] == []


def test_every_library_that_is_imported_is_declared() -> None:
    """A library that only comes along with another one may be gone with its next version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.match(r"[\w-]+", name)[0].lower() for name in project["dependencies"]}  # type: ignore[index]
    owners = packages_distributions()
    imported = {
        name.split(".")[0]
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else imported_names(node))
    }
    foreign = imported - sys.stdlib_module_names - {"engage_sync", ""}
    undeclared = {
        name for name in foreign if not {owner.lower().replace("_", "-") for owner in owners.get(name, [])} & declared
    }
    assert undeclared == TOGETHER


TOGETHER = {"sqlalchemy", "pydantic_core"}
"""Part of what `sqlmodel` and `pydantic` promise to bring."""


def imported_names(node: ast.AST) -> list[str]:
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def connectors() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return sorted(project["project"]["entry-points"]["engage_sync.connectors"])


@pytest.mark.parametrize("name", connectors())
@pytest.mark.parametrize(
    "part",
    [
        "connectors/{}.yaml",
        "src/engage_sync/connectors/{}.py",
        "src/engage_sync/sandbox/{}.py",
        "tests/connectors/test_{}.py",
    ],
)
def test_every_connector_has_its_file_its_code_its_stand_in_and_its_suite(name: str, part: str) -> None:
    assert (ROOT / part.format(name)).is_file()


def test_every_connector_runs_the_shared_suite() -> None:
    for name in connectors():
        assert "ConnectorSuite" in (ROOT / f"tests/connectors/test_{name}.py").read_text()


def test_readme_lists_every_command_with_its_help() -> None:
    group = typer.main.get_command(app)
    shown = {name: one for name, one in group.commands.items() if not one.hidden}  # type: ignore[attr-defined]
    commands = {name: (one.help or "").splitlines()[0] for name, one in shown.items()}
    section = README.split("## Commands", 1)[1].split("\n## ", 1)[0]
    listed = dict(re.findall(r"^\| `([a-z]+)[^`]*` \| (.+?) \|$", section, re.MULTILINE))
    assert listed == commands


def test_readme_and_help_list_every_exit_code() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EngageError)]
    codes = {errors.EXIT_DONE, errors.EXIT_PARTIAL, *(kind.exit_code for kind in kinds)}
    section = README.split("## Exit codes", 1)[1].split("\n## ", 1)[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)} == codes
    assert {int(code) for code in re.findall(r"(?:: |·\s)(\d+)\s", EXIT_STATUS)} == codes


@pytest.mark.parametrize("page", generated_docs.PAGES, ids=str)
def test_generated_pages_are_in_step_with_the_code(page: Path) -> None:
    assert page.read_text() == generated_docs.PAGES[page]()


def test_readme_shows_the_two_first_commands() -> None:
    first_screen = "\n".join(README.splitlines()[:40])
    assert "make demo" in first_screen
    assert "make test" in first_screen
