"""Follow the guide word by word on a bare Debian that is booted with systemd: from nothing to fields in the stand-ins,
and on to the service. Types the blocks that docs/guide marks, each of which must end as the guide says, and says how
long each page took.

`python -m scripts.bare_machine FOLDER` as root, with debootstrap and systemd-container (systemd-nspawn) installed.
FOLDER is where the machine is made (4 GB) and must not exist. `--etc DIR` is copied over its /etc, for certificates,
proxies and package indexes; `--suite bookworm` is another Debian. It has the network of this one: the ports 8080, 8090
and 8091 must be free. It is ended, and left there to be looked at. No part of `make test`: it needs root, a network,
and its time.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs import guide

ROOT = Path(__file__).parents[1]
PACKAGES = "systemd-sysv,dbus,libpam-systemd,ca-certificates,sudo"
READER = "reader"
"""Who follows the guide: a user of the machine who may use sudo."""
CHECKOUT = f"/home/{READER}/engage-sync"
ADDRESS = "http://127.0.0.1:8090/crm/v3/objects/contacts?limit=100&properties=engage_user_type"
FIELDS = f"""\
import json, os, urllib.request
token = os.environ["HUBSPOT_ACCESS_TOKEN"]
asked = urllib.request.Request({ADDRESS!r}, headers=dict(Authorization="Bearer " + token))
found = [one["properties"].get("engage_user_type") for one in json.load(urllib.request.urlopen(asked))["results"]]
print(sum(map(bool, found)), "of the first", len(found), "contacts have a user type")
assert sum(map(bool, found)) > 50
"""
SERVICE = (
    (
        "it is ready",
        "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/readyz').read())\"",
    ),
    ("it reads its files again", "sudo systemctl reload engage-sync && systemctl is-active engage-sync"),
    ("it is hardened", "systemd-analyze --no-pager security engage-sync | tail -n 1"),
    ("it stops within ten seconds", "time timeout 10 sudo systemctl stop engage-sync"),
    ("it starts again", "sudo systemctl start engage-sync && systemctl is-active engage-sync"),
    ("its log", "sudo journalctl --no-pager -u engage-sync -n 20 -o cat"),
)
"""What is looked at once the service runs, beyond what the guide tells to type."""


@dataclass
class Machine:
    """A booted machine and the window in which the guide is followed."""

    root: Path
    init: int
    """Its first process, as this machine counts."""
    folder: str = CHECKOUT
    names: dict[str, str] = field(default_factory=dict)

    def run(self, text: str) -> int:
        """Type into the window: a login shell that stands where the last one stood and knows what it exported."""
        known = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.names.items())
        after = "code=$?; pwd >~/.afterwards; env -0 >>~/.afterwards; exit $code"
        typed = f"cd {shlex.quote(self.folder)}\n{known}trap '{after}' EXIT\nset -e\n{text}"
        code = subprocess.run([*self._enter(READER), f"exec bash -c {shlex.quote(typed)}"], check=False).returncode
        kept = self.root / "home" / READER / ".afterwards"
        self.folder, _, names = kept.read_text(encoding="utf-8").partition("\n")
        pairs = [one.split("=", 1) for one in names.split("\0") if one]
        self.names = {name: value for name, value in pairs if name.startswith(("HUBSPOT_", "SALESFORCE_"))}
        return code

    def prepare(self, text: str) -> None:
        """Do as root what the guide takes as done."""
        subprocess.run([*self._enter("root"), text], check=True)

    def leave_alone(self, text: str) -> int:
        """Type into a second window and wait until what runs there says that it does: 0, or how it ended."""
        running = subprocess.Popen(
            [*self._enter(READER), f"cd {shlex.quote(self.folder)}; exec {text}"], stdout=subprocess.PIPE, text=True
        )
        assert running.stdout is not None
        for line in running.stdout:
            sys.stdout.write(line)
            if guide.READY in line:
                return 0
        return running.wait()

    def _enter(self, user: str) -> list[str]:
        clean = ["/usr/bin/env", "-i", "TERM=dumb", "LANG=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        return ["nsenter", "-t", str(self.init), "-a", *clean, "su", "-", user, "-s", "/bin/bash", "-c"]


def main() -> None:
    """Make the machine, follow the guide, look at the service."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("folder", type=Path)
    given.add_argument("--suite", default="trixie")
    given.add_argument("--mirror", default="http://deb.debian.org/debian")
    given.add_argument("--etc", type=Path)
    asked = given.parse_args()
    subprocess.run(["debootstrap", f"--include={PACKAGES}", asked.suite, asked.folder, asked.mirror], check=True)
    if asked.etc is not None:
        shutil.copytree(asked.etc, asked.folder / "etc", dirs_exist_ok=True)
    with booted(asked.folder.resolve()) as machine:
        furnish(machine)
        follow(machine)
        for what, text in SERVICE:
            sys.stdout.write(f"--- {what}\n")
            sys.stdout.flush()
            if machine.run(text):
                raise SystemExit(f"not so: {what}")


@contextmanager
def booted(root: Path) -> Iterator[Machine]:
    """Boot a folder, with mounts of its own, until the `with` block ends."""
    mounts = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd /run/lock && exec systemd-nspawn"
    options = "--register=no --keep-unit --resolv-conf=copy-host --timezone=off --console=pipe --boot"
    command = f"{mounts} {options} -M bare -D {shlex.quote(str(root))} >{shlex.quote(str(root))}.log 2>&1"
    shell = ["unshare", "--mount", "--propagation", "private", "sh", "-c", command]
    boot = subprocess.Popen(
        shell, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
    )
    try:
        yield Machine(root, first_process(boot))
    finally:
        boot.send_signal(signal.SIGTERM)
        boot.wait(60)


def first_process(boot: subprocess.Popen[bytes]) -> int:
    """Wait until the machine is up; give its init, the only child of systemd-nspawn."""
    children = Path(f"/proc/{boot.pid}/task/{boot.pid}/children")
    for _ in range(120):
        if boot.poll() is not None:
            raise SystemExit("the machine does not boot; its log lies beside its folder")
        for child in children.read_text().split():
            up = ["nsenter", "-t", child, "-a", "/usr/bin/systemctl", "is-system-running", "--wait"]
            if subprocess.run(up, check=False, capture_output=True, text=True).stdout.strip() in {
                "running",
                "degraded",
            }:
                return int(child)
        time.sleep(0.5)
    raise SystemExit("the machine does not come up")


def furnish(machine: Machine) -> None:
    """Add what the guide takes as given: somebody who may use sudo, and a checkout of what is committed."""
    there = machine.root / CHECKOUT.removeprefix("/")
    machine.prepare(f"useradd -m -s /bin/bash {READER}; echo '{READER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/reader")
    there.mkdir()
    packed = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "x", "-C", there], input=packed, check=True)
    machine.prepare(f"chown -R {READER}: {CHECKOUT}")


def follow(machine: Machine) -> None:
    """Type all blocks; the first that ends otherwise than the guide says ends the walk."""
    took: dict[str, float] = {}
    asked = guide.blocks(bare=True)
    for place, block in enumerate(asked):
        sys.stdout.write(f"\n=== {block.page}\n{block.text}\n")
        sys.stdout.flush()
        began = time.monotonic()
        code = machine.leave_alone(block.text) if block.behind else machine.run(block.text)
        part = f"{block.page}, the service" if block.last else block.page
        took[part] = took.get(part, 0.0) + time.monotonic() - began
        if code != block.code:
            raise SystemExit(f"ended with {code}, not {block.code}")
        if block.page == "go-live.md" and asked[place + 1].page != "go-live.md":
            machine.run(f"python3 -c {shlex.quote(FIELDS)}")
            sys.stdout.write(f"*** fields in the CRM after {sum(took.values()) / 60:.1f} minutes\n")
    for page, seconds in took.items():
        sys.stdout.write(f"*** {page}: {seconds / 60:.1f} minutes\n")


if __name__ == "__main__":
    main()
