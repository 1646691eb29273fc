"""Tell systemd how a service is: ready, reloading, alive, ending (sd_notify(3)). Silent where nobody
asked."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Systemd:
    """The socket that `NOTIFY_SOCKET` names, and how often a watchdog wants to hear of us."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        place = environment.get("NOTIFY_SOCKET", "")
        self._place = f"\0{place[1:]}" if place.startswith("@") else place
        mine = environment.get("WATCHDOG_PID") in {None, str(os.getpid())}
        microseconds = environment.get("WATCHDOG_USEC", "") if mine else ""
        self._every = int(microseconds) / 2e6 if microseconds.isdigit() else None
        self._last = 0.0

    def ready(self, status: str) -> None:
        """Say that the service works, at its start or after a reload."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Say that the configuration is being read again."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1_000}")

    def stopping(self) -> None:
        """Say that the service ends."""
        self._send("STOPPING=1\nSTATUS=ending")

    def status(self, status: str) -> None:
        """Say in a few words what it does."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog, as often as it wants."""
        if self._every is not None and time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if self._place:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.sendto(text.encode(), self._place)
