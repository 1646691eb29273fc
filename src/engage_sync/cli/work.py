"""`work`, which the daemon calls and no person: do jobs and answer with one JSON document on stdout. It ends when its
daemon does, so that nobody goes on in its name."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engage_sync.cli.logs import configure
from engage_sync.cli.options import HERE, ProjectFolder, clock
from engage_sync.sync.children import GRACE

if TYPE_CHECKING:
    from engage_sync.sync.work import Project


def register(app: typer.Typer) -> None:
    """Add the command; no help lists it."""
    app.command(hidden=True)(work)


def work(
    jobs: Annotated[list[str] | None, typer.Argument(metavar="[JOB]…")] = None,
    project: ProjectFolder = HERE,
    files: Annotated[Path | None, typer.Option("--files", metavar="DIR")] = None,
    logs: Annotated[str | None, typer.Option("--logs", metavar="FORM")] = None,
) -> None:
    """Do jobs for the daemon, which reads the answer."""
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no part of the answer
    threading.Thread(target=end_with_the_daemon, name="daemon gone", daemon=True).start()
    configure()
    from engage_sync.sync import wiring  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync.work import work as do  # noqa: PLC0415  start-up: --help needs none of it

    def load() -> Project:
        loaded = wiring.load_project(project, files=files)
        configure(loaded.background.logs if logs is None else logs, loaded.background.level)
        return loaded

    worked = do(jobs or [], load=load, opening=wiring.open_project, clock=clock, files=files)
    with open(answer, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        json.dump(worked, stream, ensure_ascii=False, default=str)


def end_with_the_daemon(grace: float = GRACE) -> None:
    """Wait until stdin ends, which the daemon holds open as long as it lives; then ask for the end, and in `grace`
    seconds make it: a long step that never asks whether it should end would keep the next daemon waiting."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    if os.getpgrp() == os.getpid():  # as the daemon starts it
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
