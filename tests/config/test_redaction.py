"""Secrets that are written out leave a file; everything else in it stays."""

from __future__ import annotations

import pytest

from engage_sync.config.redaction import Hides, Location, redacted_file, with_value
from engage_sync.config.yaml_lines import read_document
from engage_sync.core.secrecy import named_secret


def by_name(location: Location, _text: str) -> Hides:
    """The whole of what is named as a secret; of an address at `hook` all that may be one."""
    if location[-1:] == ("hook",):
        return Hides.QUERY
    return Hides.ALL if location and named_secret(location[-1]) else Hides.LITTLE


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
        ('db: "a://u:it\'s@h/n"\n', 'db: "a://u:${CRM_DB_PASSWORD}@h/n"\n', ["db"]),
        ("db: 'a://u:it''s@h/n'\n", 'db: "a://u:${CRM_DB_PASSWORD}@h/n"\n', ["db"]),
        ("db: a://u:${file:/run/p}@h\n", "db: a://u:${file:/run/p}@h\n", []),
        (
            "db: a://h/n?user=u&password=x&sslmode=require\n",
            "db: a://h/n?user=u&password=${CRM_DB_PASSWORD}&sslmode=require\n",
            ["db"],
        ),
        (
            "db: a://u:one@h/n?password=two\n",
            "db: a://u:${CRM_DB_PASSWORD}@h/n?password=${CRM_DB_PASSWORD_2}\n",
            ["db", "db"],
        ),
        (
            "hook: https://key@h/x?a=b&c=${D}\n",
            "hook: https://${CRM_HOOK_USER}@h/x?a=${CRM_HOOK_A}&c=${D}\n",
            ["hook"] * 2,
        ),
        ("token: &t one\nsecret: *t\n", 'token: &t "${CRM_TOKEN}"\nsecret: *t\n', ["token"]),
        ("plain: &t one\nsecret: *t\n", 'plain: &t "${CRM_SECRET}"\nsecret: *t\n', ["secret"]),
        ("a: &t |\n  one\nsecret: *t\n", 'a: &t "${CRM_SECRET}"\nsecret: *t\n', ["secret"]),
        (
            "a: {b: 'a://h:80',c: 'x@y'} # a://u:it's@h\n",
            "a: {b: 'a://h:80',c: 'x@y'} # a://u:${CRM_URL_PASSWORD}@h\n",
            ["url"],
        ),
        ("# was a://u:old@h\nx: 1\n", "# was a://u:${CRM_URL_PASSWORD}@h\nx: 1\n", ["url"]),
    ],
)
def test_only_the_secret_is_replaced(before: str, after: str, keys: list[str]) -> None:
    content, replaced = redacted_file("connectors/crm.yaml", before.encode(), by_name)
    assert content.decode() == after
    assert [one.key for one in replaced] == keys
    assert read_document("f", content)[1] == []


def test_the_place_is_told() -> None:
    (one,) = redacted_file("config/engage.yaml", b"a: 1\nb:\n  - c: {password: x}\n", by_name)[1]
    assert (one.file, one.line, one.key, one.reference) == (
        "config/engage.yaml",
        3,
        "b.0.c.password",
        "${B_0_C_PASSWORD}",
    )


@pytest.mark.parametrize(
    ("before", "location", "after"),
    [
        ("database: x\na: 1\n", ("database",), 'database: "new"\na: 1\n'),
        ("a: 1\n", ("database",), 'a: 1\ndatabase: "new"\n'),
        ("events: {engine: duckdb}\n", ("events", "store"), 'events: {store: "new", engine: duckdb}\n'),
        ("events:\n  engine: duckdb\n", ("events", "store"), 'events:\n  store: "new"\n  engine: duckdb\n'),
        ("events:\n  store: old # here\n", ("events", "store"), 'events:\n  store: "new" # here\n'),
        ("database: &d old\na: *d\n", ("database",), 'database: &d "new"\na: *d\n'),
        ("", ("events", "store"), 'events: {store: "new"}\n'),
        ("events:\na: 1\n", ("events", "store"), 'events: {store: "new"}\na: 1\n'),
        ("events: {}\na: 1\n", ("events", "store"), 'events: {store: "new"}\na: 1\n'),
        ("events: ~ # none\n", ("events", "store"), 'events: {store: "new"} # none\n'),
    ],
)
def test_a_place_is_written_into_a_file(before: str, location: tuple[str, ...], after: str) -> None:
    assert with_value(before.encode(), location, "new").decode() == after
