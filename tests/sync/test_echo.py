"""A search index that trails what we write: our own past is no news (crm-apis §A6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sync.project import project


@pytest.mark.lesson("echo")
def test_a_trailing_index_makes_no_second_write(tmp_path: Path) -> None:
    with project(tmp_path, options={"lag": 30.0}) as made:
        record = made.contact("ann@a.example")
        made.tell(*made.person("ann", "ann@a.example"))
        assert made.sync().writes == 1
        made.crm.store.update("contacts", record, {"firstname": "Ann"})
        for after in (0.0, 1.0, 20.0, 20.0):
            report = made.sync(after=after)
            assert (report.writes, report.changes.height) == (0, 0)


@pytest.mark.lesson("echo")
def test_an_edit_after_our_write_is_seen_when_the_index_has_it(tmp_path: Path) -> None:
    with project(tmp_path, options={"lag": 30.0}) as made:
        record = made.contact("ann@a.example")
        made.tell(*made.person("ann", "ann@a.example"))
        made.sync()
        made.clock.advance(0.001)
        made.crm.store.update("contacts", record, {"engage_reports": "77"})
        assert made.sync(after=31.0).writes == 1
        assert made.values(record)["engage_reports"] == "0"
        assert made.sync(after=0).writes == 0


def test_half_a_character_in_the_crm_is_mirrored_and_written_around(tmp_path: Path) -> None:
    with project(tmp_path) as made:
        record = made.contact("ann@a.example")
        made.tell(*made.person("ann", "ann@a.example"))
        made.crm.store.need("contacts", record).values["jobtitle"] = "half \ud83d"
        assert made.sync().writes == 1
        assert made.crm.store.values("contacts", record)["engage_external_id"] == "ann"
        assert made.sync().writes == 0
