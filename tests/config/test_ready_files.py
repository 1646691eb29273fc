"""The files that `init` copies load, and what they set is what they say are defaults."""

from pathlib import Path

import pytest

from engage_sync.config.project import Project, load
from engage_sync.core.definitions import Entity
from engage_sync.sync.project_files import init
from engage_sync.sync.wiring import connector_types
from tests.config.projects import write

ROOT = Path(__file__).parents[2]
CRMS = ["hubspot", "salesforce"]


@pytest.fixture
def ready(tmp_path: Path) -> Project:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in ROOT.glob("co*/*.yaml")}
    return load(write(tmp_path, **texts), connector_types())


def test_the_engage_file_says_the_defaults(ready: Project, tmp_path: Path) -> None:
    plain = load(write(tmp_path / "plain"), connector_types())
    for name in ("engine_name", "timezone", "brakes", "server_host", "server_port"):
        assert getattr(ready, name) == getattr(plain, name)
    assert ready.database.get_secret_value() == plain.database.get_secret_value()
    assert (ready.store, plain.store) == ("var/events", "var/events")


@pytest.mark.parametrize(("place", "read"), [(0, {"jobtitle", "hs_buying_role"}), (1, {"Title"})])
def test_the_fields_that_rules_read_are_read(ready: Project, place: int, read: set[str]) -> None:
    contacts, companies = ready.connectors[place].objects
    assert (contacts.entity, companies.entity) == (Entity.USER, Entity.ACCOUNT)
    assert read <= set(contacts.read)


@pytest.mark.parametrize("chosen", [[], ["hubspot"], ["salesforce"], CRMS])
def test_a_project_of_any_crms_loads_and_reads_from_these_only(tmp_path: Path, chosen: list[str]) -> None:
    """Properties of a CRM that is not connected come from traits, so that the ready-made rules stand."""
    init(tmp_path / "new", chosen)
    project = load(tmp_path / "new", connector_types())
    assert [file.name for file in project.connectors] == chosen
    sources = {item.name: item.connector for item in project.model.properties_of(Entity.USER)}
    expected = {"jobtitle": "hubspot", "buying_role": "hubspot", "contact_title": "salesforce"}
    assert {name: sources[name] for name in expected} == {
        name: crm if crm in chosen else None for name, crm in expected.items()
    }


def test_the_oauth_alternative_in_the_comments_loads(ready: Project, tmp_path: Path) -> None:
    text = (ROOT / "connectors" / "hubspot.yaml").read_text(encoding="utf-8")
    before, _, after = text.partition("# auth:\n")
    commented = [line for line in after.splitlines() if line.startswith("#   ")]
    token = "auth:\n  access_token: ${HUBSPOT_ACCESS_TOKEN}\n"
    assert token in before
    oauth = "auth:\n" + "".join(f"{line[2:]}\n" for line in commented)
    changed = text.replace(token, oauth).replace("# base_url", "base_url")
    assert [file.name for file in load(write(tmp_path, hubspot=changed), connector_types()).connectors] == CRMS


def test_the_certificate_and_the_lead_in_the_comments_load(ready: Project, tmp_path: Path) -> None:
    """Of the Salesforce file, with its commented parts in place of what they are an alternative to."""
    text = (ROOT / "connectors" / "salesforce.yaml").read_text(encoding="utf-8")
    start, end = text.index("auth:\n  login_url: ${"), text.index("# Where the org's API is")
    jwt = text[text.index("# auth:") : end].replace("# ", "")
    rest = text[end:].replace("# instance_url", "instance_url")
    lead = rest[rest.index("  # Lead:") :]
    changed = text[:start] + jwt + rest.replace(lead, lead.replace("  # ", "  "))
    loaded = load(write(tmp_path, salesforce=changed), connector_types()).connectors
    assert [object_map.object for object_map in loaded[1].objects] == ["Contact", "Account", "Lead"]


@pytest.mark.parametrize("kept", ["model", "hubspot"])
def test_each_file_stands_without_the_other(tmp_path: Path, kept: str) -> None:
    """Somebody replaces the model by their own, or works without a CRM."""
    path = next(ROOT.glob(f"co*/{kept}.yaml"))
    project = load(write(tmp_path, **{kept: path.read_text(encoding="utf-8")}), connector_types())
    assert [file.name for file in project.connectors] == (["hubspot"] if kept == "hubspot" else [])
    assert bool(project.model.metrics) == (kept == "model")
