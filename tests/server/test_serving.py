from __future__ import annotations

import socket
import threading
from contextlib import ExitStack

import pytest

from engage_sync.errors import Mistake
from engage_sync.server.app import create
from engage_sync.server.serving import Door, Served, serving

from .asking import ask
from .views import FULL

APP = create(lambda: FULL)


def test_a_taken_port_is_told_in_a_sentence() -> None:
    with (
        serving(APP, "127.0.0.1", 0) as served,
        pytest.raises(Mistake, match=rf"cannot listen on 127\.0\.0\.1:{served.port}: Address already in use; `server`"),
        serving(APP, "127.0.0.1", served.port),
    ):
        pytest.fail("two servers on one port")


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a" * 300, ".."])
def test_an_address_that_is_not_ours_is_told_in_a_sentence(host: str) -> None:
    with (
        pytest.raises(Mistake, match=r"cannot listen on .*; `server` in config/engage\.yaml names"),
        serving(APP, host, 0),
    ):
        pytest.fail("that cannot be listened on")


def test_it_ends_cleanly_and_its_port_is_free_again() -> None:
    with serving(APP, "127.0.0.1", 0) as served:
        assert ask(served, "/healthz").status == 200
        idle = socket.create_connection((served.host, served.port))  # a scraper that keeps its connection
        named = [thread.name for thread in threading.enumerate()]
        assert "http" in named
    assert "http" not in [thread.name for thread in threading.enumerate()]
    idle.close()
    with serving(APP, "127.0.0.1", served.port) as again:
        assert ask(again, "/healthz").status == 200


def test_it_ends_while_somebody_is_answered() -> None:
    going, free = threading.Event(), threading.Event()

    def slow() -> object:
        going.set()
        free.wait(20)
        return FULL

    with serving(create(slow), "127.0.0.1", 0) as served:  # type: ignore[arg-type]
        got: list[int] = []
        asking = threading.Thread(target=lambda: got.append(ask(served, "/readyz").status))
        asking.start()
        assert going.wait(10)
        threading.Timer(0.2, free.set).start()
    asking.join(10)
    assert got == [200]


def test_silent_connections_keep_nobody_from_an_answer() -> None:
    with serving(APP, "127.0.0.1", 0) as served, ExitStack() as open_:
        for _ in range(100):
            open_.enter_context(socket.create_connection((served.host, served.port)))
        assert ask(served, "/healthz").status == 200


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTT", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /he"])
def test_a_connection_that_brings_no_whole_call_is_closed(begun: bytes) -> None:
    with (
        serving(APP, "127.0.0.1", 0, silence=0.1) as served,
        socket.create_connection((served.host, served.port)) as half,
    ):
        half.settimeout(20)
        half.sendall(begun)
        got = b""
        while chunk := half.recv(4096):
            got += chunk
    assert got.count(b"200 OK") == begun.count(b"Host")


def test_a_head_is_answered_without_a_body() -> None:
    with serving(APP, "127.0.0.1", 0) as served, socket.create_connection((served.host, served.port)) as asking:
        asking.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        got = b""
        while chunk := asking.recv(4096):
            got += chunk
    assert got.startswith(b"HTTP/1.1 200 OK")
    assert got.endswith(b"\r\n\r\n")


def test_an_error_inside_ends_it_too() -> None:
    with pytest.raises(ZeroDivisionError), serving(APP, "127.0.0.1", 0) as served:
        raise ZeroDivisionError
    with pytest.raises(OSError, match="refused"):
        ask(served, "/healthz")


def test_the_address_is_one_for_a_browser() -> None:
    assert Served("127.0.0.1", 8080).url == "http://127.0.0.1:8080"
    assert Served("::1", 8080).url == "http://[::1]:8080"


def test_it_moves_when_asked_and_stays_where_it_is_when_that_cannot_be() -> None:
    door = Door(APP)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert door.at("127.0.0.1", 0)
        first = door.served
        assert first is not None
        with pytest.raises(Mistake, match="Address already in use"):
            door.at("127.0.0.1", taken.getsockname()[1])
        assert not door.at("127.0.0.1", 0), "that is where it is"
        assert (door.served, ask(first, "/healthz").status) == (first, 200)
        port = taken.getsockname()[1]
    assert door.at("127.0.0.1", port)
    with pytest.raises(OSError, match="refused"):
        ask(first, "/healthz")
    assert door.at("0.0.0.0", port), "one port, another address"
    assert ask(Served("127.0.0.1", port), "/healthz").status == 200
    with pytest.raises(Mistake):
        door.at("192.0.2.1", port)
    assert ask(Served("127.0.0.1", port), "/healthz").status == 200
    door.close()
    with pytest.raises(OSError, match="refused"):
        ask(Served("127.0.0.1", port), "/healthz")
