"""What a `connectors/*.yaml` file of a HubSpot account may say besides its schedule and objects.

Only declares and checks; it never logs in and never reads the environment.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

API_HOST = "https://api.hubapi.com"


class Auth(BaseModel):
    """How to log in: a service key or private-app token, or an OAuth app with its refresh token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    access_token: SecretStr | None = Field(None, description="Service key or private-app token.")
    client_id: str | None = Field(None, description="OAuth: the app's client id.")
    client_secret: SecretStr | None = Field(None, description="OAuth: the app's client secret.")
    refresh_token: SecretStr | None = Field(None, description="OAuth: the refresh token of the installed app.")

    @field_validator("access_token", "client_secret", "refresh_token")
    @classmethod
    def _printable(cls, value: SecretStr | None) -> SecretStr | None:
        """Drop the line end that a secret file has; a header cannot carry anything but printable ASCII."""
        if value is None:
            return None
        text = value.get_secret_value().strip()
        if not text:
            raise ValueError("is empty")
        if not (text.isascii() and text.isprintable()):
            raise ValueError("holds characters that a token cannot have (line breaks, or letters outside ASCII)")
        return SecretStr(text)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        oauth = (self.client_id, self.client_secret, self.refresh_token)
        if self.access_token is not None and any(part is not None for part in oauth):
            raise ValueError("give either access_token, or client_id, client_secret and refresh_token; not both")
        if self.access_token is None and not all(oauth):
            raise ValueError("give access_token, or all three of client_id, client_secret and refresh_token")
        return self


class HubSpotSettings(BaseModel):
    """The keys of a HubSpot connector file that only HubSpot knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    auth: Auth
    base_url: str = Field(API_HOST, description="Where HubSpot's API is; a sandbox or a proxy goes here.")

    @field_validator("base_url")
    @classmethod
    def _safe(cls, value: str) -> str:
        """Plain http would show the token to the network: only on this machine."""
        parts = urlsplit(value.strip())
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{value!r} is no web address; write it like {API_HOST}")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("must be a bare address: no user, no ?query, no #fragment")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError(f"http:// would send the token in clear to {parts.hostname}; use https://")
        return value.strip().rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
