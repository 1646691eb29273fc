"""The records without HTTP: what a person or another program may do to a CRM."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from engage_sync.sandbox.properties import Group, Property
from engage_sync.sandbox.refusal import Refused
from engage_sync.sandbox.store import Store
from tests.sandbox.conftest import Clock


@pytest.fixture
def store(clock: Clock) -> Store:
    return Store(clock=clock)


def with_unique(store: Store) -> Store:
    type_ = store.type("contacts")
    type_.add_group(Group("engage", "Engage"))
    type_.add(Property("engage_uid", "Id", "string", "text", "engage", unique=True))
    return store


def test_a_new_record_has_an_id_and_both_instants(store: Store) -> None:
    first = store.create("contacts", {"email": "Ann@Example.com"})
    assert first == "501"
    assert store.values("contacts", first) == {
        "email": "ann@example.com",
        "createdate": "2026-06-01T12:00:00.000Z",
        "lastmodifieddate": "2026-06-01T12:00:00.000Z",
        "hs_object_id": "501",
    }
    assert store.create("companies", {"name": "Acme"}) == "9001"


def test_every_write_moves_the_last_modified_instant_but_only_changes_are_edits(store: Store, clock: Clock) -> None:
    record = store.create("contacts", {"email": "a@b.co", "phone": "1"})
    clock.advance(5)
    store.update("contacts", record, {"phone": "2", "city": ""}, source="CRM_UI:Dana")
    clock.advance(5)
    store.update("contacts", record, {"phone": "2"})
    assert store.values("contacts", record)["lastmodifieddate"] == "2026-06-01T12:00:10.000Z"
    at = int((clock.now - timedelta(seconds=5)).timestamp() * 1000)
    assert store.edits("contacts", record) == [(at, "CRM_UI:Dana", "phone", "1", "2")]


def test_an_empty_value_clears(store: Store) -> None:
    record = store.create("contacts", {"email": "a@b.co", "phone": "1"})
    store.update("contacts", record, {"phone": ""})
    assert "phone" not in store.values("contacts", record)


def test_an_email_belongs_to_one_live_contact(store: Store) -> None:
    first = store.create("contacts", {"email": "a@b.co"})
    with pytest.raises(Refused, match=r"Contact already exists\. Existing ID: 501") as refused:
        store.create("contacts", {"email": "A@B.co"})
    assert (refused.value.status, refused.value.category) == (409, "CONFLICT")
    store.archive("contacts", first)
    second = store.create("contacts", {"email": "a@b.co"})
    with pytest.raises(Refused, match=f"Existing ID: {second}"):
        store.restore("contacts", first)


def test_companies_may_share_a_domain(store: Store) -> None:
    ids = [store.create("companies", {"domain": domain}) for domain in ("acme.io", "https://ACME.io/about")]
    assert [store.values("companies", i)["domain"] for i in ids] == ["acme.io", "acme.io"]


def test_archive_and_restore(store: Store, clock: Clock) -> None:
    record = store.create("contacts", {"email": "a@b.co"})
    store.archive("contacts", record)
    assert store.ids("contacts") == []
    assert store.ids("contacts", archived=True) == [record]
    snapshot = store.get("contacts", record)
    assert snapshot is not None
    assert snapshot.archived
    with pytest.raises(Refused):
        store.update("contacts", record, {"phone": "1"})
    clock.advance(1)
    store.restore("contacts", record)
    assert store.ids("contacts") == [record]
    assert store.values("contacts", record)["lastmodifieddate"] == "2026-06-01T12:00:01.000Z"
    assert store.find("contacts", "email", "a@b.co") == record


def test_a_merge_mints_an_id_and_both_old_ids_lead_to_it(store: Store) -> None:
    winner = store.create("contacts", {"email": "w@b.co", "city": "Bonn"})
    loser = store.create("contacts", {"email": "l@b.co", "city": "Rome", "phone": "7"})
    merged = store.merge("contacts", winner, loser)
    assert merged not in (winner, loser)
    assert store.ids("contacts") == [merged]
    assert store.ids("contacts", archived=True) == []
    for asked in (winner, loser, merged):
        values = store.values("contacts", asked)
        assert values["hs_object_id"] == merged
        assert (values["email"], values["hs_additional_emails"]) == ("w@b.co", "l@b.co")
        assert (values["city"], values["phone"]) == ("Bonn", "7")
        assert values["hs_merged_object_ids"] == f"{winner};{loser}"
    assert store.find("contacts", "email", "l@b.co") == merged
    assert store.update("contacts", loser, {"phone": "8"}) == merged


def test_chained_merges_keep_all_ids_except_where_hubspot_forgets(store: Store) -> None:
    a, b, c = (store.create("contacts", {"email": f"{n}@b.co"}) for n in "abc")
    last = store.merge("contacts", store.merge("contacts", a, b), c)
    values = store.values("contacts", a)
    assert values["hs_object_id"] == last
    assert values["hs_merged_object_ids"] == f"{a};{b};504;{c}"
    assert a not in values["hs_calculated_merged_vids"]
    assert values["hs_additional_emails"] == "b@b.co;c@b.co"


def test_a_merge_may_keep_the_winners_id(clock: Clock) -> None:
    store = Store(clock=clock, merge_mints_id=False)
    a, b = (store.create("contacts", {"email": f"{n}@b.co"}) for n in "ab")
    assert store.merge("contacts", a, b) == a
    assert store.values("contacts", b)["hs_object_id"] == a
    assert store.ids("contacts") == [a]


def test_merging_needs_two_live_records(store: Store) -> None:
    a = store.create("contacts", {"email": "a@b.co"})
    with pytest.raises(Refused, match="itself"):
        store.merge("contacts", a, a)
    with pytest.raises(Refused):
        store.merge("contacts", a, "999")


def test_erased_means_gone(store: Store) -> None:
    record = store.create("contacts", {"email": "a@b.co"})
    store.erase("contacts", record)
    assert store.get("contacts", record) is None
    assert store.find("contacts", "email", "a@b.co") is None
    assert store.create("contacts", {"email": "a@b.co"}) != record


def test_unique_values_of_our_own_property(store: Store) -> None:
    with_unique(store)
    a = store.create("contacts", {"email": "a@b.co", "engage_uid": "u-1"})
    b = store.create("contacts", {"email": "b@b.co"})
    with pytest.raises(Refused, match="501 already has that value") as refused:
        store.update("contacts", b, {"engage_uid": "u-1"})
    assert refused.value.details[0].code == "CONFLICTING_UNIQUE_VALUE"
    store.update("contacts", a, {"engage_uid": "u-2"})
    store.update("contacts", b, {"engage_uid": "u-1"})
    assert store.find("contacts", "engage_uid", "u-1") == b


def test_a_refused_update_changes_nothing(store: Store) -> None:
    record = store.create("contacts", {"email": "a@b.co", "phone": "1"})
    with pytest.raises(Refused, match="does not exist"):
        store.update("contacts", record, {"phone": "2", "nope": "3"})
    assert store.values("contacts", record)["phone"] == "1"
    assert store.edits("contacts", record) == []


def test_bulk_rows_may_carry_read_only_instants_and_further_addresses(store: Store) -> None:
    stamp = "2024-02-03T04:05:06.789Z"
    ids = store.create_many(
        "contacts",
        [
            {
                "email": "a@b.co",
                "lastmodifieddate": stamp,
                "createdate": "2020-01-01",
                "hs_additional_emails": "z@b.co",
            },
            {"email": "", "firstname": "Nobody"},
        ],
    )
    values = store.values("contacts", ids[0])
    assert (values["lastmodifieddate"], values["createdate"]) == (stamp, "2020-01-01T00:00:00.000Z")
    assert store.find("contacts", "email", "Z@b.co") == ids[0]
    assert "email" not in store.values("contacts", ids[1])
    assert store.ids("contacts") == ids


def test_bulk_rows_are_all_or_nothing(store: Store) -> None:
    for rows in ([{"email": "a@b.co"}, {"email": "A@b.co"}], [{"email": "a@b.co"}, {"nope": "1"}], [{"email": "nope"}]):
        with pytest.raises(Refused):
            store.create_many("contacts", rows)
    assert store.ids("contacts") == []


def test_people_and_their_company(store: Store) -> None:
    person, firm = store.create("contacts", {"email": "a@b.co"}), store.create("companies", {"name": "B"})
    other = store.create("companies", {"name": "C"})
    store.employ(person, firm)
    assert store.employees(firm) == [person]
    merged = store.merge("companies", other, firm)
    assert store.employer(person) == merged
    assert store.values("contacts", person)["associatedcompanyid"] == merged


def test_many_threads_lose_no_write(store: Store) -> None:
    record = store.create("contacts", {"email": "a@b.co"})

    def work(name: str) -> None:
        for n in range(50):
            store.update("contacts", record, {name: str(n)})
            store.create("contacts", {"email": f"{name}{n}@b.co"})

    threads = [threading.Thread(target=work, args=(name,)) for name in ("phone", "city", "country")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.ids("contacts")) == 151
    assert len(store.edits("contacts", record)) == 150
