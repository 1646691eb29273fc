"""A connector file that matches by e-mail alone: nothing to keep unique, nothing to complain about."""

from __future__ import annotations

import pytest

from tests.sync.project import CONNECTOR, Project, write

BY_EMAIL = CONNECTOR.replace("external_id: engage_external_id, ", "")


@pytest.mark.filterwarnings("error::UserWarning")
def test_written_without_a_warning(project: Project) -> None:
    write(project.root, project.crm.base_url, connector=BY_EMAIL)
    record = project.contact("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    assert (project.sync().exit, project.values(record)["engage_external_id"]) == (0, "ann")
    assert project.sync().writes == 0
