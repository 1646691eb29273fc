"""Where a person opens a record in its CRM: address templates with what is known of the CRM account filled in. Calls
nothing and knows no secret."""

from __future__ import annotations

from collections.abc import Mapping

from engage_sync.sync.wiring import Workspace, connector_classes

RECORD = "{record}"


def record_urls(workspace: Workspace) -> Mapping[tuple[str, str], str]:
    """Give the address template of each (connector, object), with RECORD in it, for the CRM accounts whose id is
    known."""
    urls: dict[tuple[str, str], str] = {}
    for file in workspace.project.connectors:
        known = {name: workspace.state.note(f"{name}.{file.name}") for name in ("account", "site")}
        for object_, template in connector_classes()[file.connector].limits.record_urls.items():
            address = template
            for name, value in known.items():
                address = address.replace(f"{{{name}}}", value or f"{{{name}}}")
            if not any(f"{{{name}}}" in address for name in known):
                urls[file.name, object_] = address
    return urls
