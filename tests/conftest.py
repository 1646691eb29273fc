"""The order of the files: with a few workers, those that take longest begin first, so that all end together."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
"""How long an example takes is no finding: on a busy machine each of them takes many times as long."""

LONGEST = (
    "test_safety_machine.py",
    "test_machine.py",
    "test_fault_matrix.py",
    "test_failover.py",
    "test_crash.py",
    "test_approve.py",
    "test_salesforce_crash.py",
    "test_rollback.py",
    "test_brakes.py",
    "test_crash_safety.py",
    "test_bad_input.py",
    "test_two_crms.py",
    "test_daemon.py",
    "test_writing_a_connector.py",
    "test_commands.py",
    "test_on_drift.py",
    "test_troubleshoot.py",
    "test_quota.py",
    "test_real_events.py",
    "test_matching_cycle.py",
    "test_random_models.py",
)


def pytest_collection_finish() -> None:
    """Leave alone what is imported by now, and walk through the rest less often: the tests take a twentieth less."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files in front; within a file, and among all others, the order stays."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(Path(item.path).name, len(LONGEST)))
