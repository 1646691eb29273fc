"""The guide, followed word by word from an empty folder to fields in the CRM; its table of symptoms quotes what the
program says."""

from __future__ import annotations

import ast
import re
import sys
import time
from collections.abc import Iterator

import pytest
import requests

from engage_sync.sandbox import server
from tests.docs import guide

TEN_MINUTES = 600.0
"""An operator's time from nothing to fields in the CRM, of which the machine takes a small part."""


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[guide.Window, list[guide.Typed]]]:
    """Everything that the guide tells to type, typed."""
    began = time.monotonic()
    with guide.window(tmp_path_factory.mktemp("guide")) as window:
        typed = [window.type(block) for block in guide.blocks()]
        took = time.monotonic() - began
        sys.stdout.write(f"the guide took {took:.1f} s\n")
        assert took < TEN_MINUTES
        yield window, typed


Followed = tuple[guide.Window, list[guide.Typed]]


def test_every_block_ends_as_the_guide_says(followed: Followed) -> None:
    _, typed = followed
    assert len(typed) >= 15
    wrong = [
        (one.block.page, one.block.text, one.code, one.out[-2000:], one.err)
        for one in typed
        if one.code != one.block.code
    ]
    assert wrong == []


def test_the_fields_are_in_the_crm(followed: Followed) -> None:
    """As the stand-in's own interface tells, not as our program does."""
    window, _ = followed
    fields = "email,engage_user_type,engage_segments,engage_reasons,engage_external_id"
    answer = requests.get(
        f"http://127.0.0.1:{window.port}/crm/v3/objects/contacts",
        params={"limit": "100", "properties": fields},
        headers={"Authorization": f"Bearer {server.TOKEN}"},
        timeout=10,
    )
    written = [one["properties"] for one in answer.json()["results"] if one["properties"].get("engage_external_id")]
    assert len(written) > 50
    assert {one["engage_user_type"] for one in written} >= {"active", "inactive", "zombie"}
    assert all(one["engage_reasons"] for one in written if one["engage_user_type"])


def test_one_segment_first_then_all_then_none(followed: Followed) -> None:
    _, typed = followed
    pushes = [one.out for one in typed if re.search(r"^engage-sync sync$", one.block.text, re.M)]
    runs = [re.search(r"^Run \d+: ok, \d+ read and (\d+) write calls\.$", out, re.M) for out in pushes]
    few, all_, none = (int(run[1]) for run in runs if run is not None)
    assert 0 < few < all_
    assert none == 0
    outside = [[int(count) for count in re.findall(r"(\d+) outside", out)] for out in pushes]
    assert [len(counts) for counts in outside] == [8, 0, 0], "of four objects: in the plan, and in the run"
    assert outside[0][:4] == outside[0][4:]
    assert min(outside[0]) > 10


def test_every_link_of_the_guide_leads_somewhere() -> None:
    pages = [*guide.GUIDE.glob("*.md")]
    broken = [
        (page.name, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert broken == []
    assert {page.name for page in pages} == {*guide.PAGES, "README.md", "troubleshoot.md"}


def test_what_the_table_of_symptoms_quotes_is_said_by_the_program() -> None:
    """Each quoted sentence stands, word for word, in one text of the source; … is what the program fills in."""
    page = (guide.GUIDE / "troubleshoot.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!you see|---)(.+?) \| .+ \| .+ \|$", page, re.M)
    quoted = [quote for row in rows for quote in re.findall(r"`([^`]+)`", row) if " " in quote]
    assert len(rows) >= 40
    assert len(quoted) >= 35
    said = list(texts())
    assert [quote for quote in quoted if not any(_within(quote, text) for text in said)] == []


def _within(quote: str, text: str) -> bool:
    return re.search(".*".join(map(re.escape, quote.split("…"))), text, re.S) is not None


def texts() -> Iterator[str]:
    """Give every text of the source but what only its readers see, with … where the program fills in."""
    rooms = ("cli", "config", "connectors", "core", "events", "server", "state", "sync")
    for path in (path for room in rooms for path in (guide.ROOT / "src" / "engage_sync" / room).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        comments = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in comments:
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)


def test_recordings_show_nothing_of_the_machine_that_made_them() -> None:
    drawn = [path for path in (guide.GUIDE / "recordings").iterdir() if path.suffix in {".txt", ".svg"}]
    assert len(drawn) >= 10
    foreign = re.compile(r"/(?:tmp|home|root|work|dev)/|127\.0\.0\.1:(?!809[01])|url\(\"?http|Traceback")
    assert [path.name for path in drawn if foreign.search(path.read_text(encoding="utf-8"))] == []
