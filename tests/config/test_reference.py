from pathlib import Path

from engage_sync.config.reference import reference
from engage_sync.sync.wiring import connector_types

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"


def test_the_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(connector_types()), "write it anew with `make fix`"
