"""The time zone of this machine, by name: what `init` proposes for a new project. Nothing else ever looks here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

ZONES = "zoneinfo/"
"""Ends the folder in which systems keep the zones; what follows is the zone's name."""
UNKNOWN = "UTC"


def machine_timezone(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> str:
    """Give the name of the machine's zone, such as Europe/Berlin: from TZ, /etc/timezone or where /etc/localtime points
    to, in this order. UTC where none of them names a zone that is known here."""
    for name in (environment.get("TZ", "").lstrip(":"), _written(root), _pointed_to(root)):
        if name and _is_zone(name):
            return name
    return UNKNOWN


def _written(root: Path) -> str:
    try:
        return (root / "etc" / "timezone").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _pointed_to(root: Path) -> str:
    try:
        target = str((root / "etc" / "localtime").readlink())
    except OSError:
        return ""
    return target.rpartition(ZONES)[2] if ZONES in target else ""


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
