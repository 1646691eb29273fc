"""What a child of the daemon answers, when a bug ends its work."""

from __future__ import annotations

from functools import partial

from structlog.testing import capture_logs

from engage_sync.connectors.wrappers import Observed
from engage_sync.sync import wiring
from engage_sync.sync.work import work
from tests.sync.project import Project

SECRET = "Authorization: Bearer-of-all"


def broken(*_: object, **__: object) -> Observed:
    raise KeyError(SECRET)


def test_a_bug_is_told_without_its_words(project: Project) -> None:
    """They may hold anything, a token that a library quotes, too."""
    load = partial(wiring.load_project, project.root)
    opening = partial(wiring.open_project, hardened=broken)
    with capture_logs() as logged:
        answer = work(["pull:hubspot"], load=load, opening=opening, clock=project.clock)
    told = answer["jobs"][0]
    assert (told["status"], told["exit"]) == ("failed", 70)
    assert told["message"] == "this is a bug (KeyError); the log of the daemon says where"
    assert [(one["event"], one["kind"]) for one in logged] == [("a job ended by a bug", "KeyError")]
    assert "in broken" in logged[0]["where"]
    assert SECRET not in f"{answer}{logged}"
