"""A stranger's connector enters as ours do, and whatever is wrong with it is a sentence that names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

from engage_sync.config.project import load
from engage_sync.connectors import promises
from engage_sync.connectors.base import Change, Connector, Cursor, FieldSpec, Kind, Role, Status
from engage_sync.connectors.promises import Promised
from engage_sync.connectors.throttle import Gate
from engage_sync.connectors.wrappers import harden
from engage_sync.core.definitions import ValueType
from engage_sync.errors import Misbehaved, Mistake, Transient
from engage_sync.sync.plugins import ENTRY_POINTS, Plugins
from engage_sync.sync.wiring import ConnectorTypes, connector_classes, connector_types
from tests.docs import commands, package
from tests.sync import plugged

HERE = "tests.sync.plugged"
PEOPLE = Kind("people", Role.CONTACT, ("email",))
FILE = """\
connector: {}
objects:
  people: {{entity: user, match: {{email: email}}, write: {{engage_events: events}}}}
"""


def points(folder: Path, **packages: dict[str, str]) -> list[EntryPoint]:
    """Install packages with these entry points (name: value) and give the points."""
    for name, items in packages.items():
        package.write(folder, package.noted(name.replace("_", "-"), "1", {ENTRY_POINTS: items}))
    return [point for dist in distributions(path=[str(folder)]) for point in dist.entry_points]


def refused(folder: Path, name: str, value: str) -> str:
    """Give the sentence that refuses the one connector of a package."""
    plugins = Plugins(points(folder, acme_crm={name: value}))
    with pytest.raises(Mistake) as found:
        plugins[name]
    assert str(found.value) == plugins.why_not(name)
    assert "the package acme-crm" in str(found.value)
    return str(found.value)


def test_ours_come_by_the_same_door() -> None:
    assert connector_classes()["hubspot"].__module__ == "engage_sync.connectors.hubspot"
    assert {"hubspot", "salesforce"} <= set(connector_types())
    assert connector_classes() is connector_classes()


def test_a_sound_connector_is_found_and_built_from_its_settings(tmp_path: Path) -> None:
    plugins = Plugins(points(tmp_path, acme_crm={"sound": f"{HERE}:Sound"}))
    assert list(plugins) == ["sound"]
    assert plugins["sound"] is plugged.Sound
    assert plugins.why_not("sound") is None
    assert plugins.get("another") is None


def test_nothing_is_loaded_before_it_is_asked_for(tmp_path: Path) -> None:
    plugins = Plugins(points(tmp_path, acme_crm={"one": "no_such_module:A"}, good_crm={"sound": f"{HERE}:Sound"}))
    assert sorted(plugins) == ["one", "sound"]
    assert plugins["sound"] is plugged.Sound


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_module:A", "ModuleNotFoundError: No module named 'no_such_module'"),
        (f"{HERE}:NoSuchClass", "cannot be loaded: AttributeError"),
        ("json.tool:", "cannot be"),
    ],
)
def test_a_module_that_cannot_be_loaded_is_named(tmp_path: Path, value: str, words: str) -> None:
    assert words in refused(tmp_path, "acme", value)


def test_a_module_that_ends_the_process_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ends_the_process.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "SystemExit: 3" in refused(tmp_path, "acme", "ends_the_process:A")


@pytest.mark.parametrize(
    ("name", "found", "words"),
    [
        ("half", "Half", "it has no method pull and no push"),
        ("no_connector", "NoConnector", "no subclass of engage_sync.connectors.base.Connector"),
        ("email", "LIMITS", "no subclass of"),
        ("bare", "Bare", 'it has no name; its class must say `name = "bare"`'),
        ("other", "Sound", "it calls itself `sound`, and its entry point calls it `other`"),
        ("plain", "Plain", "its `Settings` is no pydantic model"),
        ("takes", "Takes", "its `Settings` has the key `limits`"),
        ("boundless", "Boundless", "its `limits` is no engage_sync.connectors.base.Limits"),
        ("closed", "Closed", "must be at least 1"),
        ("empty", "Empty", "must map the name of each object to its Role"),
    ],
)
def test_a_class_that_lacks_something_is_told_what(tmp_path: Path, name: str, found: str, words: str) -> None:
    assert words in refused(tmp_path, name, f"{HERE}:{found}")


def test_two_packages_with_one_name_are_both_named(tmp_path: Path) -> None:
    value = {"sound": f"{HERE}:Sound"}
    plugins = Plugins(points(tmp_path, acme_crm=value, good_crm=value, other={"silent": f"{HERE}:Silent"}))
    assert "of acme-crm and good-crm; uninstall" in str(plugins.why_not("sound"))
    assert plugins["silent"] is plugged.Silent


def test_one_package_found_twice_is_one(tmp_path: Path) -> None:
    found = points(tmp_path, acme_crm={"sound": f"{HERE}:Sound"})
    assert Plugins(found * 2)["sound"] is plugged.Sound


def test_a_package_without_metadata_is_named_by_its_module(tmp_path: Path) -> None:
    point = EntryPoint("acme", "no_such_module.inner:A", ENTRY_POINTS)
    assert "the package no_such_module (" in str(Plugins([point]).why_not("acme"))


def test_a_project_is_told_with_file_and_line_and_only_when_it_names_it(tmp_path: Path) -> None:
    installed = Plugins(points(tmp_path / "site", acme_crm={"half": f"{HERE}:Half", "sound": f"{HERE}:Sound"}))
    package.write(tmp_path, {"config/engage.yaml": "{}\n", "connectors/good.yaml": FILE.format("sound")})
    assert [file.name for file in load(tmp_path, ConnectorTypes(installed)).connectors] == ["good"]
    package.write(tmp_path, {"connectors/bad.yaml": FILE.format("half"), "connectors/typo.yaml": FILE.format("soud")})
    with pytest.raises(Mistake) as found:
        load(tmp_path, ConnectorTypes(installed))
    bad, typo = found.value.problems
    assert (bad.file, bad.line) == ("connectors/bad.yaml", 1)
    assert "acme-crm" in bad.what
    assert "did you mean `sound`?" in typo.what


def test_a_class_that_cannot_be_built_is_a_mistake() -> None:
    with pytest.raises(Mistake, match="`unbuilt` cannot be built from its settings and a memory: TypeError"):
        promises.build(plugged.Unbuilt, plugged.Keys(), {})  # type: ignore[arg-type]


def of(found: type[Connector]) -> Promised:
    built = promises.build(found, plugged.Keys(), {})  # type: ignore[arg-type]
    assert isinstance(built, Promised)
    return built


def pulled(connector: Connector) -> object:
    return connector.pull(PEOPLE, Cursor("here"))


def pushed(connector: Connector) -> object:
    return list(connector.push(PEOPLE, [Change("1", {"engage_events": "5"})]))


def provisioned(connector: Connector) -> object:
    return connector.provision([FieldSpec("people", "engage_events", "Events", ValueType.NUMBER)])


@pytest.mark.parametrize(
    ("found", "step", "words"),
    [
        (plugged.Halting, pulled, "halting: pull gave a page that is not the last one, with the cursor it was asked"),
        (plugged.Numbers, pulled, "pull gave a value of type int as engage_events of the record 1, and not text"),
        (plugged.NoIds, pulled, "pull gave the record 1, whose id and updated_at must be text"),
        (plugged.Places, pulled, "pull gave a cursor that is a value of type int and no text"),
        (plugged.Forgets, pulled, "pull gave None and no Page"),
        (plugged.Stumbles, pulled, "pull raised KeyError at plugged.py:"),
        (plugged.Describes, lambda one: one.check(), "check gave a value of type dict and no Schema"),
        (plugged.Names, lambda one: one.check(), "check described people by something else than Fields"),
        (plugged.Returns, pushed, "push gave None and no outcomes; yield one Outcome for each change"),
        (plugged.Repeats, pushed, "push gave two outcomes for the record 1"),
        (plugged.Invents, pushed, "push gave an outcome for the record 'another', which has no change"),
        (plugged.Praises, pushed, "push gave an outcome whose status is a value of type str and no Status"),
        (plugged.Affirms, pushed, "push gave a value of type bool and no Outcome"),
        (plugged.Breaks, pushed, "push raised ConnectionResetError at plugged.py:"),
        (plugged.Idle, provisioned, "provision did not say what became of engage_events"),
        (plugged.Clings, lambda one: one.close(), "close raised RuntimeError"),
    ],
)
def test_a_broken_promise_is_a_sentence(
    found: type[Connector], step: Callable[[Connector], object], words: str
) -> None:
    with pytest.raises(Misbehaved) as broken:
        step(of(found))
    assert words in str(broken.value)
    assert "This is a mistake in tests" in str(broken.value)
    assert "nobody-may-see" not in str(broken.value)


def test_a_sound_connector_passes_untouched() -> None:
    bare, checked = plugged.Sound(plugged.Keys(), {}), of(plugged.Sound)  # type: ignore[arg-type]
    assert pulled(checked) == pulled(bare)
    assert pushed(checked) == pushed(bare)
    assert provisioned(checked) == provisioned(bare)
    assert checked.check() == bare.check()
    with pytest.raises(Transient, match="busy"):
        pulled(of(plugged.Busy))


def test_a_change_without_an_outcome_is_asked_again_and_failed_in_the_end() -> None:
    """Silence is never success, and what was said stands."""
    pauses: list[float] = []
    connector = harden(of(plugged.Silent), gate=Gate({}), sleep=pauses.append)
    ends = {one.record: one for one in connector.push(PEOPLE, [Change(str(n), {"a": "b"}) for n in range(4)])}
    assert {record: end.status for record, end in ends.items()} == {
        "0": Status.WRITTEN,
        "1": Status.WRITTEN,
        "2": Status.WRITTEN,
        "3": Status.FAILED,
    }
    assert ends["3"].code == "NO_ANSWER"
    assert pauses


def test_what_was_answered_before_a_broken_promise_stands() -> None:
    connector = harden(of(plugged.Breaks), gate=Gate({}), sleep=lambda _: None)
    ends = []
    with pytest.raises(Misbehaved):
        ends += [end.status for end in connector.push(PEOPLE, [Change("1", {}), Change("2", {})])]
    assert ends == []
    outcomes = connector.push(PEOPLE, [Change("1", {}), Change("2", {})])
    assert (next(outcomes).status, next(outcomes).status) == (Status.WRITTEN, Status.FAILED)


def test_broken_connectors_end_in_sentences_and_the_sound_ones_work_is_done(tmp_path: Path) -> None:
    """With the whole command line."""
    site, root = tmp_path / "site", tmp_path / "acme"
    broken = ("Halting", "Numbers", "Stumbles", "Describes", "Returns", "Invents")
    points(site, acme_crm={name.lower(): f"{HERE}:{name}" for name in (*broken, "Sound", "Half")})
    files = {f"connectors/{name.lower()}.yaml": FILE.format(name.lower()) for name in (*broken, "Sound")}
    brakes = "brakes: {max_event_age: , max_change_share: 1.0, max_clear_share: 1.0}\n"
    message = {"type": "identify", "messageId": "1", "userId": "u1", "timestamp": "2026-06-01T00:00:00Z"}
    lines = json.dumps({**message, "traits": {"email": "ada@a.example"}})
    package.write(root, {"config/engage.yaml": brakes, "messages.jsonl": lines + "\n", **files})
    project = ("--project", str(root), "--json")
    environment = package.environment([site])
    imported, synced, shown = commands.forked(
        environment,
        ("import", str(root / "messages.jsonl"), *project),
        ("sync", *project),
        ("runs", "1", *project),
    )
    assert (imported[0], synced[0]) == (0, Misbehaved.exit_code), synced
    assert json.loads(synced[1])["connectors"]["sound"]["people"]["written"] == 1
    assert [name for name in map(str.lower, broken) if f"the connector {name}: " not in shown[1]] == []
    package.write(root, {"connectors/half.yaml": FILE.format("half")})
    ((code, _, told), schema) = commands.forked(environment, ("sync", *project), ("schema", "connector"))
    assert (code, told.count("\n")) == (Mistake.exit_code, 1)
    assert told.startswith("engage-sync: connectors/half.yaml:1: the connector type `half` of the package acme-crm")
    assert schema[0] == Mistake.exit_code
    assert "the package acme-crm" in schema[2]
