"""Logging as it is out of the box: tests in the same process may have set it up for theirs."""

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_as_it_comes() -> None:
    structlog.reset_defaults()
