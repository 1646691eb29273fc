import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage_sync.config.yaml_lines import read_document

SINCE = "(while {} that starts in line {})"


def read(text: str) -> object:
    document, problems = read_document("f.yaml", text.encode())
    assert problems == []
    return document.data


def refused(text: str | bytes) -> list[str]:
    content = text.encode() if isinstance(text, str) else text
    return [str(problem) for problem in read_document("f.yaml", content)[1]]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1", 1),
        ("-12", -12),
        ("+3", 3),
        ("0.10", 0.1),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("2026-06-01", "2026-06-01"),
        ("2026-06-01T00:00:00Z", "2026-06-01T00:00:00Z"),
        ("12:30:00", "12:30:00"),
        ("0123", "0123"),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("30d", "30d"),
        ("=", "="),
        ("99999999999999999999", "99999999999999999999"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("${NAME}", "${NAME}"),
        ("a ${NAME} b ${file:/x, y}", "a ${NAME} b ${file:/x, y}"),
    ],
)
def test_plain_values_mean_what_was_written(written: str, meant: object) -> None:
    value = read(f"key: {written}\n")
    assert value == {"key": meant}
    assert type(value["key"]) is type(meant)  # type: ignore[index]


def test_references_may_stand_in_flow_mappings() -> None:
    text = "auth: {access_token: ${TOKEN}, key: ${file:/run/secrets/sf.pem}, list: [${A}, ${B}]}"
    assert read(text) == {
        "auth": {"access_token": "${TOKEN}", "key": "${file:/run/secrets/sf.pem}", "list": ["${A}", "${B}"]}
    }


def test_keys_are_text_as_written() -> None:
    assert read("{on: 1, 404: 2, yes: 3, 2026-06-01: 4, null: 5, 1.50: 6}") == {
        "on": 1,
        "404": 2,
        "yes": 3,
        "2026-06-01": 4,
        "null": 5,
        "1.50": 6,
    }


def test_lines_of_keys_and_values() -> None:
    document, _ = read_document("f.yaml", b"a:\n  b:\n    - x\n    - c: |\n        text\n  d: {e: 1,\n      f: 2}\n")
    assert [document.key_line(*path) for path in [("a",), ("a", "b"), ("a", "b", 1), ("a", "b", 1, "c")]] == [
        1,
        2,
        4,
        4,
    ]
    assert [document.key_line("a", "d", "e"), document.key_line("a", "d", "f"), document.value_line("a", "b")] == [
        6,
        7,
        3,
    ]
    assert document.key_line("a", "nothing", "d") == 6


def test_aliases_repeat_a_value() -> None:
    assert read("a: &x {w: 30d}\nb: *x\n") == {"a": {"w": "30d"}, "b": {"w": "30d"}}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\ufeff# with a mark\n"])
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    assert read(text) == {}


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a: 1\nb: 2\na: 3\n", ["f.yaml:3: `a` is given twice; the first is in line 1"]),
        ("x: {a: 1, a: 2}\ny: {b: 1,\n b: 2}", [
            "f.yaml:1: `a` is given twice; the first is in line 1",
            "f.yaml:3: `b` is given twice; the first is in line 2",
        ]),
        ("a:\n\tb: 1\n", ["f.yaml:2: a tab cannot be used for spacing here; use spaces"]),
        ("a: 1\n\tb: 1\n", ["f.yaml:2: a tab cannot be used for spacing here; use spaces"]),
        ("a:\tb\n", ["f.yaml:1: a tab cannot be used for spacing here; use spaces"]),
        ("- a\n- b\n", ["f.yaml:1: the file must be a mapping (`key: value` lines), not a list"]),
        ("\njust text\n", ["f.yaml:2: the file must be a mapping (`key: value` lines), not a single value"]),
        ("a: 1\nb: [1, 2\nc: 3\n", [
            "f.yaml:3: not valid YAML: expected ',' or ']', but got ':' " + SINCE.format("parsing a flow sequence", 2),
        ]),
        ("a: b: c\n", ["f.yaml:1: not valid YAML: mapping values are not allowed here"]),
        ('a: "open\n', [
            "f.yaml:2: not valid YAML: found unexpected end of stream " + SINCE.format("scanning a quoted scalar", 1),
        ]),
        ("a: 1\n---\nb: 2\n", ["f.yaml:2: a file holds one document only; remove this `---`"]),
        ("a: *gone\n", ["f.yaml:1: `*gone` names nothing that was written above it"]),
        ("a: &a\n  b: *a\n", ["f.yaml:2: `*a` names nothing that was written above it"]),
        ("a: !!python/object:os.system x\n", ["f.yaml:1: tags (`!…`) are not used here; remove it"]),
        ("? [a]\n: b\n", ["f.yaml:1: a key must be text (`key: value`)"]),
        ("a: 1\n'': b\n", ["f.yaml:2: a key must be text (`key: value`)"]),
        ("b: &b {x: 1}\na:\n  <<: *b\n", ["f.yaml:3: `<<` (merging mappings) is not used here; write the keys out"]),
        ("a: 1\nb: \x01\n", ["f.yaml:2: the character U+0001 cannot be used here"]),
        ("a: 1\nb: \U0010ff41\n", ["f.yaml:2: the character U+10FF41 cannot be used here"]),
        (b"a: 1\nb: \xff\n", ["f.yaml:2: the file is not UTF-8 text; save it as UTF-8"]),
        ("a: " + "[" * 60 + "]" * 60, ["f.yaml:1: values are nested more than 50 deep"]),
    ],
)  # fmt: skip
def test_what_is_no_project_file_is_refused_with_its_line(text: str | bytes, problems: list[str]) -> None:
    assert refused(text) == problems


def test_aliases_cannot_blow_a_file_up() -> None:
    text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    assert refused(text) == ["f.yaml:6: the file holds more than 200,000 values"]


@given(st.one_of(st.text(), st.text(alphabet="{}[]:,-?&*!|>'\"%@`# \n\tab1${}"), st.binary()))
def test_any_bytes_give_a_document_or_problems_with_lines(content: str | bytes) -> None:
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    document, problems = read_document("f.yaml", data)
    assert all(problem.line is not None and problem.line >= 1 for problem in problems)
    assert isinstance(document.data, dict)


def test_what_a_reader_changes_is_its_own() -> None:
    content = b"a: {b: [1]}\na: 2\n"
    document, problems = read_document("f", content)
    document.data["a"] = 3
    problems.clear()
    again, found = read_document("f", content)
    assert (again.data, len(found)) == ({"a": {"b": [1]}}, 1)
