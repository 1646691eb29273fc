"""The files of a project: the ready-made ones that `init` copies and fills with what it was told, and their JSON
Schemas. Never overwrites a file."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from engage_sync.config import project as projects
from engage_sync.config.engage_file import timezone_name
from engage_sync.config.json_schema import KINDS, json_schema
from engage_sync.connectors.addresses import is_loopback
from engage_sync.errors import Mistake, Problem
from engage_sync.sync.wiring import connector_classes, connector_types

IGNORED = "var/\n.schema/\n.env\n"
SECRETS = """\
# The secrets that this project names as ${NAME}. Copy this file to .env (which .gitignore keeps out of the repository),
# fill it in, and read it into the environment before engage-sync starts:  set -a; . ./.env; set +a
# systemd (EnvironmentFile=) and Docker (--env-file) read the same file.
"""
_NAMED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_COMMENT = re.compile(r"(^|\s)#.*$", re.MULTILINE)
_ADDRESS = (re.compile(r"^# (base_url: ).*$", re.MULTILINE), re.compile(r"^(\s+login_url: ).*$", re.MULTILINE))
"""Where a ready-made connector file names the CRM's address, the first that it has."""
_TIMEZONE = re.compile(r"^(timezone: ).*$", re.MULTILINE)
_STORE = re.compile(r"^(  store: ).*$", re.MULTILINE)
_FROM_CRM = re.compile(r"^(\s+)(\w+): (crm\.(\w+)\.\w+)\s*$", re.MULTILINE)


def json_schemas() -> dict[str, dict[str, object]]:
    """Give the JSON Schema of each kind of file."""
    types = connector_types()
    return {kind: json_schema(kind, types) for kind in KINDS}


def ready_made(*parts: str) -> Traversable:
    """Find a ready-made file: package data when installed from a wheel, the repository's own copy in a checkout."""
    shipped = files("engage_sync") / "ready"
    if not shipped.is_dir():
        shipped = Path(__file__).parents[3]
    return shipped.joinpath(*parts)


def crms() -> list[str]:
    """Give the CRMs a project can start with: those that have a ready-made connector file, ours first."""
    return list(_connector_files())


def is_stand_in(address: str) -> bool:
    """Tell whether a CRM's address is on this machine, where no real one is."""
    try:
        return is_loopback(urlsplit(address).hostname or "")
    except ValueError:
        return False  # no address at all: the file that names it is refused


def known_timezone(name: str) -> str:
    """Accept the name of a time zone. Raises Mistake with the nearest right one."""
    try:
        return timezone_name(name.strip())
    except ValueError as error:
        raise Mistake(str(error)) from None


def _connector_files() -> dict[str, Traversable]:
    """Give the ready-made connector files by CRM. Another package's is `ready/connectors/NAME.yaml` in the package."""
    ours = {
        item.name.removesuffix(".yaml"): item
        for item in sorted(ready_made("connectors").iterdir(), key=lambda item: item.name)
        if item.name.endswith(".yaml")
    }
    classes = connector_classes()
    others = sorted(name for name in set(classes) - set(ours) if classes.why_not(name) is None)
    shipped = {name: _shipped(classes[name].__module__.partition(".")[0], name) for name in others}
    return ours | {name: file for name, file in shipped.items() if file is not None and file.is_file()}


def _shipped(package: str, name: str) -> Traversable | None:
    """Find what a package ships for a connector; a single module ships nothing."""
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        return None
    return files(package).joinpath("ready", "connectors", f"{name}.yaml")


def _without_others(text: str, chosen: Sequence[str]) -> str:
    """Let properties that come from a CRM which is not connected come from a trait, and say what they were."""

    def line(found: re.Match[str]) -> str:
        indent, name, source, crm = found.groups()
        return found[0] if crm in chosen else f"{indent}{name}: traits.{name}      # {source}, once connected"

    return _FROM_CRM.sub(line, text)


@dataclass(frozen=True, slots=True)
class Choices:
    """What a new project is told besides its CRMs; the defaults are those of the ready-made files.

    `addresses` is by CRM: where its API (of Salesforce: its login) is. `secrets` are values for `.env.example`.
    """

    timezone: str = "UTC"
    store: str | None = None
    addresses: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def init(root: Path, chosen: Sequence[str], choices: Choices | None = None) -> list[Path]:
    """Write a new project and give the files written; a `.gitignore` that is there stays as it is.

    Any other file that exists already, an unknown CRM, or a choice that no project may have is a Mistake.
    """
    told = choices or Choices()
    if (root / projects.RESTORING).exists():
        raise Mistake(f"a restore into {root} goes on, or was cut off; run `engage-sync restore FILE` again")
    known = _connector_files()
    for name in chosen:
        if name not in known:
            raise Mistake(f"there is no ready-made connector {name!r}; there are {', '.join(known)}")
    texts = _configuration(chosen, {name: known[name].read_text(encoding="utf-8") for name in chosen}, told)
    _refuse_wrong(root, texts)
    secrets = _secrets_example(texts, told.secrets)
    texts |= {f".schema/{kind}.json": json.dumps(found, indent=2) + "\n" for kind, found in json_schemas().items()}
    texts[".env.example"] = secrets
    if not (root / ".gitignore").exists():
        texts[".gitignore"] = IGNORED
    contents = {root / name: text for name, text in texts.items()}
    taken = [str(path) for path in contents if path.exists()]
    if taken:
        raise Mistake(f"{', '.join(sorted(taken))} exists already; init writes a new project and overwrites nothing")
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return sorted(contents)


def _configuration(chosen: Sequence[str], connectors: Mapping[str, str], told: Choices) -> dict[str, str]:
    """Give the files that a person edits, by their path in the project."""
    ready = [item for item in ready_made("config").iterdir() if item.name.endswith(".yaml")]
    found = {f"config/{item.name}": _without_others(item.read_text(encoding="utf-8"), chosen) for item in ready}
    engage = _set(found[projects.ENGAGE_FILE], _TIMEZONE, told.timezone)
    found[projects.ENGAGE_FILE] = engage if told.store is None else _set(engage, _STORE, told.store)
    for name, text in connectors.items():
        address = told.addresses.get(name)
        found[f"connectors/{name}.yaml"] = text if address is None else _addressed(text, address)
    return found


def _set(text: str, key: re.Pattern[str], value: str) -> str:
    """Put a value behind its key; quoted where YAML would read something else than the text."""
    return key.sub(lambda found: f"{found[1]}{value if _is_plain(value) else json.dumps(value)}", text, count=1)


def _is_plain(value: str) -> bool:
    try:
        return bool(yaml.safe_load(value) == value)
    except yaml.YAMLError:
        return False


def _addressed(text: str, address: str) -> str:
    """Put the CRM's address into its file: where the file names one, else at the end."""
    for place in _ADDRESS:
        if place.search(text) is not None:
            return _set(text, place, address)
    return f"{text}\n{_set('base_url: ', re.compile('^(base_url: )'), address)}\n"


def _secrets_example(written: Mapping[str, str], values: Mapping[str, str]) -> str:
    """Give `.env.example`: the variables that the files name, comments aside, with the values that are no secrets."""
    names = dict.fromkeys(name for text in written.values() for name in _NAMED.findall(_COMMENT.sub("", text)))
    return SECRETS + "".join(f"{name}={values.get(name, '')}\n" for name in names)


def _refuse_wrong(root: Path, written: Mapping[str, str]) -> None:
    """Load the files from elsewhere, so that a project is written whole and right or not at all. Raises Mistake."""
    with tempfile.TemporaryDirectory(prefix="engage-sync-") as folder:
        for name, text in written.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        try:
            projects.load(root, connector_types(), files=Path(folder))
        except Mistake as mistake:
            problems = [Problem(f"{one.what} (nothing was written)", one.file, one.line) for one in mistake.problems]
            raise Mistake(problems) from None
