"""`check` tells before the first alert whether anybody would hear it, and sends none."""

from __future__ import annotations

import socket

import pytest

from engage_sync.sync import doctor
from engage_sync.sync.doctor import Examination
from tests.sync.mailbox import mailbox
from tests.sync.project import Project
from tests.sync.receiver import receiver


def checked(made: Project, alerts: str) -> Examination:
    file = made.root / "config" / "engage.yaml"
    file.write_text(f"{file.read_text(encoding='utf-8').partition('alerts:')[0]}alerts: {alerts}\n", encoding="utf-8")
    with made.open() as workspace:
        return doctor.examine(workspace)


def mail(smtp: str) -> str:
    return f'{{mail: {{smtp: "{smtp}", from: "a@x.example", to: ["b@x.example"]}}}}'


def told(found: Examination) -> list[str]:
    return [gap.problem for gap in found.gaps if gap.file == "config/engage.yaml"]


def test_who_hears_alerts_is_asked_and_told_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as inbox, mailbox() as box:
        assert told(checked(project, f'{{webhook: "{inbox.url}"}}')) == []
        assert told(checked(project, mail(f"smtp://{box.name}"))) == []
        assert (inbox.got, box.got) == ([], [])
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    (untried,) = checked(project, '{webhook: "https://hooks.x.example/secret"}').advice["alerts"]
    assert "hooks.x.example is behind a proxy, so it was not tried" in untried


def test_who_would_hear_none_is_a_gap(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        place = f"127.0.0.1:{closed.getsockname()[1]}"
    nobody = f"{place}: no connection (Connection refused)"
    silent = checked(project, f'{{webhook: "http://{place}/secret"}}')
    assert (silent.exit, told(silent)) == (1, [f"alerts.webhook: {nobody}"])
    assert "--test-alert" in silent.gaps[-1].todo
    assert told(checked(project, mail(f"smtp://{place}"))) == [f"alerts.mail: {nobody}"]
    assert "alerts.mail: the mail server must be one like" in told(checked(project, mail("mail.example.com")))[0]
    lacking = checked(project, '{webhook: "${NO_SUCH_VARIABLE}"}')
    assert (lacking.exit, "NO_SUCH_VARIABLE" in told(lacking)[0]) == (2, True)
