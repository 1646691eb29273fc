"""What a web address and a secret in a connector's file may look like, for every connector's settings. Never looks
anything up."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import SecretStr


def safe_address(value: str, example: str) -> str:
    """Check the address of an API and give it without a slash at its end. Raises ValueError.

    Plain http would show tokens to the network: only on this machine.
    """
    parts = urlsplit(value.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"is no web address; write it like {example}")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("must be a bare address: no user, no ?query, no #fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(f"http:// would send the token in clear to {parts.hostname}; use https://")
    return value.strip().rstrip("/")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def printable(value: SecretStr | None) -> SecretStr | None:
    """Drop the line end of a secret file; a header only carries printable ASCII. Raises ValueError."""
    if value is None:
        return None
    text = value.get_secret_value().strip()
    if not text:
        raise ValueError("is empty")
    if not (text.isascii() and text.isprintable()):
        raise ValueError("holds characters that a token cannot have (line breaks, or letters outside ASCII)")
    return SecretStr(text)
