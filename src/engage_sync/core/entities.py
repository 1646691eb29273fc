"""The two things that verdicts are about."""

from __future__ import annotations

from enum import StrEnum


class Entity(StrEnum):
    """What a verdict is about."""

    USER = "user"
    ACCOUNT = "account"
