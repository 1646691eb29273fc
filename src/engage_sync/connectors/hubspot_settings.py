"""What a `connectors/*.yaml` file of a HubSpot account may say besides its schedule and objects.

Only declares and checks; it never logs in and never reads the environment.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from engage_sync.connectors.addresses import printable, safe_address

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
        return printable(value)

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
        return safe_address(value, API_HOST)
