"""What a `connectors/*.yaml` file of a Salesforce org may say besides its schedule and objects.

Only declares and checks; it never logs in and never reads the environment.
"""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from engage_sync.connectors.addresses import printable, safe_address

LOGIN_HOST = "https://login.salesforce.com"
SANDBOX_HOST = "https://test.salesforce.com"
MY_DOMAIN = "https://your-domain.my.salesforce.com"
SHARED_HOSTS = frozenset({"login.salesforce.com", "test.salesforce.com"})
"""Where everybody logs in; client credentials need the org's own address."""

_WITHDRAWN = frozenset({"password", "security_token"})
_WAY_OUT = (
    "logging in with a password is being withdrawn by Salesforce (the SOAP login is off in new orgs and ends in Summer"
    " '27); make an External Client App and give client_id and client_secret, or client_id, username and private_key"
)
_WAYS = (
    "give client_id and client_secret (client credentials), or client_id, username and private_key (JWT bearer),"
    " or a session_id"
)


class Auth(BaseModel):
    """How to log in: client credentials, JWT bearer, or a session that somebody else opened."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    login_url: str = Field(
        LOGIN_HOST,
        description="Where to log in: the org's My Domain, https://login.salesforce.com, or https://test.salesforce.com.",
    )
    client_id: str | None = Field(None, min_length=1, description="The External Client App's consumer key.")
    client_secret: SecretStr | None = Field(None, description="Client credentials: the app's consumer secret.")
    username: str | None = Field(None, min_length=1, description="JWT bearer: the integration user.")
    private_key: SecretStr | None = Field(
        None, description="JWT bearer: the private key (PEM) of the certificate that the app holds."
    )
    session_id: SecretStr | None = Field(None, description="A session that is open already; with `instance_url`.")

    @field_validator("login_url")
    @classmethod
    def _safe(cls, value: str) -> str:
        return safe_address(value, MY_DOMAIN)

    @field_validator("client_secret", "session_id")
    @classmethod
    def _printable(cls, value: SecretStr | None) -> SecretStr | None:
        return printable(value)

    @field_validator("private_key")
    @classmethod
    def _pem(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and "PRIVATE KEY-----" not in value.get_secret_value():
            raise ValueError(
                "is no private key in PEM form (-----BEGIN PRIVATE KEY-----); use ${file:/path/to/key.pem}"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _no_password(cls, data: object) -> object:
        if isinstance(data, dict) and _WITHDRAWN & data.keys():
            raise ValueError(_WAY_OUT)
        return data

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = {"client_secret": self.client_secret, "private_key": self.private_key, "session_id": self.session_id}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"{_WAYS}; not {' and '.join(given)}" if given else _WAYS)
        if self.session_id is None and self.client_id is None:
            raise ValueError(f"{given[0]} needs the client_id (consumer key) of the app too")
        if self.private_key is not None and self.username is None:
            raise ValueError("private_key needs the username of the integration user too")
        if self.client_secret is not None and urlsplit(self.login_url).hostname in SHARED_HOSTS:
            raise ValueError(
                f"client credentials need the org's own login_url, such as {MY_DOMAIN}, not {self.login_url}"
            )
        return self


class SalesforceSettings(BaseModel):
    """The keys of a Salesforce connector file that only Salesforce knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    auth: Auth
    instance_url: str | None = Field(
        None, description="Where the org's API is; default: what the login answers. A sandbox or a proxy goes here."
    )

    @field_validator("instance_url")
    @classmethod
    def _safe(cls, value: str | None) -> str | None:
        return None if value is None else safe_address(value, MY_DOMAIN)

    @model_validator(mode="after")
    def _session_has_a_place(self) -> Self:
        if self.auth.session_id is not None and self.instance_url is None:
            raise ValueError(f"auth.session_id needs instance_url, such as {MY_DOMAIN}")
        return self
