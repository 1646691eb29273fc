from __future__ import annotations

import os
import re
import signal

import pytest

from engage_sync.errors import Locked
from engage_sync.state.store import State
from tests.forks import fork

from .conftest import Place

HOLDER = """
import sys
from pathlib import Path
from engage_sync.state.store import State
state = State.open(sys.argv[1], key_file=Path(sys.argv[2]))
with state.lock("nightly push"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_run_at_a_time_and_the_other_is_named(place: Place, state: State) -> None:
    with state.lock("sync"), place.open() as other:
        with (
            pytest.raises(Locked, match=rf"sync \(process {os.getpid()}\) since \d{{4}}-\d\d-\d\dT"),
            other.lock("push"),
        ):
            pytest.fail("two runs at once")
        with pytest.raises(Locked), state.lock("push"):
            pytest.fail("two runs at once")
    with state.lock("push"):
        pass


def test_an_error_inside_frees_it_and_passes_as_it_is(state: State) -> None:
    with pytest.raises(OSError, match="no space left"), state.lock("sync"):
        raise OSError("no space left on device")
    with state.lock("sync"):
        pass


def test_what_is_given_up_is_free_at_once(state: State) -> None:
    """PostgreSQL frees a lock some time after its connection is closed: it has to be told."""
    taken = 0
    for _ in range(100):
        with state.lock("sync"):
            taken += 1
    assert taken == 100


def test_readers_and_writers_do_not_need_it(place: Place, state: State) -> None:
    with state.lock("sync"), place.open() as other:
        other.set_note("a", "b")
        assert state.note("a") == "b"


def test_a_killed_process_frees_it(place: Place, state: State) -> None:
    holder = fork(HOLDER, place.url, str(place.key_file), stdin=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Locked, match=re.escape(f"nightly push (process {holder.pid})")), state.lock("sync"):
        pytest.fail("two runs at once")
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    for _ in range(10_000):
        # PostgreSQL frees the lock when it notices that the connection is gone.
        try:
            with state.lock("sync"):
                break
        except Locked:
            continue
    else:
        pytest.fail("the lock of a dead process stayed")


def test_a_lock_file_without_text_is_no_trouble(place: Place, state: State) -> None:
    with state.lock("sync"):
        if place.dialect == "sqlite":
            place.file().with_name("engage.db.lock").write_text("")
        with pytest.raises(Locked, match="another run holds the lock"), state.lock("push"):
            pytest.fail("two runs at once")
