from __future__ import annotations

import stat

import psycopg
import pytest

from engage_sync.errors import Mistake
from engage_sync.state.store import State

from .conftest import Place

SECRET = "refresh-token-d0c77b"


def raw(place: Place) -> bytes:
    if place.dialect == "sqlite":
        return b"".join(path.read_bytes() for path in place.file().parent.glob("engage.db*"))
    with psycopg.connect(place.driver_uri()) as connection:
        return b"".join(bytes(row[0]) for row in connection.execute("SELECT secret FROM engage_memory"))


def test_what_is_put_is_there_for_that_connector(place: Place, state: State) -> None:
    memory = state.memory("crm")
    assert memory.get("token") is None
    memory.put("token", SECRET)
    memory.put("token", f"{SECRET} 😀")
    with place.open() as again:
        assert again.memory("crm").get("token") == f"{SECRET} 😀"
        assert again.memory("other").get("token") is None
        again.memory("crm").put("token", None)
    assert memory.get("token") is None


def test_the_database_never_holds_it_in_clear(place: Place, state: State) -> None:
    state.memory("crm").put("token", SECRET)
    held = raw(place)
    assert len(held) > len(SECRET)
    assert SECRET.encode() not in held


def test_the_key_is_for_its_owner_alone(place: Place, state: State) -> None:
    state.memory("crm").put("token", SECRET)
    assert stat.S_IMODE(place.key_file.stat().st_mode) == 0o600
    assert SECRET.encode() not in place.key_file.read_bytes()
    assert [path.name for path in place.key_file.parent.iterdir() if "key" in path.name] == ["key"]


def test_another_key_gets_a_sentence(place: Place, state: State) -> None:
    state.memory("crm").put("token", SECRET)
    place.key_file.unlink()
    with pytest.raises(Mistake, match="another key") as caught:
        state.memory("crm").get("token")
    assert SECRET not in str(caught.value)
    state.memory("crm").put("token", "anew")
    assert state.memory("crm").get("token") == "anew"


def test_a_broken_key_file_gets_a_sentence(place: Place, state: State) -> None:
    place.key_file.write_text("no key")
    with pytest.raises(Mistake, match="holds no key"):
        state.memory("crm").put("token", SECRET)


def test_notes(place: Place, state: State) -> None:
    assert state.note("crm.account") is None
    state.set_note("crm.account", "portal 1's 😀")
    state.set_note("crm.account", "portal 2")
    with place.open() as again:
        assert again.note("crm.account") == "portal 2"
    state.set_note("crm.account", None)
    assert state.note("crm.account") is None
