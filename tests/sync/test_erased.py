"""Who was erased in the CRM, first to its bin and then for good, does not come back through us: the messages stay and
say what she would hold, but no contact is created and nothing that we wrote to hers is remembered (lessons 11)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sync.fault_stage import salesforce_stage


@pytest.mark.lesson(11, "no create")
def test_contact_that_was_erased_is_never_put_there_again(tmp_path: Path) -> None:
    with salesforce_stage(tmp_path) as stage:
        record = stage.newcomer()
        assert stage.sync().exit == 0
        stage.crm.store.delete(stage.object, record)
        del stage.people[record]
        stage.sync()
        stage.crm.store.purge(stage.object, record)
        for _ in range(2):
            report = stage.sync()
            assert (report.exit, report.writes) == (0, 0)
            assert stage.count() == len(stage.people)
            assert stage.mirror() == stage.truth()
        assert stage.workspace.state.written(stage.connector, stage.object, (stage.plan,))["record"].to_list() == [
            stage.regular
        ]
