"""Every way to log in to Salesforce is told from the others, and the withdrawn one is refused with the way out."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from engage_sync.connectors.salesforce_settings import SalesforceSettings

OWN = "https://acme.my.salesforce.com"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"
CREDENTIALS = {"login_url": OWN, "client_id": "key", "client_secret": "hush"}
JWT = {"client_id": "key", "username": "sync@acme.com", "private_key": PEM}


def refusal(auth: dict[str, str], **more: str) -> str:
    with pytest.raises(ValidationError) as refused:
        SalesforceSettings.model_validate({"auth": auth, **more})
    return "; ".join(error["msg"] for error in refused.value.errors())


@pytest.mark.parametrize(
    ("auth", "more"),
    [
        pytest.param(CREDENTIALS, {}, id="client credentials"),
        pytest.param(JWT, {}, id="JWT bearer"),
        pytest.param({**JWT, "login_url": "https://test.salesforce.com"}, {}, id="JWT bearer, sandbox"),
        pytest.param({"session_id": "00D!AQ"}, {"instance_url": OWN}, id="a given session"),
        pytest.param({**CREDENTIALS, "login_url": "http://127.0.0.1:8091/"}, {}, id="a stand-in on this machine"),
        pytest.param(CREDENTIALS, {"instance_url": "http://localhost:8091"}, id="an instance on this machine"),
    ],
)
def test_ways_to_log_in(auth: dict[str, str], more: dict[str, str]) -> None:
    settings = SalesforceSettings.model_validate({"auth": auth, **more})
    assert not settings.auth.login_url.endswith("/")
    for secret in ("hush", "MIIE", "00D!AQ"):
        assert secret not in repr(settings)


@pytest.mark.parametrize(
    ("auth", "more", "sentence"),
    [
        pytest.param({}, {}, "give client_id and client_secret", id="nothing"),
        pytest.param({"client_id": "key"}, {}, "give client_id and client_secret", id="half"),
        pytest.param({"client_secret": "hush", "login_url": OWN}, {}, "client_secret needs the client_id", id="no id"),
        pytest.param({"client_id": "key", "private_key": PEM}, {}, "needs the username", id="no user"),
        pytest.param({**CREDENTIALS, **JWT}, {}, "not client_secret and private_key", id="two ways"),
        pytest.param({"session_id": "00D!AQ"}, {}, "auth.session_id needs instance_url", id="session without place"),
        pytest.param({"client_id": "key", "client_secret": "hush"}, {}, "the org's own login_url", id="shared host"),
        pytest.param({**JWT, "private_key": "MIIE"}, {}, "no private key in PEM form", id="no PEM"),
        pytest.param(
            {**CREDENTIALS, "client_secret": "a\nb"}, {}, "characters that a token cannot have", id="line end"
        ),
        pytest.param({**CREDENTIALS, "login_url": "http://acme.com"}, {}, "in clear to acme.com", id="plain http"),
        pytest.param({**CREDENTIALS, "login_url": "acme"}, {}, "no web address", id="no address"),
        pytest.param(CREDENTIALS, {"instance_url": "http://acme.com"}, "in clear to acme.com", id="plain instance"),
    ],
)
def test_what_cannot_log_in_is_a_sentence(auth: dict[str, str], more: dict[str, str], sentence: str) -> None:
    assert sentence in refusal(auth, **more)


@pytest.mark.parametrize("key", ["password", "security_token"])
def test_password_login_is_refused_with_the_way_out(key: str) -> None:
    told = refusal({"username": "sync@acme.com", key: "hush"})
    assert "being withdrawn by Salesforce" in told
    assert "client_id and client_secret" in told
    assert "hush" not in told
