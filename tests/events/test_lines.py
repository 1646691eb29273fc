"""Blocks of lines: breaks, marks, over-long lines and damaged gzip files."""

import gzip
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from engage_sync.errors import Mistake
from engage_sync.events import lines as module
from engage_sync.events.lines import LONGEST_LINE, read_blocks
from engage_sync.events.rejects import Reject


def read(path: Path) -> tuple[dict[int, bytes], list[Reject]]:
    found: dict[int, bytes] = {}
    rejects: list[Reject] = []
    for block in read_blocks(path):
        found |= {block.first_line + row: block.line(row) for row in range(len(block.starts))}
        rejects += block.rejects
    return found, rejects


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", {}),
        (b"a", {1: b"a"}),
        (b"a\n", {1: b"a"}),
        (b"\xef\xbb\xbfa\r\nb\r\n", {1: b"a", 2: b"b"}),
        (b"\n\na\r\r\n", {1: b"", 2: b"", 3: b"a\r"}),
        (b"\n", {1: b""}),
    ],
)
def test_breaks(tmp_path: Path, name: str, data: bytes, expected: dict[int, bytes]) -> None:
    assert read(written(tmp_path / name, data)) == (expected, [])


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_lines_across_blocks(tmp_path: Path, name: str) -> None:
    lines = [b"%d:" % number + b"x" * (number * 997 % 50_000) for number in range(700)]
    assert sum(map(len, lines)) > 3 * module.BLOCK_BYTES
    found, rejects = read(written(tmp_path / name, b"\n".join(lines)))
    assert found == dict(enumerate(lines, 1))
    assert rejects == []


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("ending", [b"\nlast", b"\n", b""])
def test_a_line_over_the_limit(tmp_path: Path, name: str, ending: bytes) -> None:
    longest = b"y" * LONGEST_LINE
    data = b"\n".join([b"one", longest, b"z" * (LONGEST_LINE + 1), b"four", b"w" * (5 * LONGEST_LINE)]) + ending
    found, rejects = read(written(tmp_path / name, data))
    assert {line: text for line, text in found.items() if text} == {1: b"one", 2: longest, 4: b"four"} | (
        {6: b"last"} if ending == b"\nlast" else {}
    )
    assert [reject.line for reject in rejects] == [3, 5]
    assert f"{LONGEST_LINE + 1:,} bytes" in rejects[0].reason
    assert rejects[1].text == "w" * 400


def test_truncated_gzip_gives_the_complete_lines(tmp_path: Path) -> None:
    lines = [b"%d %d" % (number, number * 7919 % 1_000_003) for number in range(200_000)]
    packed = gzip.compress(b"\n".join(lines), 6)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    whole = zlib.decompressobj(wbits=31).decompress(packed[: len(packed) // 2]).count(b"\n")
    found, rejects = read(path)
    assert len(found) == whole
    assert found == dict(enumerate(lines[:whole], 1))
    assert [reject.line for reject in rejects] == [whole + 1]
    assert "ends in the middle" in rejects[0].reason


def test_damaged_gzip(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"\n".join(b"%d" % (number * 7919) for number in range(100_000)), 6))
    packed[len(packed) // 2 : len(packed) // 2 + 64] = bytes(64)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed)
    found, rejects = read(path)
    assert found[1] == b"0"
    assert found[20_000] == b"%d" % (19_999 * 7919)
    assert len(rejects) == 1
    assert "damaged" in rejects[0].reason


@pytest.mark.parametrize(("data", "word"), [(b"not gzip at all", "damaged"), (b"", "ends in the middle")])
def test_no_gzip(tmp_path: Path, data: bytes, word: str) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(data)
    found, rejects = read(path)
    assert found == {}
    assert word in rejects[0].reason


def test_gzip_members_and_padding(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"a\nb") + gzip.compress(b"c\nd\n") + bytes(100))
    assert read(path) == ({1: b"a", 2: b"bc", 3: b"d"}, [])


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="cannot be read"):
        read(tmp_path)


def test_memory_stays_flat(tmp_path: Path) -> None:
    """A line of 600 MB, here a sparse file of zeros, is passed over."""
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.truncate(600 * 1024**2)
    code = (
        "import resource, sys; from pathlib import Path; from engage_sync.events.lines import read_blocks\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "rejects = [r for b in read_blocks(Path(sys.argv[1])) for r in b.rejects]\n"
        "print(len(rejects), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    rejects, grown = map(int, done.stdout.split())
    assert rejects == 1
    assert grown < 120 * 1024
