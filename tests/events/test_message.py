"""The exact way, by the letter of semantics §1 and §2."""

import json
from datetime import UTC, datetime

import pytest

from engage_sync.events.message import Message, Refused, number_text, read_instant, read_line

AT = "2026-01-02T03:04:05.678Z"


def read(**keys: object) -> Message:
    message = {"type": "track", "userId": "u", "event": "e", "timestamp": AT, **keys}
    return read_line(json.dumps({key: value for key, value in message.items() if value is not ...}).encode())


def reason(line: bytes) -> str:
    with pytest.raises(Refused) as refused:
        read_line(line)
    return str(refused.value)


def refused(**keys: object) -> str:
    with pytest.raises(Refused) as answer:
        read(**keys)
    return str(answer.value)


def test_a_whole_message() -> None:
    message = read(
        messageId="m", groupId="g", properties={"a": 1}, context={"campaign": {"source": "s", "medium": 2, "name": "n"}}
    )
    assert message == Message(
        "m", "track", "e", "u", "g", None, datetime(2026, 1, 2, 3, 4, 5, 678000, UTC), None,
        {"a": "1"}, [], "s", "2", "n", False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"), ("", ""), (1, "1"), (-7, "-7"), (1.0, "1"), (1e2, "100"), (-0.0, "0"), (12.50, "12.5"),
        (2**53, "9007199254740992"), (2**53 + 2, "9007199254740994.0"), (0.1 + 0.2, "0.30000000000000004"),
        (1e-7, "1e-07"), (1e300, "1e+300"),
        (True, "true"), (False, "false"), ([], "[]"),
        ([1, "é", None], '[1,"é",null]'),
        ([{"a": 1}], '[{"a":1}]'),
    ],
)  # fmt: skip
def test_property_values(value: object, text: str) -> None:
    assert read(properties={"a": value}).properties == {"a": text}


def test_nested_null_and_repeated_keys() -> None:
    line = b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","properties":%b}'
    found = read_line(line % b'{"a":{"b":{"c":1}},"n":null,"m":{"x":null},"e":{},"d":1,"d":"2","a.b":5}').properties
    assert found == {"a.b.c": "1", "d": "2", "a.b": "5"}


def test_traits() -> None:
    message = read(type="identify", traits={"a": 1, "b": None, "c": {"d": {"e": "x"}, "f": None}, "g": {}, "h": [1]})
    assert message.traits == [
        ("a", "a", "1"), ("b", "b", None), ("c", "c.d.e", "x"), ("g", "g", None), ("h", "h", "[1]"),
    ]  # fmt: skip
    assert message.event is None
    assert message.properties == {}


@pytest.mark.parametrize("bag", ["text", 1, True, ["a"]])
def test_a_bag_that_is_no_object_counts_as_empty(bag: object) -> None:
    assert read(properties=bag).misshapen
    assert read(type="group", groupId="g", traits=bag).misshapen
    assert not read(type="group", groupId="g", properties=bag).misshapen


@pytest.mark.parametrize(
    ("given", "text"), [("a b", "a b"), (7, "7"), (1.0, "1"), (10**20, "1" + "0" * 20), ("😀'", "😀'")]
)
def test_ids(given: object, text: str) -> None:
    message = read(userId=given, messageId=given, groupId=given)
    assert (message.user, message.message_id, message.account) == (text, text, text)


@pytest.mark.parametrize("bad", [1.5, True, False, [], ["u"], {}, {"id": 1}])
@pytest.mark.parametrize("name", ["userId", "messageId", "groupId"])
def test_ids_that_are_none(name: str, bad: object) -> None:
    assert name in refused(**{name: bad})


def test_account_of_a_message() -> None:
    context = {"groupId": "c"}
    assert read(context=context).account == "c"
    assert read(groupId="", context=context).account == "c"
    assert read(groupId=None, context=context).account == "c"
    assert read(groupId="g", context={"groupId": ["no id"]}).account == "g"
    assert "context.groupId" in refused(context={"groupId": ["no id"]})
    assert read(userId="", context=context).user is None
    assert "neither" in refused(userId="", groupId=None, anonymousId="a")


def test_names() -> None:
    assert read(type="page", name="Home", event=...).event == "Home"
    assert read(type="page", name="", properties={"name": "x"}).event == "page"
    assert read(type="screen", name=5).event == "screen"
    assert "event name" in refused(event="")
    assert "event name" in refused(event=...)
    assert "event name" in refused(event=5)
    assert '"trak"' in refused(type="trak")
    assert "track?" in refused(type="trak")
    assert "no type" in refused(type=None)
    assert "no text" in refused(type=["track"])


def test_alias_needs_both_ids() -> None:
    message = read(type="alias", previousId="old")
    assert (message.user, message.previous) == ("u", "old")
    assert "alias" in refused(type="alias", previousId="")
    assert "alias" in refused(type="alias", previousId="old", userId=None)
    assert "previousId" in refused(type="alias", previousId=[])


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("20260101T000000", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-W01-1", datetime(2025, 12, 29, tzinfo=UTC)),
        ("2026-01-01T00:00:00,5+02:00", datetime(2025, 12, 31, 22, 0, 0, 500000, tzinfo=UTC)),
        ("2026-01-01T00:00:00.1234569Z", datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)),
        ("0001-01-01", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("1969-12-31T23:59:59Z", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("-2026-01-01", None),
        ("2026-01-01T24:00:00", None),
        ("1767225600", None),
        ("", None),
    ],
)
def test_instants(text: str, instant: datetime | None) -> None:
    assert read_instant(text) == instant


def test_which_instant_counts() -> None:
    other = "2026-02-02T00:00:00Z"
    assert read(timestamp=None, receivedAt=other).timestamp == datetime(2026, 2, 2, tzinfo=UTC)
    assert read(receivedAt=other).received == datetime(2026, 2, 2, tzinfo=UTC)
    assert read(receivedAt="soon").received is None
    assert "timestamp" in refused(timestamp="soon", receivedAt=other)
    assert "timestamp" in refused(timestamp="", receivedAt=other)
    assert "timestamp" in refused(timestamp=1767225600, receivedAt=other)
    assert "receivedAt" in refused(timestamp=None, receivedAt="soon")
    assert "neither" in refused(timestamp=...)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"{", "not JSON"), (b'{"a":NaN}', "not JSON"), (b'{"a":1,}', "not JSON"),
        (b"[1]", "no object"), (b"3", "no object"),
        (b'{"a":"\xff"}', "UTF-8"), (b'{"a":"\xed\xa0\x80"}', "UTF-8"), (b'{"a":"\\u0000"}', "U+0000"),
        (b'{"\\u0000":1}', "U+0000"), (b'{"a":"\\ud800"}', "surrogate"), (b'{"a":"\\udc00\\ud800"}', "surrogate"),
        (b'{"a":"\\ud83dx"}', "surrogate"), (b'{"a":"\\ud800","a":1}', "surrogate"), (b'{"a":"\x01"}', "not JSON"),
        (b"[" * 100_000, "nested"),
    ],
)  # fmt: skip
def test_lines_that_are_no_message(line: bytes, word: str) -> None:
    assert word in reason(line)


def test_escapes_that_are_fine() -> None:
    line = rb'{"type":"track","userId":"\\u0000","event":"\ud83d\ude00\u00e9","timestamp":"2026-01-01"}'
    message = read_line(line)
    assert (message.user, message.event) == ("\\u0000", "😀é")


def test_numbers_too_long_for_int() -> None:
    line = b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","properties":{"a":%b}}' % (b"9" * 5000)
    assert read_line(line).properties == {"a": "inf"}
    assert number_text(-(10**400)) == "-inf"
