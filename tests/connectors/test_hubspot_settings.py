"""What a HubSpot connector file may say of its login and address."""

import pytest
from pydantic import ValidationError

from engage_sync.connectors.hubspot import HubSpot

OAUTH = {"client_id": "id", "client_secret": "shh", "refresh_token": "again"}


def settings(**given: object) -> object:
    return HubSpot.Settings.model_validate(given)


@pytest.mark.parametrize("auth", [{"access_token": "t"}, OAUTH])
def test_either_way_to_log_in(auth: dict[str, str]) -> None:
    assert settings(auth=auth).base_url == "https://api.hubapi.com"


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"client_id": "id"},
        {"access_token": "t", **OAUTH},
        {"access_token": ""},
        {"access_token": "  \n"},
        {"access_token": "a\nb"},
        {"access_token": "tökén"},
        {"access_token": "t", "user": "x"},
    ],
)
def test_half_or_double_logins_are_refused(auth: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        settings(auth=auth)


def test_line_end_of_a_secret_file_is_dropped() -> None:
    assert settings(auth={"access_token": "t\n"}).auth.access_token.get_secret_value() == "t"


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8090", "http://localhost:1/", "http://[::1]:80", "https://p.example"]
)
def test_addresses_that_keep_the_token_safe(address: str) -> None:
    assert settings(auth={"access_token": "t"}, base_url=address).base_url == address.rstrip("/")


@pytest.mark.parametrize(
    "address",
    [
        "http://api.hubapi.com",
        "http://127.0.0.1.evil.example",
        "ftp://localhost",
        "api.hubapi.com",
        "",
        "https://u:p@h",
        "https://h?x=1",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        settings(auth={"access_token": "t"}, base_url=address)


def test_secrets_do_not_show() -> None:
    shown = repr(settings(auth=OAUTH)) + str(settings(auth={"access_token": "t0k3n"}))
    assert "shh" not in shown
    assert "again" not in shown
    assert "t0k3n" not in shown
