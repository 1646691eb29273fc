"""What looks like a secret within a text, and what does not."""

from __future__ import annotations

import pytest

from engage_sync.core.secrecy import bare, like_token, shown, struck


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("x postgresql://engage:it's@db/engage y", "x postgresql://***@db/engage y"),
        ("https://u:p@ss@h/", "https://***@h/"),
        ("https://key@h/a?b=c", "https://***@h/a?b=c"),
        ("a://u:p/w#x@h/db", "a://***@h/db"),
        ("a://db/engage?user=u&password=p&sslmode=require", "a://db/engage?user=u&password=***&sslmode=require"),
        ("az://c/p?sv=2&sig=abc%2F", "az://c/p?sv=2&sig=***"),
        ('{"url":"http://h","mail":"a@b"}', '{"url":"http://h","mail":"a@b"}'),
        ("http://h:80/x@y http://[::1]:80/x@y", "http://h:80/x@y http://[::1]:80/x@y"),
        ("Authorization: Bearer a.b-c", "Authorization: Bearer ***"),
        ("no address, a@b", "no address, a@b"),
    ],
)
def test_what_is_secret_is_struck_out(text: str, without: str) -> None:
    assert struck(text) == without


def test_an_address_ends_behind_its_host() -> None:
    assert bare("(url=http://u:p@h:80/services/T0/B0/x?y=z): bad") == "(url=http://h:80/… bad"
    assert bare("http://h:80/ and http://h") == "http://h:80/ and http://h"


def test_an_address_is_shown_without_what_may_be_a_key() -> None:
    assert shown("https://u:p@h:1/otlp/v1/traces?a=b#c") == "https://h:1/otlp/v1/traces"
    assert shown("https://h/in/b4xk9q2") == "https://h/…"


@pytest.mark.parametrize(
    ("url", "like"),
    [
        ("https://hooks.slack.com/services/T000/B000/abcdefghij0123456789abcd", True),
        ("https://hooks.zapier.com/hooks/catch/1234567/b4xk9q2/", True),
        ("https://h/aXbYcZdQwErTyUiOpLkJ", True),
        ("https://example.com/webhooks/customer-success/v2/in.json?token=x9", False),
        ("https://example.com/in/${HOOK_ID}", False),
        ("https://b4xk9q2.example.com", False),
        ("b4xk9q2/b4xk9q2", False),
    ],
)
def test_tokens_in_paths(url: str, like: bool) -> None:
    assert like_token(url) is like
