"""Contacts of one account are sent beside each other, so that no two calls wait for the same parent (lessons 24)."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from tests.sync.fault_stage import salesforce_stage


@pytest.mark.lesson(24)
def test_contacts_of_one_account_go_together(tmp_path: Path) -> None:
    with salesforce_stage(tmp_path) as stage:
        accounts = [stage.crm.store.create("Account", {"Name": name}) for name in "AB"]
        newcomers = [stage.newcomer() for _ in range(6)]
        for number, record in enumerate(newcomers):
            stage.edit(record, "AccountId", accounts[number % 2])
        stage.project.sent.clear()
        assert stage.sync().exit == 0
        assert sorted(stage.project.sent) == sorted(newcomers)
        parents = [stage.crm.store.values("Contact", record)["AccountId"] for record in stage.project.sent]
        assert len(list(groupby(parents))) == 2
