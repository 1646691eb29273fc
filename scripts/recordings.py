"""Make the guide's recordings: run its commands in a temporary project against the stand-ins, at one fixed instant, and
keep what they print in docs/guide/recordings, as text and as a drawing of a terminal, and the picture of a record.

`make recordings`. The same code gives the same files: no time, port or path of the machine is in them.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

from engage_sync.sandbox import company, salesforce_server, sample, server

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "docs" / "guide" / "recordings"
AS_OF = datetime(2025, 6, 2, 12, tzinfo=UTC)
"""Long ago on any machine: the program refuses nothing that lies in the past before anything is recorded."""
AS_OF_TAKEN = {"compute", "plan", "push", "sync"}
COLUMNS = 132
LINES = 28
"""Of one command's answer in a drawing; the text has LINES_KEPT."""
LINES_KEPT = 60
PROGRAM = "from engage_sync.cli.main import main; main()"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1")
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""What a drawing would load from elsewhere; without it the reader's own monospaced font is used."""
NOW = re.compile(r"\d{4}-\d\d-\d\d( |T)\d\d:\d\d(:\d\d(\.\d+)?Z)?")

SCENES: Mapping[str, Sequence[str]] = {
    "connect": ("check", "provision --apply", "check"),
    "first-model": ("import ../events.jsonl", "compute", "show users", "show health"),
    "explain": ("explain account acct_amberworks",),
    "go-live": ("plan", "sync", "sync"),
    "operate": ("status", "runs", "failures"),
}
"""What is typed for each recording, one after another in one project."""


def main() -> None:
    """Make all of them anew."""
    PLACE.mkdir(parents=True, exist_ok=True)
    made = company.generate(AS_OF, events=20_000)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="engage-sync-recordings-")))
        hubspot = stack.enter_context(server.start(seed=sample.seed(AS_OF, made)))
        salesforce = stack.enter_context(salesforce_server.start(seed=sample.salesforce_seed(AS_OF, made)))
        company.write_messages(made, folder / "events.jsonl")
        places = {8090: hubspot.base_url, 8091: salesforce.base_url}
        addresses = [
            f"--base-url={name}={url}" for name, url in zip(("hubspot", "salesforce"), places.values(), strict=True)
        ]
        secrets = {
            "HUBSPOT_ACCESS_TOKEN": hubspot.token,
            "SALESFORCE_CLIENT_ID": salesforce.client_id,
            "SALESFORCE_CLIENT_SECRET": salesforce.client_secret,
        }
        _said(["init", "acme", "--crm=hubspot", "--crm=salesforce", *addresses], folder, {})
        for name, lines in SCENES.items():
            answers = [(line, _answer(line, folder / "acme", secrets, places)) for line in lines]
            _keep(name, answers)
        _picture(hubspot.base_url)


def _said(arguments: Sequence[str], folder: Path, secrets: Mapping[str, str]) -> str:
    """Run one command; give what it printed, with the colours of a terminal."""
    names = ("PATH", "PYTHONPATH", "TMPDIR", "HOME")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TZ": "UTC", "LANG": "C.UTF-8", **secrets}
    line = [sys.executable, "-c", f"import sys; sys.argv[0] = 'engage-sync'; {PROGRAM}", *arguments]
    done = subprocess.run(line, check=False, cwd=folder, env=environment, capture_output=True, text=True)  # noqa: S603  our own program
    if done.returncode not in {0, 1}:
        raise SystemExit(f"engage-sync {shlex.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _answer(line: str, folder: Path, secrets: Mapping[str, str], places: Mapping[int, str]) -> str:
    """Run one line of a scene as of the fixed instant; give what it said without what is of this machine and hour."""
    given = shlex.split(line)
    if given[0] in AS_OF_TAKEN:
        given += ["--as-of", AS_OF.isoformat()]
    said = _said(given, folder, secrets)
    for port, url in places.items():
        said = said.replace(url, f"http://127.0.0.1:{port}")
    return NOW.sub(_then, said).replace(str(folder.parent), "~")


def _then(found: re.Match[str]) -> str:
    """Put the fixed instant where this hour stands; instants of the events stay."""
    told = datetime.fromisoformat(found[0].replace("Z", "+00:00"))
    told = told if told.tzinfo else told.replace(tzinfo=UTC)
    recent = abs(datetime.now(UTC) - told) < timedelta(hours=2)
    fixed = AS_OF.isoformat().replace("T", found[1])
    return f"{fixed[: len(found[0]) - 1]}Z" if recent and found[2] else fixed[:16] if recent else found[0]


def _keep(name: str, answers: Sequence[tuple[str, str]]) -> None:
    """Write one recording: text for reading and comparing, and a drawing of a terminal."""
    plain = "".join(f"$ engage-sync {line}\n{_cut(Text.from_ansi(said).plain, LINES_KEPT)}\n" for line, said in answers)
    (PLACE / f"{name}.txt").write_text(plain, encoding="utf-8")
    screen = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    for line, said in answers:
        screen.print(Text(f"$ engage-sync {line}", style="bold green"))
        screen.print(Text.from_ansi(_cut(said, LINES)), no_wrap=True, overflow="crop")
    drawn = screen.export_svg(title="engage-sync", unique_id=name)
    tidy = re.sub(r"[ \t]+$", "", FONTS.sub("", drawn), flags=re.MULTILINE)
    (PLACE / f"{name}.svg").write_text(tidy, encoding="utf-8")


def _cut(said: str, most: int) -> str:
    """Leave out the middle of a long answer."""
    lines = [line.rstrip() for line in said.rstrip().splitlines()]
    if len(lines) > most:
        begin, end = lines[: most * 2 // 3], lines[-(most // 3) :]
        lines = [*begin, f"… {len(lines) - len(begin) - len(end)} more lines …", *end]
    return "\n".join(lines) + "\n"


def _picture(address: str) -> None:
    """Photograph the card of an account whose usage fell, as a CSM sees it."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.stderr.write("no Chromium on the PATH: the picture stays as it is (`make browser` installs one)\n")
        return
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser, args=QUIET)
        page = running.new_page(base_url=address, viewport={"width": 900, "height": 1400})
        page.goto("/")
        page.get_by_role("searchbox").fill("amberworks")
        page.get_by_role("searchbox").press("Enter")
        page.get_by_role("link", name=re.compile("Amberworks", re.I)).first.click()
        card = page.locator("section.card").filter(has=page.get_by_role("heading", name=re.compile("^engage", re.I)))
        card.first.screenshot(path=PLACE / "company.png")
        running.close()


if __name__ == "__main__":
    main()
