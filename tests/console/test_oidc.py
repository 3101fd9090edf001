"""Signing in at a provider that is scripted: what of its answers counts, and for whom."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from console import Visitor, console_service, visitor
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from moderation_service.config.settings import Url
from moderation_service.core.person import Role
from moderation_service.errors import ConfigurationError
from moderation_service.store import people
from moderation_service.store.schema import trail
from moderation_service.store.trail import now_ms
from moderation_service.web import create_app

ISSUER = "https://id.example"
CLIENT = "console-client"
KEY = RSAKey.generate_key(2048, {"kid": "k1"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "k1"})
ALL = {"console_oidc_role": "reviewer"}


class ScriptedProvider:
    """Answers as told; `claims`, `header` and `key` change what it signs."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "k1"}
        self.key: Any = KEY
        self.nonce = ""
        self.token_requests: list[dict[str, list[str]]] = []
        self.challenge = ""
        metadata = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        }
        self.metadata = metadata
        mock.get(f"{ISSUER}/.well-known/openid-configuration", json=metadata)
        mock.get(f"{ISSUER}/keys", json={"keys": [KEY.as_dict(private=False)]})
        mock.add_callback(responses.POST, f"{ISSUER}/token", callback=self.token)

    def token(self, request: Any) -> tuple[int, dict[str, str], str]:
        self.token_requests.append(parse_qs(request.body))
        now = int(time.time())
        claims = {
            "iss": ISSUER, "sub": "subject-1", "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": self.nonce,
            "preferred_username": "anna@example.com", **self.claims,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.header["alg"] == "none":
            parts = (json.dumps(one).encode() for one in (self.header, claims))
            signed = ".".join(base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in parts) + "."
        else:
            signed = jwt.encode(self.header, claims, self.key, algorithms=["RS256", "HS256"])
        return 200, {}, json.dumps({"access_token": "at", "token_type": "Bearer", "id_token": signed})


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield ScriptedProvider(mock)


def somebody_at(folder: Path, **settings: Any) -> Visitor:
    return visitor(
        folder,
        None,
        console_url=Url("http://localhost"),
        console_oidc_issuer=Url(ISSUER),
        console_oidc_client_id=CLIENT,
        **settings,
    )


def go(somebody: Visitor, provider: ScriptedProvider) -> dict[str, str]:
    """To the provider, which sends one back with these."""
    sent = somebody.get("/oidc/start")
    assert sent.status_code == 303, sent.text
    asked = {name: values[0] for name, values in parse_qs(urlsplit(sent.headers["Location"]).query).items()}
    assert asked["redirect_uri"] == "http://localhost/console/oidc/callback"
    assert asked["code_challenge_method"] == "S256"
    provider.nonce, provider.challenge = asked["nonce"], asked["code_challenge"]
    return {"code": "c1", "state": asked["state"]}


def test_somebody_of_the_provider_signs_in_with_the_role_that_all_of_them_get(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    somebody = somebody_at(tmp_path, **ALL)
    assert "/console/oidc/start" in somebody.get("/sign-in").text
    back = somebody.get("/oidc/callback", **go(somebody, provider))
    assert back.headers["Location"] == "/console"
    page = somebody.get("").text
    assert "anna@example.com" in page
    assert "reviewer" in page
    (sent,) = provider.token_requests
    assert sent["code"] == ["c1"]
    assert create_s256_code_challenge(sent["code_verifier"][0]) == provider.challenge


def test_a_second_time_it_is_the_same_account(tmp_path: Path, provider: ScriptedProvider) -> None:
    somebody = somebody_at(tmp_path, **ALL)
    for name in ("anna@example.com", "anna.new@example.com"):
        provider.claims = {"preferred_username": name}
        somebody.get("/oidc/callback", **go(somebody, provider))
    with somebody.database.read() as connection:
        assert [one.name for one in people.all_people(connection)] == ["anna@example.com"]


@pytest.mark.parametrize("name", ["admin", people.BY_LINK])
def test_a_name_that_is_taken_is_not_taken_over(tmp_path: Path, provider: ScriptedProvider, name: str) -> None:
    somebody = somebody_at(tmp_path, **ALL)
    with somebody.database.write() as connection:
        people.add_person(connection, "admin", Role.ADMIN, now_ms=now_ms())
    provider.claims = {"preferred_username": name}
    somebody.get("/oidc/callback", **go(somebody, provider))
    assert re.search(rf"{name} \([0-9a-f]{{8}}\)", somebody.get("").text)
    with somebody.database.read() as connection:
        assert connection.execute(trail.select()).first().action == "people.add"  # type: ignore[union-attr]


def test_unknown_people_stay_out_unless_the_settings_let_all_of_them_in(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    somebody = somebody_at(tmp_path)
    assert somebody.get("/oidc/callback", **go(somebody, provider)).status_code == 403
    assert somebody.get("").status_code == 303
    with somebody.database.write() as connection:
        people.add_person(connection, "anna", Role.ADMIN, now_ms=now_ms(), issuer=ISSUER, subject="subject-1")
    assert somebody.get("/oidc/callback", **go(somebody, provider)).status_code == 303
    assert "anna" in somebody.get("").text


def test_a_disabled_account_stays_out(tmp_path: Path, provider: ScriptedProvider) -> None:
    somebody = somebody_at(tmp_path, **ALL)
    somebody.get("/oidc/callback", **go(somebody, provider))
    with somebody.database.write() as connection:
        account = people.find_by_subject(connection, issuer=ISSUER, subject="subject-1")
        assert account is not None
        people.change_person(connection, account, disabled_at=now_ms())
    assert somebody.get("/oidc/callback", **go(somebody, provider)).status_code == 403
    assert somebody.get("").status_code == 303


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "another audience": {"claims": {"aud": "somebody-else"}},
    "no audience": {"claims": {"aud": None}},
    "another nonce": {"claims": {"nonce": "n"}},
    "no nonce": {"claims": {"nonce": None}},
    "expired": {"claims": {"exp": 1000}},
    "never expires": {"claims": {"exp": None}},
    "nobody": {"claims": {"sub": None}},
    "another key": {"key": OTHER_KEY},
    "unsigned": {"header": {"alg": "none"}},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_an_answer_that_is_not_the_providers_for_this_sign_in_is_refused(
    tmp_path: Path, provider: ScriptedProvider, wrong: dict[str, Any]
) -> None:
    somebody = somebody_at(tmp_path, **ALL)
    query = go(somebody, provider)
    for name, value in wrong.items():
        setattr(provider, name, value)
    reply = somebody.get("/oidc/callback", **query)
    assert reply.status_code == 403
    assert "provider&#39;s answer can&#39;t be accepted" in reply.text
    assert somebody.get("").status_code == 303


def test_a_signature_with_a_secret_that_everybody_can_read_is_refused(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    somebody = somebody_at(tmp_path, **ALL)
    query = go(somebody, provider)
    provider.header, provider.key = {"alg": "HS256", "kid": "k1"}, OctKey.import_key(KEY.as_dict(private=False)["n"])
    assert somebody.get("/oidc/callback", **query).status_code == 403


def test_the_way_back_is_for_the_browser_that_went(tmp_path: Path, provider: ScriptedProvider) -> None:
    somebody = somebody_at(tmp_path, **ALL)
    query = go(somebody, provider)
    assert somebody.get("/oidc/callback", **{**query, "state": "x"}).status_code == 403
    assert somebody.get("/oidc/callback", code="c1").status_code == 403
    somebody.client.delete_cookie("moderation_provider", path="/console")
    assert somebody.get("/oidc/callback", **query).status_code == 403
    assert provider.token_requests == []


def test_a_refusal_of_the_provider_is_told(tmp_path: Path, provider: ScriptedProvider) -> None:
    somebody = somebody_at(tmp_path, **ALL)
    query = go(somebody, provider)
    reply = somebody.get("/oidc/callback", state=query["state"], error="access_denied", error_description="<b>no</b>")
    assert reply.status_code == 403
    assert "did not let you in" in reply.text
    assert "<b>no</b>" not in reply.text


def test_a_provider_that_is_away_or_another_one_is_told(tmp_path: Path) -> None:
    somebody = somebody_at(tmp_path, **ALL)
    with responses.RequestsMock() as mock:
        mock.get(f"{ISSUER}/.well-known/openid-configuration", status=503)
        assert somebody.get("/oidc/start").status_code == 403
    with responses.RequestsMock() as mock:
        mock.get(f"{ISSUER}/.well-known/openid-configuration", json={"issuer": "https://evil.example"})
        assert somebody.get("/oidc/start").status_code == 403


def test_a_slow_provider_holds_few_threads_whoever_asks(tmp_path: Path) -> None:
    somebody = somebody_at(tmp_path, **ALL)
    inner: list[int] = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        # While this one waits for its answer the next one asks.
        inner.append(somebody.client.application.test_client().get("/console/oidc/start").status_code)
        return 200, {}, json.dumps({"issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/authorize"})

    with responses.RequestsMock() as mock:
        mock.add_callback(responses.GET, f"{ISSUER}/.well-known/openid-configuration", callback=answer)
        assert somebody.get("/oidc/start").status_code == 303
        assert inner == [429, 303, 303, 303]
        inner.clear()
        assert somebody.get("/oidc/start").status_code == 303, "each turn was given back"
        assert inner == [429, 303, 303, 303]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"console_oidc_client_id": None}, "needs `console_oidc_client_id`"),
        ({"console_url": None}, "needs `console_url`"),
        ({"console_oidc_issuer": Url("http://id.example")}, "must be an https address"),
    ],
)
def test_settings_that_can_not_work_stop_the_start(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    usual = {
        "console_url": Url("http://localhost"),
        "console_oidc_issuer": Url(ISSUER),
        "console_oidc_client_id": CLIENT,
    }
    with pytest.raises(ConfigurationError, match=said):
        create_app(service=console_service(tmp_path, **{**usual, **settings}))
