"""The files with which engage-sync is installed: systemd finds nothing to say about the unit, and what the container
files name exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from engage_sync.cli.main import app

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "ops" / "systemd" / "engage-sync.service"
CONSTRAINTS = re.compile(r"^[a-zA-Z0-9]")
NAME = re.compile(r"^[a-zA-Z0-9_.-]+")


def test_the_unit_is_clean_and_hardened(tmp_path: Path) -> None:
    """Checked by systemd itself where there is one; the settings that matter are read in any case."""
    text = UNIT.read_text(encoding="utf-8")
    settings = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    assert settings["Type"] == "notify"
    assert settings["NoNewPrivileges"] == "yes"
    users = (ROOT / "ops" / "systemd" / "engage-sync.sysusers").read_text(encoding="utf-8")
    assert f"\nu {settings['User']} - " in users
    assert settings["ProtectSystem"] == "strict"
    assert settings["ExecStart"].endswith("engage-sync daemon --project /var/lib/engage-sync")
    assert int(settings["TimeoutStopSec"]) > 10, "the daemon ends within ten seconds"
    if (analyze := shutil.which("systemd-analyze")) is not None:
        unit = tmp_path / UNIT.name
        unit.write_text(text.replace("/usr/local/bin/engage-sync", "/bin/true"), encoding="utf-8")
        said = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
        assert (said.returncode, said.stdout + said.stderr) == (0, "")


def test_the_commands_that_the_files_start_exist() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert "daemon" in names
    assert CliRunner().invoke(app, ["daemon", "--help"]).exit_code == 0
    assert 'CMD ["daemon"]' in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_container_copies_what_there_is_and_runs_without_root() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in line.split():
            assert (ROOT / name).exists(), name
            assert f"!{name}" in kept, name
    assert re.search(r"^USER (?!root|0)\w+$", text, re.MULTILINE)
    assert "/healthz" in text


def test_the_constraints_of_the_container_are_the_locked_versions() -> None:
    """What the Dockerfile's sed makes of the lock file: one pinned version a line, no hashes."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    kept = [line.removesuffix(" \\") for line in lines if CONSTRAINTS.match(line)]
    assert len(kept) > 50
    assert all(re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[^ ]+( ;.*)?", line) for line in kept)


def test_what_ibis_wants_for_duckdb_is_named_here_and_pandas_is_not_installed() -> None:
    """Its extra is not taken (decision 0013), so nothing but this list installs what DuckDB's backend imports."""
    extra = [line for line in requires("ibis-framework") or [] if re.search(r"extra == ['\"]duckdb['\"]", line)]
    wanted = {NAME.findall(line)[0].lower() for line in extra}
    assert "pandas" in wanted, "Ibis no longer names it: its extra may be taken again"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert wanted - {NAME.findall(line)[0].lower() for line in project["dependencies"]} == {"pandas"}
    assert "\npandas==" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_the_guide_names_the_wheel_the_user_and_the_files_that_there_are() -> None:
    guide = (ROOT / "docs" / "guide" / "install.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"dist/engage_sync-{project['version']}-py3-none-any.whl" in guide
    uid = re.search(r"--uid (\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert uid is not None
    chown = guide.index(f"chown -R {uid[1]} acme")
    assert chown < guide.index("docker run "), "the container cannot write to a folder of somebody else"
    assert f"chown -R {uid[1]} project" in (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"ops/[\w./-]+\w", guide) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", ["daemon", "database"])
def test_compose_names_its_secrets_and_volumes(name: str) -> None:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    service = document["services"][name]
    assert set(service["secrets"]) <= set(document["secrets"])
    named = [volume.split(":")[0] for volume in service["volumes"] if not volume.startswith(".")]
    assert set(named) <= set(document["volumes"])
