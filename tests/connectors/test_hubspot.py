"""HubSpot shows the behaviour every connector must show: with a fixed token and OAuth, with either kind of merge."""

from collections.abc import Iterator

import pytest

from engage_sync.testing import ConnectorSuite, MergeSuite, SessionSuite, Stage, TaskSuite
from tests.connectors import sandboxed
from tests.connectors.sandboxed import Clock

FIELDS = [name for name, _ in sandboxed.FIELDS.values()]


class TestWithToken(ConnectorSuite, MergeSuite, TaskSuite):
    fields = FIELDS

    @pytest.fixture
    def stage(self) -> Iterator[Stage]:
        clock = Clock()
        with sandboxed.sandbox(clock=clock) as running:
            stage = sandboxed.stage(running, clock)
            yield stage
            stage.connector.close()


class TestWithOAuthAndKeptIds(ConnectorSuite, MergeSuite, SessionSuite):
    fields = FIELDS

    @pytest.fixture
    def stage(self) -> Iterator[Stage]:
        clock = Clock()
        with sandboxed.sandbox(clock=clock, merge_mints_id=False) as running:
            stage = sandboxed.stage(running, clock, auth=sandboxed.oauth(running))
            yield stage
            stage.connector.close()
