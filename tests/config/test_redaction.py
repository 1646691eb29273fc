"""Secrets that are written out leave a file; everything else in it stays."""

from __future__ import annotations

import pytest

from engage_sync.config.redaction import like_token, named_secret, redacted_file, with_value
from engage_sync.config.yaml_lines import read_document


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        ("a: 1\n", "a: 1\n", []),
        (
            "auth: {access_token: pat-1} # x\n",
            'auth: {access_token: "${CRM_ACCESS_TOKEN}"} # x\n',
            ["auth.access_token"],
        ),
        ("auth:\n  token: 'p: \"q'\n", 'auth:\n  token: "${CRM_TOKEN}"\n', ["auth.token"]),
        ("auth: {token: ${A}, secret: '${B}'}\n", "auth: {token: ${A}, secret: '${B}'}\n", []),
        ("auth: {token: ${A}-and-more}\n", 'auth: {token: "${CRM_TOKEN}"}\n', ["auth.token"]),
        (
            "auth:\n  private_key: |\n    -----BEGIN\n    abc\n  user: me\n",
            'auth:\n  private_key: "${CRM_PRIVATE_KEY}"\n  user: me\n',
            ["auth.private_key"],
        ),
        ("db: a+b://u:p@ss@h/n\n", "db: a+b://u:${CRM_DB_PASSWORD}@h/n\n", ["db"]),
        ("db: a://u:${P}@h/n\nhost: a://h:1/x@y\n", "db: a://u:${P}@h/n\nhost: a://h:1/x@y\n", []),
        ("# was a://u:old@h\nx: 1\n", "# was a://u:${CRM_URL_PASSWORD}@h\nx: 1\n", ["url"]),
    ],
)
def test_only_the_secret_is_replaced(before: str, after: str, keys: list[str]) -> None:
    content, replaced = redacted_file("connectors/crm.yaml", before.encode(), named_secret)
    assert content.decode() == after
    assert [one.key for one in replaced] == keys
    assert read_document("f", content)[1] == []


def test_the_place_is_told() -> None:
    (one,) = redacted_file("config/engage.yaml", b"a: 1\nb:\n  - c: {password: x}\n", named_secret)[1]
    assert (one.file, one.line, one.key, one.reference) == (
        "config/engage.yaml",
        3,
        "b.0.c.password",
        "${B_0_C_PASSWORD}",
    )


def test_addresses_with_tokens() -> None:
    assert like_token("https://hooks.slack.com/services/T000/B000/abcdefghij0123456789abcd")
    assert not like_token("https://example.com/webhooks/customer-success")


@pytest.mark.parametrize(
    ("before", "location", "after"),
    [
        ("database: x\na: 1\n", ("database",), 'database: "new"\na: 1\n'),
        ("a: 1\n", ("database",), 'a: 1\ndatabase: "new"\n'),
        ("events: {engine: duckdb}\n", ("events", "store"), 'events: {store: "new", engine: duckdb}\n'),
        ("events:\n  engine: duckdb\n", ("events", "store"), 'events:\n  store: "new"\n  engine: duckdb\n'),
        ("events:\n  store: old # here\n", ("events", "store"), 'events:\n  store: "new" # here\n'),
        ("", ("events", "store"), 'events: {store: "new"}\n'),
    ],
)
def test_a_place_is_written_into_a_file(before: str, location: tuple[str, ...], after: str) -> None:
    assert with_value(before.encode(), location, "new").decode() == after
