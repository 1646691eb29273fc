"""Mistakes in `connectors/NAME.yaml`, and its settings, which are known only when they are asked for."""

from pathlib import Path

import pytest

from engage_sync.config.project import ConnectorFile
from engage_sync.errors import Mistake
from tests.config.projects import HUBSPOT, ForceSettings, HubSettings, TokenAuth, loaded, mistakes, refused

SECRET = "pat-na1-0ba1"


@pytest.mark.parametrize(("text", "expected"), mistakes("connector"))
def test_mistakes(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert refused(tmp_path, crm=text) == [f"connectors/crm.yaml:{problem}" for problem in expected]


def hubspot(tmp_path: Path, text: str = HUBSPOT) -> ConnectorFile:
    return loaded(tmp_path, hubspot=text).connectors[0]


def salesforce(tmp_path: Path, text: str) -> ConnectorFile:
    return loaded(tmp_path, salesforce=f"connector: salesforce\n{text}").connectors[0]


def failure(file: ConnectorFile) -> str:
    with pytest.raises(Mistake) as caught:
        file.settings()
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_settings_hold_the_secret_and_do_not_show_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    file = hubspot(tmp_path)
    settings = file.settings()
    assert isinstance(settings, HubSettings)
    assert isinstance(settings.auth, TokenAuth)
    assert settings.auth.access_token.get_secret_value() == SECRET
    assert SECRET not in f"{settings!r} {settings} {file!r} {file}"


def test_a_secret_written_into_the_file_is_not_shown_either(tmp_path: Path) -> None:
    project = loaded(
        tmp_path,
        engage=f"database: postgresql+psycopg://u:{SECRET}@h/d\nevents: {{engine_options: {{key: {SECRET}}}}}\n",
        hubspot=HUBSPOT.replace("${TOKEN}", SECRET),
    )
    assert SECRET not in f"{project!r} {project}"


def test_an_unset_variable_stops_only_the_connector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    assert failure(hubspot(tmp_path)) == (
        "connectors/hubspot.yaml:2: the environment variable TOKEN is not set; set it, or write another source here"
    )
    monkeypatch.setenv("TOKEN", "")
    assert failure(hubspot(tmp_path)) == "connectors/hubspot.yaml:2: the environment variable TOKEN is set but empty"


def test_secrets_inside_a_longer_text_and_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN-----\nabc\n-----END-----\n", encoding="utf-8")
    monkeypatch.setenv("WHERE", "acme")
    text = f"auth:\n  key: ${{file:{tmp_path}/key.pem}}\n  near: ${{file:key.pem}}\ninstance_url: http://${{WHERE}}.${{WHERE}}.example\n"
    settings = salesforce(tmp_path, text).settings()
    assert isinstance(settings, ForceSettings)
    assert settings.instance_url == "http://acme.acme.example"
    assert {value.get_secret_value() for value in settings.auth.values()} == {"-----BEGIN-----\nabc\n-----END-----"}


def test_what_a_secret_holds_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "${OTHER} a: b")
    monkeypatch.setenv("OTHER", "wrong")
    settings = hubspot(tmp_path).settings()
    assert isinstance(settings, HubSettings)
    assert isinstance(settings.auth, TokenAuth)
    assert settings.auth.access_token.get_secret_value() == "${OTHER} a: b"


def test_secret_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    text = "".join(f"  {name}: ${{file:{tmp_path}/{name}}}\n" for name in ("missing", "empty", "binary", "."))
    assert failure(salesforce(tmp_path, f"auth:\n{text}")).splitlines() == [
        f"connectors/salesforce.yaml:3: the secret file {tmp_path}/missing cannot be read (No such file or directory)",
        f"connectors/salesforce.yaml:4: the secret file {tmp_path}/empty is empty",
        f"connectors/salesforce.yaml:5: the secret file {tmp_path}/binary is not UTF-8 text",
        f"connectors/salesforce.yaml:6: the secret file {tmp_path} cannot be read (Is a directory)",
    ]


@pytest.mark.parametrize("secret", [SECRET, "line\nbreak", "x", "quote'\"s"])
def test_a_refused_secret_is_not_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("PLACE", secret)
    told = failure(salesforce(tmp_path, "auth: {}\ninstance_url: ${PLACE}\n"))
    assert told.startswith("connectors/salesforce.yaml:3: ")
    _, _, what = told.partition(": ")
    assert secret not in what.removeprefix("`instance_url`: ").replace("*", "")
    assert repr(secret) not in what


def test_settings_are_checked_again_with_their_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE", "ftp://crm.example")
    text = HUBSPOT.replace('"${TOKEN}"', "x") + "base_url: ${BASE}\n"
    assert failure(hubspot(tmp_path, text)) == "connectors/hubspot.yaml:6: `base_url` must match pattern '^https?://'"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pilots", "the model has no segment `pilots` of users; did you mean `pilot`?"),
        ("large", "`large` is a segment of accounts, and `contacts` shows users; valid here: `pilot`"),
    ],
)
def test_an_object_names_a_segment_of_its_own_entity(tmp_path: Path, name: str, told: str) -> None:
    model = "segments: {pilot: {entity: user, where: events > 1}, large: {entity: account, where: users > 1}}\n"
    text = HUBSPOT.replace("{entity: user, ", "{entity: user, only: NAME, ")
    (file,) = loaded(tmp_path, model=model, hubspot=text.replace("NAME", "pilot")).connectors
    assert [one.only for one in file.objects] == ["pilot", None]
    assert refused(tmp_path, model=model, hubspot=text.replace("NAME", name)) == [f"connectors/hubspot.yaml:4: {told}"]
