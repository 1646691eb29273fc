"""The record page as a customer-success manager sees it."""

from __future__ import annotations

import pytest

from engage_sync.sandbox.properties import Group, Option, Property
from tests.sandbox.conftest import Client, Clock


@pytest.fixture
def crm(crm: Client) -> Client:
    store = crm.sandbox.store
    type_ = store.type("contacts")
    type_.add_group(Group("engage", "Engage"))
    options = (Option("Power user", "power"), Option("Active", "active"))
    type_.add(Property("engage_types", "User types", "enumeration", "checkbox", "engage", options=options))
    type_.add(Property("engage_at", "Last active", "datetime", "date", "engage"))
    type_.add(Property("engage_link", "Open in engage", "string", "text", "engage"))
    store.create("companies", {"name": "Acme & Sons", "domain": "acme.io"})
    store.create(
        "contacts", {"email": "ann@acme.io", "firstname": "Ann", "lastname": "<b>O'Neil</b>", "jobtitle": "CTO"}
    )
    store.employ("501", "9001")
    return crm


def page(crm: Client, path: str) -> str:
    crm.token = None
    answer = crm.pool.request("GET", crm.sandbox.base_url + path)
    crm.status = answer.status
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return answer.data.decode()


def test_a_contact(crm: Client, clock: Clock) -> None:
    store = crm.sandbox.store
    clock.advance(60)
    values = {"engage_types": "power;active", "engage_link": "https://console.example.com/users/u%201"}
    store.update("contacts", "501", values, source="INTEGRATION:engage-sync")
    store.update("contacts", "501", {"jobtitle": "CEO"}, source="CRM_UI:Dana Weber")
    shown = page(crm, "/contacts/501")
    assert crm.status == 200
    for text in ("ann@acme.io", "CEO", "Power user</span>", "Active</span>", "User types", "Dana Weber", "engage-sync"):
        assert text in shown
    assert '<a href="/companies/9001">Acme &amp; Sons</a>' in shown
    assert '<a href="https://console.example.com/users/u%201"' in shown
    assert '<dt>Last active</dt><dd><span class="none">–</span></dd>' in shown
    assert "<del>CTO</del> CEO" in shown
    assert "<b>O" not in shown
    assert "Ann &lt;b&gt;O&#39;Neil" in shown
    assert "<script" not in shown


def test_only_web_addresses_become_links(crm: Client) -> None:
    crm.sandbox.store.update("contacts", "501", {"engage_link": "javascript:alert(1)"})
    assert 'href="javascript' not in page(crm, "/contacts/501")


def test_a_company_and_its_people(crm: Client) -> None:
    shown = page(crm, "/companies/9001")
    assert "acme.io" in shown
    assert 'href="/contacts/501"' in shown


def test_the_list_and_its_search_box(crm: Client) -> None:
    crm.sandbox.store.create("contacts", {"email": "bob@else.io"})
    assert all(path in page(crm, "/") for path in ("/contacts/501", "/contacts/502", "/companies/9001"))
    found = page(crm, "/?q=ACME")
    assert "/contacts/501" in found
    assert "/companies/9001" in found
    assert "/contacts/502" not in found
    assert "&lt;script&gt;" in page(crm, "/?q=<script>")


def test_merged_and_archived_records_say_so(crm: Client) -> None:
    store = crm.sandbox.store
    other = store.create("contacts", {"email": "o@acme.io"})
    merged = store.merge("contacts", "501", other)
    shown = page(crm, "/contacts/501")
    assert f"Merged from 501 and {other}." in shown
    assert "o@acme.io" in shown
    store.archive("contacts", merged)
    assert "recycle bin" in page(crm, f"/contacts/{merged}")


@pytest.mark.parametrize("path", ["/contacts/999", "/contacts/x", "/deals/1", "/nothing"])
def test_pages_that_are_not_there(crm: Client, path: str) -> None:
    assert "Back to all records" in page(crm, path)
    assert crm.status == 404
