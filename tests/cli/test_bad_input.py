"""Bad input through the command line: each kind ends in a sentence that names place and cure, with the exit code of the
contract, and everything else is done all the same."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engage_sync.sandbox.server import Sandbox
from tests.cli.conftest import NOW, Ended, Run
from tests.forks import fork

Import = Callable[..., Ended]
FULL = ("crm.objects.contacts", "crm.objects.companies", "crm.schemas.contacts", "crm.schemas.companies")


@pytest.fixture
def bring(run: Run, folder: Path) -> Import:
    """Write a file with these bytes beside the project and import it."""

    def call(data: bytes, name: str = "more.jsonl") -> Ended:
        file = folder.parent / name
        file.write_bytes(data)
        ended = run("import", str(file), "--json", "--project", str(folder))
        assert "Traceback" not in ended.err
        return ended

    return call


@pytest.fixture
def ready(run: Run, project: Path) -> tuple[str, ...]:
    """The project with its fields created in the CRM, as the arguments that name it."""
    here = ("--project", str(project), "--json")
    assert run("provision", "--apply", *here).code == 0
    return here


def track(number: int, **keys: object) -> dict[str, object]:
    message = {"type": "track", "messageId": f"b{number}", "userId": "u1", "event": "login"}
    return message | {"timestamp": "2026-05-20T00:00:00Z"} | keys


def lines(*messages: dict[str, object] | str) -> bytes:
    texts = (text if isinstance(text, str) else json.dumps(text, ensure_ascii=False) for text in messages)
    return "".join(f"{text}\n" for text in texts).encode()


def rejects(ended: Ended) -> dict[int, str]:
    """Line → reason, from the rejects file that an import names."""
    found = [json.loads(line) for line in Path(ended.json["rejects_file"]).read_text(encoding="utf-8").splitlines()]
    return {reject["line"]: reject["reason"] for reject in found}


def tally(ended: Ended) -> tuple[int, int, int, int]:
    return tuple(ended.json[key] for key in ("read", "imported", "duplicates", "refused"))  # type: ignore[return-value]


def users(run: Run, folder: Path) -> dict[str, dict[str, object]]:
    here = ("--project", str(folder))
    assert run("compute", "--as-of", NOW, *here).code == 0
    rows = run("show", "users", "--format", "jsonl", *here).out.splitlines()
    return {row["external_id"]: row for row in map(json.loads, rows)}


def replaced(file: Path, old: str, new: str) -> int:
    """Replace text once and give the line it stands in now."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + new[: len(new) - len(new.lstrip("\n"))].count("\n") + 1


def contact(crm: Sandbox, email: str) -> dict[str, str]:
    return crm.store.values("contacts", crm.store.find("contacts", "email", email) or "")


# -- files of the project


def test_malformed_yaml_is_named_with_its_line(run: Run, folder: Path) -> None:
    file = folder / "config" / "model.yaml"
    line = replaced(file, "  window: 30d", "  window: [30d")
    for command in (("compute",), ("check",), ("show", "users"), ("import", str(folder.parent / "messages.jsonl"))):
        ended = run(*command, "--project", str(folder))
        assert ended.code == 2
        place, _, what = ended.err.removeprefix("engage-sync: ").partition(": ")
        assert place.startswith("config/model.yaml:")
        assert line <= int(place.rpartition(":")[2]) <= line + 5
        assert what.startswith("not valid YAML: expected ',' or ']'")
        assert f"starts in line {line}" in what
    replaced(file, "[30d", "30d")
    assert set(users(run, folder)) == {"u1", "u2"}


@pytest.mark.parametrize("odd", [b"\xff\xfe", b"\x00"])
def test_yaml_that_is_no_text(run: Run, folder: Path, odd: bytes) -> None:
    file = folder / "config" / "model.yaml"
    line = file.read_bytes().count(b"\n") + 1
    file.write_bytes(file.read_bytes() + odd)
    ended = run("compute", "--project", str(folder))
    assert ended.code == 2
    assert ended.err.startswith(f"engage-sync: config/model.yaml:{line}: ")
    assert ("not UTF-8" if odd == b"\xff\xfe" else "U+0000") in ended.err


def test_unknown_facts_in_rules_are_all_named_at_once_with_the_nearest(run: Run, folder: Path) -> None:
    file = folder / "config" / "model.yaml"
    rule = replaced(file, "or jobtitle ilike '%head", "or jobtitel ilike '%head")
    where = replaced(file, "properties.role = 'admin'", "proprties.role = 'admin'")
    ended = run("compute", "--project", str(folder))
    assert ended.code == 2
    told = ended.err.splitlines()
    assert len(told) == 2
    assert "unknown name jobtitel; did you mean jobtitle?" in told[0]
    assert int(told[0].split(":")[1]) in range(rule - 3, rule + 1)
    assert told[1].startswith(f"config/model.yaml:{where}: ")
    assert "unknown name proprties.role; did you mean properties.role?" in told[1]


def test_a_value_that_is_not_computed_cannot_be_written(run: Run, ready: tuple[str, ...], project: Path) -> None:
    line = replaced(project / "connectors" / "hubspot.yaml", "active_days\n", "activ_days\n")
    ended = run("check", *ready)
    assert (ended.code, ended.json["ok"]) == (2, False)
    [problem] = ended.json["problems"]
    assert (problem["file"], problem["line"]) == ("connectors/hubspot.yaml", line)
    for text in (problem["problem"], run("sync", *ready).json["error"]):
        assert "activ_days" in text
        assert "did you mean `active_days`?" in text


# -- the CRM's side


def test_a_missing_variable_stops_only_what_needs_it(
    run: Run, project: Path, crm: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ("--project", str(project))
    for unset in (
        lambda: monkeypatch.delenv("HUBSPOT_ACCESS_TOKEN"),
        lambda: monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", ""),
    ):
        unset()
        for command in ("check", "provision", "pull", "plan", "sync"):
            ended = run(command, *here)
            assert ended.code == 2
            assert "connectors/hubspot.yaml:" in ended.err
            assert "HUBSPOT_ACCESS_TOKEN" in ended.err
    assert set(users(run, project)) == {"u1", "u2"}
    assert run("explain", "user", "u1", *here).code == 0
    assert run("status", *here).code == 0
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", crm.token)
    assert run("provision", "--apply", *here).code == 0


def test_a_wrong_token_changes_nothing_and_the_right_one_finishes(
    run: Run, ready: tuple[str, ...], crm: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contact(crm, "ada@acme.example")
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "pat-na1-not-this-one")
    ended = run("sync", "--as-of", NOW, *ready)
    assert ended.code == 6
    assert ended.json["exit"] == 6
    assert "401" in ended.json["errors"]["hubspot"]
    assert "pat-na1-not-this-one" not in ended.out + ended.err
    assert contact(crm, "ada@acme.example") == before
    found = run("check", *ready)
    assert (found.code, found.json["ok"]) == (6, False)
    [problem] = found.json["problems"]
    assert problem["file"] == "connectors/hubspot.yaml"
    assert "401" in problem["problem"]
    refused = run("provision", *ready)
    assert refused.code == 6
    assert "401" in refused.err
    assert "pat-na1-not-this-one" not in found.out + found.err + refused.out + refused.err
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", crm.token)
    assert run("sync", "--as-of", NOW, *ready).json["connectors"]["hubspot"]["contacts"]["written"] == 2


@pytest.mark.parametrize("scope", ["crm.objects.contacts.read", "crm.objects.contacts.write"])
def test_a_missing_scope_is_named(
    run: Run, ready: tuple[str, ...], crm: Sandbox, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    crm.access.allow("narrow", {f"{area}.{right}" for area in FULL for right in ("read", "write")} - {scope})
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "narrow")
    found = run("check", *ready)
    assert found.code == 1
    assert [problem["problem"].split(":")[0] for problem in found.json["problems"]] == [
        f"the token lacks the scope {scope}"
    ]
    ended = run("sync", "--as-of", NOW, *ready)
    assert ended.code == 6
    assert scope in ended.json["errors"]["hubspot"]
    assert "narrow" not in ended.out + ended.err
    assert "engage_user_type" not in contact(crm, "ada@acme.example")
    assert run("show", "users", *ready).code == 0
    crm.access.allow("narrow")
    assert run("sync", "--as-of", NOW, *ready).json["connectors"]["hubspot"]["contacts"]["written"] == 2


def test_a_missing_scope_to_create_fields(
    run: Run, project: Path, crm: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ("--project", str(project), "--json")
    scope = "crm.schemas.contacts.write"
    crm.access.allow("narrow", {f"{area}.{right}" for area in FULL for right in ("read", "write")} - {scope})
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "narrow")
    ended = run("provision", "--apply", *here)
    assert ended.code == 1
    contacts = [field for field in ended.json["fields"] if field["object"] == "contacts"]
    assert all(field["result"] not in {"created", "exists"} for field in contacts)
    assert all(scope in field["message"] for field in contacts)
    companies = [field["result"] for field in ended.json["fields"] if field["object"] == "companies"]
    assert set(companies) == {"created"}


def test_an_unknown_property_to_read(run: Run, ready: tuple[str, ...], project: Path, crm: Sandbox) -> None:
    line = replaced(project / "connectors" / "hubspot.yaml", "read: [lifecyclestage]", "read: [lifecyclestagee]")
    found = run("check", *ready)
    assert found.code == 1
    [problem] = found.json["problems"]
    assert (problem["file"], problem["line"]) == ("connectors/hubspot.yaml", line)
    assert (problem["object"], problem["field"]) == ("contacts", "lifecyclestagee")
    assert problem["problem"] == "contacts has no field lifecyclestagee"
    assert run("sync", "--as-of", NOW, *ready).json["connectors"]["hubspot"]["contacts"]["written"] == 2


def test_an_unknown_property_to_write_refuses_only_the_records_that_need_it(
    run: Run, ready: tuple[str, ...], project: Path, crm: Sandbox
) -> None:
    file = project / "connectors" / "hubspot.yaml"
    line = replaced(file, "\n      engage_link: link\n", "\n      engage_link: link\n      job_tytle: title\n") + 1
    found = run("check", *ready)
    assert found.code == 1
    assert [(p["line"], p["problem"]) for p in found.json["problems"]] == [(line, "contacts has no field job_tytle")]
    ended = run("sync", "--as-of", NOW, *ready)
    assert ended.code == 1
    contacts = ended.json["connectors"]["hubspot"]["contacts"]
    assert (contacts["written"], contacts["refused"]) == (1, 1)
    assert ended.json["connectors"]["hubspot"]["companies"]["written"] == 1
    assert contact(crm, "bo@acme.example")["engage_user_type"] == "zombie"
    [told] = {row["message"] for row in journal(run, ready, ended) if row["status"] == "refused"}
    assert told == "contacts has no field job_tytle; `engage-sync provision --apply` creates it"


def test_a_property_of_the_wrong_type(run: Run, ready: tuple[str, ...], project: Path, crm: Sandbox) -> None:
    file = project / "connectors" / "hubspot.yaml"
    line = replaced(file, "engage_events_30d: events", "engage_events_30d: primary_user_type")
    found = run("check", *ready)
    assert found.code == 1
    [problem] = found.json["problems"]
    assert problem["line"] == line
    assert "engage_events_30d is a number field and cannot hold primary_user_type" in problem["problem"]
    ended = run("sync", "--as-of", NOW, *ready)
    assert ended.code == 1
    assert ended.json["connectors"]["hubspot"]["contacts"]["refused"] == 2
    assert ended.json["connectors"]["hubspot"]["companies"]["written"] == 1
    told = [row["message"] for row in journal(run, ready, ended) if row["status"] == "refused"]
    assert told
    assert all("is a number field and cannot hold primary_user_type" in text for text in told)


def journal(run: Run, here: tuple[str, ...], ended: Ended) -> list[dict[str, str]]:
    found: list[dict[str, str]] = run("runs", str(ended.json["run"]), *here).json["journal"]
    return found


def test_a_trait_of_the_wrong_type_is_unknown_and_the_rest_stands(run: Run, bring: Import, folder: Path) -> None:
    traits = {"seats": "many", "mrr": "1e3", "renewal_date": "soon", "plan": "pro"}
    group = {"type": "group", "messageId": "b1", "userId": "u1", "groupId": "acme", "traits": traits}
    assert bring(lines(group | {"timestamp": "2026-05-20T00:00:00Z"})).code == 0
    users(run, folder)
    [account] = run("show", "accounts", "--json", "--project", str(folder)).json
    assert account["properties"]["seats"] is None
    assert account["seat_use"] is None
    assert account["renewal_date"] is None
    assert account["mrr"] == 1000
    assert account["properties"]["plan"] == "pro"


def test_a_contact_without_an_email(run: Run, ready: tuple[str, ...], crm: Sandbox) -> None:
    nobody = crm.store.create("contacts", {"firstname": "No", "lastname": "Mail"})
    blank = crm.store.create("contacts", {"firstname": "Blank"})
    named = crm.store.create("contacts", {"firstname": "By id", "engage_external_id": "u2"})
    before = crm.store.values("contacts", nobody)
    ended = run("sync", "--as-of", NOW, *ready)
    assert ended.code == 0
    contacts = ended.json["connectors"]["hubspot"]["contacts"]
    assert (contacts["written"], contacts["unlinked"], contacts["ambiguous"]) == (2, 4, 0)
    assert crm.store.values("contacts", nobody) == before
    assert "engage_user_type" not in crm.store.values("contacts", blank)
    assert crm.store.values("contacts", named)["engage_user_type"] == "zombie"
    assert "engage_user_type" not in contact(crm, "bo@acme.example")


def test_two_contacts_with_one_email_are_left_alone_and_listed(run: Run, ready: tuple[str, ...], crm: Sandbox) -> None:
    """HubSpot refuses a second contact with one e-mail today; portals hold some from before."""
    store = crm.store
    twin = store.create("contacts", {"email": "twin@acme.example"})
    with store.lock:
        store.need("contacts", twin).values["email"] = "ADA@acme.example"
    ada = store.find("contacts", "email", "ada@acme.example") or ""
    ended = run("sync", "--as-of", NOW, *ready)
    assert ended.code == 0
    contacts = ended.json["connectors"]["hubspot"]["contacts"]
    assert (contacts["ambiguous"], contacts["written"], contacts["unlinked"]) == (2, 1, 1)
    assert not any(name.startswith("engage_") for record in (ada, twin) for name in store.values("contacts", record))
    assert contact(crm, "bo@acme.example")["engage_user_type"] == "zombie"
    [place] = run("explain", "user", "u1", *ready).json["records"]
    assert place["why"] == f"ambiguous: 2 candidates by e-mail ({ada}, {twin}); nothing is linked or written"
    store.archive("contacts", twin)
    again = run("sync", "--as-of", "2026-06-01T00:00:01Z", *ready).json["connectors"]["hubspot"]["contacts"]
    assert (again["ambiguous"], again["written"]) == (0, 1)


# -- files of messages


def test_a_truncated_gzip_gives_what_is_whole(bring: Import) -> None:
    data = lines(*(track(number, properties={"n": number * 7919 % 10_007}) for number in range(4_000)))
    packed = gzip.compress(data)
    ended = bring(packed[: len(packed) // 2], "cut.jsonl.gz")
    assert ended.code == 1
    read, imported, duplicates, refused = tally(ended)
    assert (duplicates, refused) == (0, 1)
    assert 1_000 < imported == read - 1 < 3_000
    reason = "the gzip file ends in the middle; everything before this line has been read"
    assert rejects(ended) == {imported + 1: reason}
    assert tally(bring(packed, "cut.jsonl.gz")) == (4_000, 4_000 - imported, imported, 0)


def test_bytes_that_are_not_utf8_refuse_their_line(run: Run, bring: Import, folder: Path) -> None:
    latin = json.dumps(track(2, userId="Jörg"), ensure_ascii=False).encode("latin-1")
    ended = bring(lines(track(1)) + latin + b"\n" + lines(track(3, userId="Zoë")) + b"\xff\xfe\xfd\n")
    assert (ended.code, tally(ended)) == (1, (4, 2, 0, 2))
    assert rejects(ended) == {
        2: f"not UTF-8 text: byte {latin.index(0xF6) + 1} of the line cannot be read",
        4: "not UTF-8 text: byte 1 of the line cannot be read",
    }
    table = "type,messageId,userId,event,timestamp\ntrack,c1,Jörg,login,2026-05-01\ntrack,c2,Ann,login,2026-05-01\n"
    ended = bring(table.encode("latin-1"), "more.csv")
    assert (ended.code, tally(ended)) == (1, (2, 1, 0, 1))
    assert rejects(ended) == {2: "not UTF-8 text"}
    assert set(users(run, folder)) == {"u1", "u2", "Zoë", "Ann"}


MEASURED = """
import sys
from pathlib import Path
from engage_sync.cli.main import main
try:
    main()
finally:
    print(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line), file=sys.stderr)
"""
"""The program, and then the most memory it held. The kernel's `ru_maxrss` of a child begins with its parent's."""


def hollow(file: Path, first: bytes, mib: int, last: bytes) -> Path:
    """Write a first line, one of that many MiB of zeros, and a last one; plain, it is a hole that takes no room."""
    with file.open("wb") as out:
        if file.suffix == ".gz":  # members join into one stream
            zeros = [gzip.compress(bytes(32 * 1024**2), 1)] * (mib // 32)
            out.writelines([gzip.compress(first), *zeros, gzip.compress(last)])
        else:
            out.write(first)
            out.seek(mib * 1024**2, os.SEEK_CUR)
            out.write(last)
    return file


def test_a_line_of_640_mib_is_refused_in_flat_memory(folder: Path) -> None:
    header = b"type,messageId,userId,event,timestamp\n"
    files = [
        hollow(folder.parent / "long.jsonl", lines(track(1)), 640, b"\n" + lines(track(2))),
        hollow(folder.parent / "long.jsonl.gz", lines(track(3)), 128, b"\n" + lines(track(4))),
        hollow(folder.parent / "long.csv", header, 128, b"\ntrack,b5,u1,login,2026-05-20\n"),
    ]
    argv = [sys.executable, "-c", MEASURED, "import", *map(str, files), "--json", "--project", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    ended = Ended(done.returncode, done.stdout, done.stderr)
    assert (ended.code, tally(ended)) == (1, (8, 5, 0, 3))
    told = [json.loads(line) for line in Path(ended.json["rejects_file"]).read_text().splitlines()]
    assert [(reject["file"], reject["line"]) for reject in told] == [(str(file), 2) for file in files]
    for reject, mib in zip(told, (640, 128, 128), strict=True):
        assert reject["reason"] == f"the line has {mib * 1024**2:,} bytes; a line may have 16,777,216"
        assert len(reject["text"]) <= 400
    [held] = ended.err.splitlines()
    assert int(held.split()[1]) < 400 * 1024


def test_instants_before_the_year_1_and_in_the_year_9999(run: Run, bring: Import, folder: Path) -> None:
    instants = {
        "-0044-03-15T00:00:00Z": "timestamp is no ISO 8601 instant",
        "9999-12-31T23:59:59Z": "is more than 24 hours ahead of the clock: 9999-12-31T23:59:59+00:00",
        -1: "timestamp is no ISO 8601 instant: -1",
        "10000-01-01T00:00:00Z": "timestamp is no ISO 8601 instant",
        "0000-01-01T00:00:00Z": "timestamp is no ISO 8601 instant",
        "0001-01-01T00:00:00+14:00": "timestamp is no ISO 8601 instant",
        "9999-12-31T23:59:59-14:00": "timestamp is no ISO 8601 instant",
        "0001-01-01T00:00:00Z": None,
        "1969-12-31T23:59:59.999999Z": None,
    }
    ended = bring(lines(*(track(n, timestamp=text, userId="old") for n, text in enumerate(instants))))
    assert (ended.code, tally(ended)) == (1, (9, 2, 0, 7))
    found = rejects(ended)
    for line, (text, reason) in enumerate(instants.items(), 1):
        assert (line in found) == (reason is not None)
        assert reason is None or found[line].startswith(reason)
        assert reason is None or str(text).removesuffix("Z") in found[line]
    old = users(run, folder)["old"]
    assert (old["primary_user_type"], old["last_active_at"]) == ("inactive", "1969-12-31T23:59:59.999999Z")
    assert old["metrics"]["first_active_at"] == "0001-01-01T00:00:00Z"  # type: ignore[index]
    explained = run("explain", "user", "old", "--project", str(folder))
    assert (explained.code, "0001-01-01T00:00:00Z" in explained.out) == (0, True)
    for instant in ("-0044-03-15", "10000-01-01"):
        refused = run("compute", "--as-of", instant, "--project", str(folder))
        assert refused.code == 2
        assert f"--as-of '{instant}' is not an ISO 8601 instant such as 2026-" in refused.err


def test_an_instant_before_everything_has_no_users(run: Run, folder: Path) -> None:
    for instant in ("0001-01-01T00:00:00Z", "0001-01-02"):
        assert run("show", "users", "--as-of", instant, "--json", "--project", str(folder)).json == []


def test_empty_ids_are_no_ids(run: Run, bring: Import, folder: Path) -> None:
    no_one = "names neither a user (userId) nor an account (groupId or context.groupId)"
    both = "an alias needs both previousId and userId"
    alias = {"type": "alias", "timestamp": "2026-05-20T00:00:00Z"}
    data = lines(
        track(1, userId=""),
        track(2, userId="", anonymousId="someone"),
        track(3, userId=None, groupId=""),
        {**alias, "messageId": "b4", "userId": "", "previousId": "u1"},
        {**alias, "messageId": "b5", "userId": "u1", "previousId": ""},
        track(6, userId="", groupId="acme"),
        track(7, groupId="", context={"groupId": ""}),
        track(8, messageId=""),
    )
    ended = bring(data)
    assert (ended.code, tally(ended)) == (1, (8, 3, 0, 5))
    assert rejects(ended) == {1: no_one, 2: no_one, 3: no_one, 4: both, 5: both}
    found = users(run, folder)
    assert set(found) == {"u1", "u2"}
    assert found["u1"]["accounts"] == ["acme"]
    unknown = run("explain", "user", "", "--project", str(folder))
    assert unknown.code == 2
    assert "there is no user ''" in unknown.err


ODD = "o'br\"ien 🦊; DROP TABLE users--"
ODD_ACCOUNT = "ac\"me' 🦊, [red]"
LINK = "o%27br%22ien%20%F0%9F%A6%8A%3B%20DROP%20TABLE%20users--"


def test_ids_with_quotes_and_emoji_go_all_the_way(
    run: Run, ready: tuple[str, ...], crm: Sandbox, bring: Import
) -> None:
    store = crm.store
    fox = store.create("contacts", {"email": "fox@acme.example"})
    firm = store.create("companies", {"name": "Acme 2", "domain": "two.example"})
    at = {"timestamp": "2026-05-01T00:00:00Z", "userId": ODD}
    name = '<b>"Fox"</b> [bold]🦊[/bold]'
    data = lines(
        track(1, userId=ODD),
        {"type": "identify", "messageId": "b2", "traits": {"email": "Fox@acme.example", "name": name}} | at,
        {"type": "group", "messageId": "b3", "groupId": ODD_ACCOUNT, "traits": {"domain": "two.example"}} | at,
        track(4, userId="[bold]x[/bold]"),
        track(5, userId="a/b?c=d#e%20"),
        track(6, userId="-dash"),
    )
    assert (tally(bring(data)), tally(bring(data))) == ((6, 6, 0, 0), (6, 0, 6, 0))
    synced = run("sync", "--as-of", NOW, *ready)
    assert synced.code == 0
    assert synced.json["connectors"]["hubspot"]["contacts"]["written"] == 3
    assert synced.json["connectors"]["hubspot"]["companies"]["written"] == 2
    assert store.values("contacts", fox)["engage_external_id"] == ODD
    assert store.values("contacts", fox)["engage_link"] == f"https://console.example.com/users/{LINK}"
    assert store.values("companies", firm)["engage_external_id"] == ODD_ACCOUNT
    shown = {row["external_id"]: row for row in run("show", "users", *ready).json}
    assert set(shown) == {"u1", "u2", ODD, "[bold]x[/bold]", "a/b?c=d#e%20", "-dash"}
    assert (shown[ODD]["name"], shown[ODD]["accounts"]) == (name, [ODD_ACCOUNT])
    assert shown[ODD]["links"]["hubspot"]["id"] == fox
    here = ready[:2]
    table = run("show", "users", *here).out
    assert all(text in table for text in (ODD, "[bold]x[/bold]"))
    explained = run("explain", "user", ODD, *here)
    assert (explained.code, f"user {ODD}  {name} · fox@acme.example" in explained.out) == (0, True)
    assert run("explain", "user", ODD, *ready).json["external_id"] == ODD
    assert run("explain", "account", ODD_ACCOUNT, *ready).json["external_id"] == ODD_ACCOUNT
    assert f"account {ODD_ACCOUNT}" in run("explain", "account", ODD_ACCOUNT, *here).out
    assert run("explain", *ready, "user", "--", "-dash").json["external_id"] == "-dash"
    unknown = run("explain", "user", ODD[:-1], *here)
    assert (unknown.code, f"did you mean {ODD}" in unknown.err) == (2, True)
    again = run("sync", "--as-of", NOW, *ready).json
    assert again["calls"]["write"] == 0
    assert again["connectors"]["hubspot"]["contacts"]["unchanged"] == 3


# -- the disk


CRAMPED = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
from engage_sync.cli.main import main
main()
"""
"""The program while no file may grow beyond 60 kB: that breaks a write where a full disk does, and needs none."""


def cramped(file: Path, folder: Path) -> Ended:
    """Import on a disk that is too small."""
    process = fork(CRAMPED, "import", str(file), "--json", "--project", str(folder))
    out, err = process.communicate()
    return Ended(process.wait(), out, err)


def test_a_full_disk_while_importing_keeps_what_was_there(run: Run, bring: Import, folder: Path) -> None:
    assert tally(bring(lines(track(-1)))) == (1, 1, 0, 0)
    file = folder.parent / "big.jsonl"
    count = 8_000
    file.write_bytes(lines(*(track(n, properties={"text": f"{n * 7919 % 10_007:060d}"}) for n in range(count))))
    stored = sorted((folder / "var").rglob("*.parquet"))
    ended = cramped(file, folder)
    assert ended.code == 5
    assert ended.json["exit"] == 5
    assert ended.json["error"].startswith(f"The event store {folder}/var/events cannot be ")
    assert ended.err.endswith(f"engage-sync: {ended.json['error']}\n")
    assert "Traceback" not in ended.err
    assert sorted((folder / "var").rglob("*.parquet")) == stored
    assert users(run, folder)["u1"]["metrics"]["events"] == 3  # type: ignore[index]
    again = run("import", str(file), "--json", "--project", str(folder))
    assert (again.code, tally(again)) == (0, (count, count, 0, 0))


def test_a_disk_too_full_for_the_rejects(run: Run, folder: Path) -> None:
    """The last lines do not fit, which the system tells when the file is closed."""
    file = folder.parent / "bad.jsonl"
    reject = {
        "file": str(file),
        "line": 100,
        "reason": "not JSON: Expecting value at character 1",
        "text": "no good 100",
    }
    count = 62_000 // len(json.dumps(reject))
    file.write_bytes(lines(track(1), *(f"no good {n}" for n in range(count))))
    ended = cramped(file, folder)
    assert ended.code == 5
    assert ended.json["error"] == f"The rejects file in {folder}/var/rejects cannot be written: File too large"
    assert ended.err == f"engage-sync: {ended.json['error']}\n"
    again = run("import", str(file), "--json", "--project", str(folder))
    assert again.code == 1
    assert (again.json["read"], again.json["refused"]) == (count + 1, count)
    assert len(rejects(again)) == count
    assert users(run, folder)["u1"]["metrics"]["events"] == 3  # type: ignore[index]
