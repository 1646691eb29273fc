"""The connectors of all installed packages, ours among them, by the names of their entry points. A package is loaded
when its connector is asked for, and once; one that cannot be used is refused with a sentence that names the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint
from inspect import isabstract

from pydantic import BaseModel

from engage_sync.config.connector_file import OWN_KEYS
from engage_sync.connectors.base import Connector, Limits, Role
from engage_sync.errors import Mistake

ENTRY_POINTS = "engage_sync.connectors"


class Plugins(Mapping[str, type[Connector]]):
    """Connector classes by name, loaded when looked up. Looking up one that cannot be used raises Mistake."""

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        self._points: dict[str, list[EntryPoint]] = {}
        for point in points:
            others = self._points.setdefault(point.name, [])
            if all((package_of(one), one.value) != (package_of(point), point.value) for one in others):
                others.append(point)
        self._classes: dict[str, type[Connector]] = {}
        self._refused: dict[str, str] = {}

    def __getitem__(self, name: str) -> type[Connector]:
        if (why := self.why_not(name)) is not None:
            raise Mistake(why)
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)

    def __contains__(self, name: object) -> bool:
        return name in self._points

    def why_not(self, name: str) -> str | None:
        """Say why the connector of that name cannot be used, and what to do; None when it can."""
        if name not in self._classes and name not in self._refused:
            self._load(name)
        return self._refused.get(name)

    def _load(self, name: str) -> None:
        points = self._points[name]
        if len(points) > 1:
            packages = " and ".join(sorted({package_of(point) for point in points}))
            self._refused[name] = (
                f"the connector type `{name}` is claimed by {len(points)} entry points, of {packages}; uninstall all "
                "packages but the one you want (`pip uninstall PACKAGE`)"
            )
            return
        point = points[0]
        place = f"the connector type `{name}` of the package {package_of(point)} ({point.value})"
        try:
            found = point.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's module may raise anything when it is imported
            what = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            self._refused[name] = f"{place} cannot be loaded: {what}; install it again, or another version of it"
            return
        if (fault := next(_faults(name, found), None)) is None:
            self._classes[name] = found
        else:
            self._refused[name] = f"{place} cannot be used: {fault}; install another version, or tell its author"


def package_of(point: EntryPoint) -> str:
    """Name the package an entry point belongs to; its module where the package does not say."""
    try:
        told = point.dist.name if point.dist is not None else None
    except (KeyError, TypeError, AttributeError):
        told = None  # installed without its metadata
    return told or point.value.partition(":")[0].partition(".")[0]


def _faults(name: str, found: object) -> Iterator[str]:
    """Say what a class lacks that every connector must have. Only the first is meant: the others rely on it."""
    if not isinstance(found, type) or not issubclass(found, Connector):
        yield "it is no subclass of engage_sync.connectors.base.Connector"
        return
    if isabstract(found):
        yield f"it has no method {' and no '.join(sorted(found.__abstractmethods__))}"
    if not isinstance(getattr(found, "name", None), str):
        yield f'it has no name; its class must say `name = "{name}"`'
    if found.name != name:
        yield f"it calls itself `{found.name}`, and its entry point calls it `{name}`; both must be the same"
    settings = getattr(found, "Settings", None)
    if not isinstance(settings, type) or not issubclass(settings, BaseModel):
        yield "its `Settings` is no pydantic model"
    if taken := sorted(set(OWN_KEYS) & set(found.Settings.model_fields)):
        yield f"its `Settings` has the key `{taken[0]}`, which every connector's file has already"
    yield from _limit_faults(getattr(found, "limits", None))


def _limit_faults(limits: object) -> Iterator[str]:
    if not isinstance(limits, Limits):
        yield "its `limits` is no engage_sync.connectors.base.Limits"
    elif limits.push_batch < 1 or limits.in_flight < 1:
        yield "its `limits` allow no call: push_batch and in_flight must be at least 1"
    elif not limits.objects or not set(limits.objects.values()) <= set(Role):
        yield "its `limits.objects` must map the name of each object to its Role"
