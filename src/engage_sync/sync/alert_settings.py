"""Where alerts go, as `config/engage.yaml` says, with secrets filled in: never to be logged. Sends nothing."""

from __future__ import annotations

from engage_sync.config.project import Project
from engage_sync.sync.worked import AlertSettings


def alert_settings(project: Project) -> AlertSettings:
    """Give where alerts go, with secrets filled in. Raises Mistake for one that is not there."""
    alerts = project.background.alerts
    mail = alerts.mail
    return {
        "webhook": filled(project, alerts.webhook, "alerts", "webhook"),
        "mail": None
        if mail is None
        else {
            "smtp": project.filled(mail.smtp, "alerts", "mail", "smtp"),
            "sender": mail.sender,
            "to": list(mail.to),
        },
        "missed": alerts.missed.total_seconds(),
    }


def filled(project: Project, text: str | None, *location: str) -> str | None:
    """Give a text of the file with its secrets filled in, None for none. Raises Mistake for one that is not there."""
    return None if text is None else project.filled(text, *location)
