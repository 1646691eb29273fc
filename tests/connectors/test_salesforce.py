"""Salesforce shows the behaviour every connector must show: with client credentials and with a certificate."""

from collections.abc import Iterator

import pytest

from engage_sync.testing import ConnectorSuite, MergeSuite, SessionSuite, Stage, WholeSuite
from tests.connectors import org
from tests.connectors.sandboxed import Clock

FIELDS = [name for name, _ in org.FIELDS.values()]


class TestWithClientCredentials(ConnectorSuite, MergeSuite, SessionSuite, WholeSuite):
    fields = FIELDS

    @pytest.fixture
    def stage(self) -> Iterator[Stage]:
        clock = Clock()
        with org.sandbox(clock=clock) as running:
            stage = org.stage(running, clock)
            yield stage
            stage.connector.close()


class TestWithCertificate(SessionSuite):
    @pytest.fixture
    def stage(self) -> Iterator[Stage]:
        clock = Clock()
        with org.sandbox(clock=clock) as running:
            stage = org.stage(running, clock, org.certificate(running))
            yield stage
            stage.connector.close()
