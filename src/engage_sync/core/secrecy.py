"""What a secret looks like within a text: names of keys, the login and the query of an address, a token in its path.
It only looks; a `${…}` that names a secret is none itself. Decides nothing of what is shown where.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

STRUCK: Final = "***"

_NAMES: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret|token$|(api|private|access|account|sas|master|customer)[_-]?key|session_?id|credential|authorization",
    re.IGNORECASE,
)
_QUERY_NAMES: Final = re.compile(r"(^|[_-])(pwd|pw|sig|signature|sas|key|code|auth|hash)$", re.IGNORECASE)
_REFERENCE: Final = re.compile(r"\$\{[^{}]*\}")
_HIDDEN: Final = "\0"
"""Stands for each character of a reference while a text is looked through: what it holds has a meaning of its own."""
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*")
_ADDRESS_WITHIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"<>]*")
"""Between other words a double quote ends an address: JSON puts it there, and in an address it is written %22."""
_ODD_LOGIN: Final = re.compile(r"[^\[\s:/@?#\0]*:(?![0-9]{1,5}([/?#]|$))[^@\0]+@")
"""A login whose password holds what should have been written as %2F, %3F or %23; no host and port before a path."""
_PLAIN: Final = re.compile(r"(v?[0-9]{1,10}|[A-Za-z]{1,15})([-_.~](v?[0-9]{1,10}|[A-Za-z]{1,15}))*(\.[a-z0-9]{2,5})?")
"""A part of a path that somebody gave a name: words and numbers, and not both in one."""
_PAIR: Final = re.compile(r"[?&;]([^=&;#]*)=([^&;#]+)")
_BEARER: Final = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A secret within a text: where it begins and ends, and what it may be called."""

    name: str
    start: int
    end: int


def named_secret(key: str) -> bool:
    """Tell by a key's name that what it holds is secret."""
    return _NAMES.search(key) is not None


def is_written_out(text: str) -> bool:
    """Tell whether there is more in a text than references to secrets."""
    return bool(_REFERENCE.sub("", text).strip())


def like_token(url: str) -> bool:
    """Tell whether the path of an address holds what only its owner knows, as those of chat webhooks do."""
    _, found, rest = _masked(url).partition("://")
    path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")[2]
    parts = [part.replace(_HIDDEN, "") for part in path.split("/")]
    return bool(found) and any(part and _PLAIN.fullmatch(unquote(part)) is None for part in parts)


def in_address(text: str, *, strictly: bool = False) -> list[Found]:
    """Find the secrets in a text that begins with an address: the password, and of the query what is called like one.
    `strictly`, a login without password is a key, too, and whatever is in the query."""
    return [
        one
        for address in _ADDRESS.finditer(_masked(text))
        for one in (*_in_login(address, strictly=strictly), *_in_query(address, strictly=strictly))
    ]


def struck(text: str) -> str:
    """Strike out of any text the logins of addresses, what is secret in their queries, and HTTP credentials."""
    secrets: list[tuple[int, int]] = []
    for address in _ADDRESS_WITHIN.finditer(_masked(text)):
        begin, rest = _rest(address)
        secrets += [(begin, begin + login - 1)] if (login := _login(rest)) else []
        secrets += [(one.start, one.end) for one in _in_query(address, strictly=False)]
    for start, end in reversed(secrets):
        text = text[:start] + STRUCK + text[end:]
    return _BEARER.sub(rf"\1 {STRUCK}", text)


def bare(text: str) -> str:
    """Give a text in which every address ends behind host and port."""
    return _BEARER.sub(rf"\1 {STRUCK}", _ADDRESS_WITHIN.sub(lambda found: _bare(found[0]), text))


def shown(url: str) -> str:
    """Give an address as it may be shown: without login, query and, where that holds a token, path."""
    scheme, _, rest = url.partition("://")
    rest = re.split(r"[?#]", rest[_login(rest) :], maxsplit=1)[0]
    return f"{scheme}://{rest}" if not like_token(url) else _bare(url)


def _bare(url: str) -> str:
    scheme, _, rest = url.partition("://")
    rest = rest[_login(rest) :]
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return f"{scheme}://{host}" + ("/…" if len(rest) > len(host) + 1 else rest[len(host) :])


def _masked(text: str) -> str:
    return _REFERENCE.sub(lambda found: _HIDDEN * len(found[0]), text)


def _login(rest: str) -> int:
    """Give the length of the login, with its @, at the beginning of what follows `://`; 0 where there is none."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in host:
        return host.rindex("@") + 1
    odd = _ODD_LOGIN.match(rest)
    return odd.end() if odd is not None else 0


def _rest(address: re.Match[str]) -> tuple[int, str]:
    """Give what follows the `://` of an address, and where that begins in the text."""
    rest = address[0].partition("://")[2]
    return address.end() - len(rest), rest


def _in_login(address: re.Match[str], *, strictly: bool) -> Iterator[Found]:
    begin, rest = _rest(address)
    if (login := _login(rest)) == 0:
        return
    user, has_password, password = rest[: login - 1].partition(":")
    if has_password and password.strip(_HIDDEN):
        yield Found("password", begin + len(user) + 1, begin + login - 1)
    elif strictly and not has_password and user.strip(_HIDDEN):
        yield Found("user", begin, begin + len(user))


def _in_query(address: re.Match[str], *, strictly: bool) -> Iterator[Found]:
    begin, rest = _rest(address)
    asked = rest.find("?", _login(rest))
    for one in _PAIR.finditer(rest, asked) if asked >= 0 else ():
        key = unquote(one[1])
        secret = strictly or named_secret(key) or _QUERY_NAMES.search(key) is not None
        if secret and one[2].strip(_HIDDEN):
            yield Found(key, begin + one.start(2), begin + one.end(2))
