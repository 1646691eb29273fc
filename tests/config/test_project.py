"""The files of the outside contract load, and mistakes are told with file, line and the nearest right name."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engage_sync.config.project import Schedule, load
from engage_sync.core.definitions import Brakes, Entity, ManagedField, MetricKind, OnDrift, ValueType
from engage_sync.errors import Mistake
from tests.config.projects import HUBSPOT, TYPES, loaded, refused, write

CONTRACT = Path(__file__).parent / "contract"
USER_TYPES = ("power", "influencer", "active", "inactive", "zombie")


def contract(root: Path) -> Path:
    """Write a project made of the example files of the outside contract."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in CONTRACT.glob("*.yaml")}
    return write(root, **texts)


def test_the_files_of_the_contract_load(tmp_path: Path) -> None:
    project = load(contract(tmp_path), TYPES)
    model = project.model
    assert project.database_url() == f"sqlite:///{tmp_path}/var/engage.db"
    assert project.events_location == f"{tmp_path}/var/events"
    assert (project.engine_name, dict(project.engine_options), project.timezone) == ("duckdb", {}, "UTC")
    assert project.brakes == Brakes(timedelta(hours=24), 0.3, 0.1, 100)
    assert (project.server_host, project.server_port) == ("127.0.0.1", 8080)
    assert (model.activity.include, model.activity.exclude, model.activity.window) == (
        ("*",),
        ("heartbeat",),
        timedelta(days=30),
    )
    assert (model.power.share, model.power.measure) == (Decimal("0.1"), "events")
    assert model.influencer.where is not None
    assert model.influencer.where.names == {"role", "title"}
    assert model.influencer.connectors is None
    assert {item.name: (item.connector, item.path, item.type) for item in model.properties_of(Entity.USER)} == {
        "plan": (None, "plan", ValueType.TEXT),
        "title": ("hubspot", "jobtitle", ValueType.TEXT),
        "role": ("hubspot", "hs_buying_role", ValueType.TEXT),
    }
    assert {item.name: (item.connector, item.path, item.type) for item in model.properties_of(Entity.ACCOUNT)} == {
        "plan": (None, "plan", ValueType.TEXT),
        "mrr": (None, "mrr", ValueType.NUMBER),
        "seats": (None, "seats", ValueType.NUMBER),
        "renewal_date": ("salesforce", "Renewal_Date__c", ValueType.DATE),
    }
    previous = next(item for item in model.metrics if item.name == "events_prev")
    assert (previous.kind, previous.events, previous.window, previous.offset) == (
        MetricKind.COUNT,
        "*",
        timedelta(days=7),
        timedelta(days=7),
    )
    assert [item.name for item in model.metrics_of(Entity.USER)] == ["reports_30d", "days_30d"]
    assert [item.name for item in model.metrics_of(Entity.ACCOUNT)] == [
        "users_7d",
        "events_7d",
        "events_prev",
        "admin_invites",
    ]
    assert model.links[Entity.USER] == "https://console.example.com/users/{external_id}"
    assert "gmail.com" in model.free_mail


def test_the_verdicts_of_the_contract_are_built(tmp_path: Path) -> None:
    project = load(contract(tmp_path), TYPES)
    model = project.model
    assert [step.name for step in model.stages[Entity.ACCOUNT].steps] == ["trial", "customer"]
    health = model.health[Entity.ACCOUNT]
    assert health.default is not None
    assert [rule.name for rule in health.default.bad] == ["active_users = 0", "events_7d < 0.5 * events_prev"]
    assert list(health.stages) == ["trial"]
    assert [(score.name, score.entity) for score in model.scores] == [
        ("engagement", Entity.USER),
        ("adoption", Entity.ACCOUNT),
    ]
    assert [(item.name, item.entity) for item in model.segments] == [("at_risk", Entity.ACCOUNT)]
    (signal,) = model.signals
    assert (signal.name, signal.cooldown, len(signal.actions), signal.clear_actions) == (
        "usage_drop",
        timedelta(days=14),
        2,
        (),
    )
    assert [(test.name, test.line) for test in project.tests] == [("halved usage is bad", 28)]


def test_fields_take_their_type_from_the_value(tmp_path: Path) -> None:
    hubspot, salesforce = load(contract(tmp_path), TYPES).connectors
    contacts, companies = hubspot.objects
    assert contacts.write == (
        ManagedField("engage_user_types", "user_types", ValueType.MULTISELECT, options=USER_TYPES),
        ManagedField("engage_user_type", "primary_user_type", ValueType.SELECT, options=USER_TYPES),
        ManagedField("engage_engagement", "scores.engagement", ValueType.NUMBER),
        ManagedField("engage_segments", "segments", ValueType.MULTISELECT),
        ManagedField("engage_last_active", "last_active_at", ValueType.DATETIME),
        ManagedField("engage_external_id", "external_id", ValueType.TEXT),
        ManagedField("engage_link", "link", ValueType.URL),
    )
    assert companies.write == (
        ManagedField("engage_health", "health", ValueType.SELECT, options=("good", "normal", "bad")),
        ManagedField("engage_stage", "stage", ValueType.SELECT, options=("trial", "customer")),
        ManagedField("engage_segments", "segments", ValueType.MULTISELECT, OnDrift.RESPECT, ("at_risk",)),
        ManagedField("engage_link", "link", ValueType.URL),
    )
    assert (contacts.match_external_id, contacts.match_email, contacts.match_domain) == (
        "engage_external_id",
        "email",
        None,
    )
    assert (companies.match_external_id, companies.match_email, companies.match_domain) == (
        "engage_external_id",
        None,
        "domain",
    )
    assert (hubspot.name, hubspot.connector, hubspot.file) == ("hubspot", "hubspot", "connectors/hubspot.yaml")
    assert (hubspot.schedule, hubspot.daily_share) == (Schedule("15m", "1h"), 0.5)
    assert (salesforce.name, [item.object for item in salesforce.objects]) == ("salesforce", ["Contact", "Account"])


def test_properties_add_the_fields_they_read(tmp_path: Path) -> None:
    hubspot, salesforce = load(contract(tmp_path), TYPES).connectors
    assert [item.read for item in hubspot.objects] == [("jobtitle", "hs_buying_role", "lifecyclestage"), ()]
    assert [item.read for item in salesforce.objects] == [("Title",), ("Renewal_Date__c",)]


def test_every_source_has_its_type(tmp_path: Path) -> None:
    fields = {
        "contacts": [
            *("lapsed_influencer", "as_of", "events", "first_active_at", "age_days", "mrr", "renewal_date"),
            *("name", "email", "plan", "since", "n", "seen", "days_to_since", "types.power", "reasons"),
        ],
        "companies": ["users", "active", "active_share", "users_zombie", "seat_use", "name", "domain", "mrr", "opened"],
    }
    text = "connector: hubspot\nauth: {access_token: x}\nobjects:\n" + "".join(
        f"  {name}:\n    entity: {entity}\n    match: {{external_id: id_}}\n    write:\n"
        + "".join(f"      f{number}: {source}\n" for number, source in enumerate(fields[name]))
        for name, entity in (("contacts", "user"), ("companies", "account"))
    )
    model = """
properties:
  user: {plan: traits.plan, since: {from: traits.since, type: date}, email: traits.other_email}
  account: {mrr: {from: traits.mrr, type: number}, opened: {from: traits.opened, type: datetime}}
metrics:
  user: {n: {count: "*"}, seen: {last: login}}
"""
    contacts, companies = loaded(tmp_path, model=model, hubspot=text).connectors[0].objects
    number, boolean, text = ValueType.NUMBER, ValueType.BOOLEAN, ValueType.TEXT
    date, instant = ValueType.DATE, ValueType.DATETIME
    assert [item.type for item in contacts.write] == [
        *(boolean, instant, number, instant, number, number, date),
        *(text, text, text, date, number, instant, number, boolean, ValueType.LONG_TEXT),
    ]
    assert [item.type for item in companies.write] == [
        *(number, boolean, number, number, number, text, text, number, instant)
    ]


def test_a_given_type_wins(tmp_path: Path) -> None:
    fields = "{a: {from: events, type: text}, b: {from: user_types, type: long_text}, "
    fields += "c: {from: primary_user_type, type: multiselect}}"
    text = HUBSPOT.replace("match: {email: email}", f"match: {{email: email}}, write: {fields}")
    write_ = loaded(tmp_path, hubspot=text).connectors[0].objects[0].write
    assert [(item.type, item.options) for item in write_] == [
        (ValueType.TEXT, ()),
        (ValueType.LONG_TEXT, ()),
        (ValueType.MULTISELECT, USER_TYPES),
    ]


def test_only_the_engage_file_is_needed(tmp_path: Path) -> None:
    project = loaded(tmp_path)
    assert project.connectors == ()
    assert project.model.metrics == ()
    assert project.model.activity.window == timedelta(days=30)
    assert project.model.power.share == Decimal("0.10")


def test_a_folder_that_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(Mistake) as caught:
        load(tmp_path / "nowhere", TYPES)
    assert str(caught.value) == (
        f"config/engage.yaml: not found, so {tmp_path}/nowhere is not a project;"
        " run `engage-sync init` there to start one"
    )


def test_empty_sections_are_as_if_not_written(tmp_path: Path) -> None:
    project = loaded(
        tmp_path,
        engage="events:\nserver:\n  port:\nbrakes: {max_event_age: null}\n",
        model="metrics:\n  user:\nlinks:\n",
    )
    assert project.server_port == 8080
    assert project.brakes.max_event_age is None


def test_every_problem_of_every_file_at_once(tmp_path: Path) -> None:
    folder = Path(__file__).parent / "mistakes"
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (folder / "everywhere").glob("*.yaml")}
    assert refused(tmp_path, **texts) == (folder / "everywhere.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("engage", "problem"),
    [
        ("database: mysql://u:topsecret@h/d", "1: `database` must start with sqlite:/// or postgresql+psycopg://"),
        ("database: 'sqlite:///'", "1: `database` must name a file, like sqlite:///var/engage.db"),
        ("database: 5", "1: `database` must be text, not a number; put it in quotes"),
        ("database: ${not a name}", "1: `${not a name}` names no environment variable; write ${NAME} or ${file:/path}"),
        ("events:\n  engine: duckbd", "2: `engine`: `duckbd` is not known; did you mean `duckdb`?"),
        ("events: var", "1: `events` must be a mapping (`key: value`), not text"),
        ("events:\n  store: ''", "2: `store` must not be empty"),
        (
            "timezone: ../etc/passwd",
            "1: `timezone`: `../etc/passwd` is no time zone; write a name like UTC or Europe/Berlin",
        ),
        ("brakes: {min_records: true}", "1: `min_records` must be a whole number, not true or false"),
        ("brakes: {min_records: 1.5}", "1: `min_records` must be a whole number, not a decimal number"),
        ("server:\n  port: 70000", "2: `port` must be less than or equal to 65535"),
        (
            "source: {url: x}",
            (
                "1: unknown key `source`; valid here are, among others, `server`, `brakes`, `database`, `logs`,"
                " `events`, `daemon`, `alerts`, `timezone`"
            ),
        ),
    ],
)
def test_mistakes_in_the_engage_file(tmp_path: Path, engage: str, problem: str) -> None:
    assert refused(tmp_path, engage=engage) == [f"config/engage.yaml:{problem}"]


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("sqlite:///var/a.db", "sqlite:///{root}/var/a.db"),
        ("sqlite:////srv/a.db", "sqlite:////srv/a.db"),
        ("postgresql+psycopg://u:${DB_WORD}@h/d", "postgresql+psycopg://u:w@h/d"),
        ("postgresql://u@h/d?sslmode=require", "postgresql+psycopg://u@h/d?sslmode=require"),
    ],
)
def test_database_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, meant: str) -> None:
    monkeypatch.setenv("DB_WORD", "w")
    assert loaded(tmp_path, engage=f"database: {url}").database_url() == meant.format(root=tmp_path)


@pytest.mark.parametrize(
    ("store", "meant"),
    [("data/e", "{root}/data/e"), ("/srv/e", "/srv/e"), ("s3://${EVENT_BUCKET}/e", "s3://b/e")],
)
def test_event_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, meant: str) -> None:
    monkeypatch.setenv("EVENT_BUCKET", "b")
    assert loaded(tmp_path, engage=f"events: {{store: {store}}}").events_location == meant.format(root=tmp_path)


def test_a_secret_database_is_looked_up_when_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENGAGE_DB", raising=False)
    project = loaded(tmp_path, engage="timezone: UTC\ndatabase: ${ENGAGE_DB}\n")
    with pytest.raises(Mistake, match=r"config/engage.yaml:2: the environment variable ENGAGE_DB is not set"):
        project.database_url()
    monkeypatch.setenv("ENGAGE_DB", "mysql://u:topsecret@h")
    with pytest.raises(Mistake) as caught:
        project.database_url()
    assert str(caught.value) == "config/engage.yaml:2: `database` must start with sqlite:/// or postgresql+psycopg://"


def test_files_that_would_be_overlooked_are_told(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "config" / "model.yml").write_text("")
    (tmp_path / "connectors" / "hub.spot.yaml").write_text("")
    (tmp_path / "connectors" / "hub.yml").write_text("")
    (tmp_path / "connectors" / "folder.yaml").mkdir()
    (tmp_path / "connectors" / ".hidden.yaml").write_text("[")
    name = "a connector is called by its file's name: rename the file, using letters, digits, `_` and `-`"
    assert refused(tmp_path) == [
        "config/model.yml: files end in .yaml here; rename it to model.yaml",
        "connectors/folder.yaml: cannot be read (Is a directory)",
        f"connectors/hub.spot.yaml: {name}",
        "connectors/hub.yml: files end in .yaml here; rename it to hub.yaml",
    ]


def test_lines_of_objects_and_fields(tmp_path: Path) -> None:
    text = """\
connector: hubspot
auth: {access_token: x}
objects:
  contacts:
    entity: user
    match:
      external_id: engage_id
      email: email
    read:
      - jobtitle
    write:
      engage_type: primary_user_type
"""
    file = loaded(tmp_path, hubspot=text).connectors[0]
    lines = [
        file.line_of("contacts", name) for name in (None, "engage_id", "email", "jobtitle", "engage_type", "other")
    ]
    assert lines == [4, 7, 8, 10, 12, 4]
    assert file.line_of("companies") is None
