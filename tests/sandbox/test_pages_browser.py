"""The sandbox's pages in a real browser, as a customer-success manager uses them: find a person, read the card, go to
the company; on a wide and a narrow screen, with scripts and without."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from engage_sync.sandbox.properties import Group, Option, Property
from tests.sandbox.conftest import Client, Clock

QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
EVIL = "<script>document.title='owned'</script>"
LONG = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenherstellergenossenschaft"
NARROW = 360


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.fail("this test needs a Chromium on the PATH: install it with `make browser`", pytrace=False)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=QUIET)
        yield running
        running.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Browser, office: Client) -> Iterator[Page]:
    context = browser.new_context(
        base_url=office.sandbox.base_url,
        java_script_enabled=getattr(request, "param", True),
        viewport={"width": 1100, "height": 900},
    )
    context.set_default_timeout(30_000)
    shown = context.new_page()
    asked: list[str] = []
    shown.on("request", lambda request: asked.append(request.url))
    yield shown
    context.close()
    foreign = [url for url in asked if not url.startswith((f"{office.sandbox.base_url}/", "data:"))]
    assert foreign == [], "the pages load nothing from elsewhere"
    assert not any(url.endswith(("favicon.ico", ".js", ".css")) for url in asked)


@pytest.fixture
def office(crm: Client, clock: Clock) -> Client:
    """Two companies and four people, with our fields on them; nothing of ours has been written yet."""
    store = crm.sandbox.store
    types = (Option("Power user", "power"), Option("Influencer", "influencer"), Option("Active", "active"))
    for name in ("contacts", "companies"):
        store.type(name).add_group(Group("engage", "Engage"))
    person = store.type("contacts")
    person.add(Property("engage_types", "User types", "enumeration", "checkbox", "engage", options=types))
    person.add(Property("engage_lapsed", "Lapsed influencer", "bool", "booleancheckbox", "engage"))
    person.add(Property("engage_active", "Last active", "datetime", "date", "engage"))
    person.add(Property("engage_events", "Events in 30 days", "number", "number", "engage"))
    person.add(Property("engage_link", "Open in engage", "string", "text", "engage"))
    store.type("companies").add(Property("engage_users", "Active users", "number", "number", "engage"))
    acme = store.create("companies", {"name": "Acme 🦊 & Sons", "domain": "acme.example", "city": "Graz"})
    store.create("companies", {"name": LONG, "domain": "long.example"})
    ann = {"email": "ann@acme.example", "firstname": "Ann", "lastname": "O'Neil", "jobtitle": "CTO", "city": "Graz"}
    for row in (
        ann,
        {"email": "evil@acme.example", "firstname": EVIL, "lastname": "🚀 Größe"},
        {"email": f"{'x' * 60}@{'y' * 60}.example", "firstname": LONG, "jobtitle": LONG},
        {"email": "zoe@else.example", "firstname": "Zoë"},
    ):
        store.create("contacts", row)
    for contact in ("501", "502", "503"):
        store.employ(contact, acme)
    for subject in (LONG, EVIL):
        task = store.create("tasks", {"hs_task_subject": subject, "hs_task_body": LONG, "hs_timestamp": "2026-09-01"})
        store.associate(task, "contacts", "503")
    clock.advance(3600)
    return crm


def write(office: Client, **values: str) -> None:
    """Write as the product does: one batch over HTTP."""
    office.post("/crm/v3/objects/contacts/batch/update", {"inputs": [{"id": "501", "properties": values}]})
    assert office.status == 200


def card(page: Page, title: str) -> dict[str, str]:
    """Read what a card says: label to value."""
    section = page.locator("section.card").filter(has=page.get_by_role("heading", name=title, exact=True))
    labels = section.locator("dt").all_inner_texts()
    return dict(zip(labels, (" ".join(text.split()) for text in section.locator("dd").all_inner_texts()), strict=True))


def history(page: Page) -> list[list[str]]:
    rows = page.locator("tbody tr").all()
    return [[" ".join(text.split()) for text in row.locator("td").all_inner_texts()] for row in rows]


WIDER = """() => [...document.querySelectorAll("html, header, .card, .scroll")]
    .filter(part => part.scrollWidth > part.clientWidth).map(part => part.className || part.tagName)"""
"""What is wider than its place: the page would scroll sideways, a card would cut its text."""


@pytest.mark.parametrize("page", [True, False], ids=["scripts", "no_scripts"], indirect=True)
def test_a_manager_finds_a_person_and_sees_what_changed(page: Page, office: Client, clock: Clock) -> None:
    page.goto("/")
    page.get_by_role("searchbox").fill("o'neil acme")
    page.get_by_role("searchbox").press("Enter")
    assert page.locator("ul.rows .t").all_inner_texts() == ["Ann O'Neil"]
    assert page.get_by_role("searchbox").input_value() == "o'neil acme"
    page.get_by_role("link", name="Ann O'Neil").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Ann O'Neil"
    nothing = ("User types", "Lapsed influencer", "Last active", "Events in 30 days", "Open in engage")
    assert card(page, "engage") == dict.fromkeys(nothing, "–")
    assert history(page) == [["1 Jun 2026, 12:00", "a person in the CRM", "Record created", ""]]

    link = "https://console.example.com/users/u%201"
    write(
        office,
        engage_types="influencer;power",
        engage_lapsed="false",
        engage_active="2026-05-31T13:00:00Z",
        engage_events="1204",
        engage_link=link,
    )
    clock.advance(60)
    office.sandbox.store.update("contacts", "501", {"jobtitle": "CEO"}, source="CRM_UI:Dana Weber")
    clock.advance(60)
    write(office, engage_events="1301")
    page.reload()
    assert card(page, "engage") == {
        "User types": "Influencer Power user",
        "Lapsed influencer": "No",
        "Last active": "31 May 2026, 13:00",
        "Events in 30 days": "1301",
        "Open in engage": link,
    }
    assert page.get_by_role("link", name=link).get_attribute("href") == link
    assert card(page, "About")["Job Title"] == "CEO"
    assert history(page)[:2] == [
        ["1 Jun 2026, 13:02", "engage-sync", "Events in 30 days", "1204 1301"],
        ["1 Jun 2026, 13:01", "Dana Weber", "Job Title", "CTO CEO"],
    ]
    assert page.locator("tbody tr").first.locator("del").inner_text() == "1204"
    assert {row[1] for row in history(page)[2:-1]} == {"engage-sync"}

    page.get_by_role("link", name="Acme 🦊 & Sons").click()
    assert page.url.endswith("/companies/9001")
    assert card(page, "About")["City"] == "Graz"
    assert card(page, "engage") == {"Active users": "–"}
    people = page.locator("ul.rows li").filter(has_text="Ann O'Neil")
    assert people.locator(".chip").all_inner_texts() == ["Influencer", "Power user"]


def test_names_are_shown_as_they_are_written(page: Page, office: Client) -> None:
    page.goto("/?q=evil@acme.example")
    page.get_by_role("link", name=EVIL).click()
    assert page.get_by_role("heading", level=1).inner_text() == f"{EVIL} 🚀 Größe"
    assert page.locator("script").count() == 0
    assert page.title() == f"{EVIL} 🚀 Größe · Sandbox CRM"
    page.goto(f"/?q={EVIL} nobody")
    assert page.get_by_role("searchbox").input_value() == f"{EVIL} nobody"
    assert page.locator("p.empty").first.inner_text() == f"Nobody and nothing matches “{EVIL} nobody”."
    assert page.locator("script").count() == 0


def test_a_narrow_screen_needs_no_sideways_scroll(page: Page, office: Client) -> None:
    write(office, engage_types="active;influencer;power", engage_link=f"https://console.example.com/users/{'9' * 90}")
    page.set_viewport_size({"width": NARROW, "height": 740})
    for path in ("/", "/?q=acme", "/?q=nobody", "/contacts/501", "/contacts/503", "/companies/9002"):
        page.goto(path)
        assert page.evaluate("innerWidth") == NARROW
        assert (path, page.evaluate(WIDER)) == (path, [])


def test_a_wrong_address_leads_back(page: Page) -> None:
    page.goto("/contacts/9")
    page.get_by_role("link", name="Back to all records").click()
    page.wait_for_url("**/")
    assert page.locator("ul.rows .t").count() == 6


def test_the_keyboard_reaches_a_person(page: Page, office: Client) -> None:
    page.goto("/?q=zoe@else.example")
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/contacts/504")
    assert page.get_by_role("heading", level=1).inner_text() == "Zoë"
