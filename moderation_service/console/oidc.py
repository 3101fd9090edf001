"""Signing in at an OpenID Connect provider: the authorization code flow with PKCE, by Authlib.

What binds a browser's way to the provider and back is one random secret in a cookie: state, nonce and verifier are made
of it. So nothing waits on the server, and a code that somebody else was given is worth nothing here.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from ..config.settings import Settings
from ..core.loopback import is_loopback
from ..errors import ConfigurationError, Forbidden, Overloaded
from .page import address
from .passwords import TOO_MANY

__all__ = ["Claims", "Provider", "provider_of"]

_TIMEOUT_S = 5.0
_LEEWAY_S = 60
# Each holds a thread of the service, which strangers must not have many of.
_MOST_AT_ONCE = 4
# What a provider signs with; never `none`, nor a secret that its public key could be taken for.
_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
_REFUSED = "The provider's answer can't be accepted. Start again from the sign-in page."


@dataclass(frozen=True, slots=True)
class Claims:
    """Who the provider says that somebody is. `subject` never changes; `name` is for people to read."""

    issuer: str
    subject: str
    name: str


class Provider:
    """One provider. Its addresses and keys are asked for when they are needed."""

    def __init__(self, issuer: str, *, client_id: str, client_secret: str | None, redirect_uri: str) -> None:
        self.issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._turns = threading.BoundedSemaphore(_MOST_AT_ONCE)

    def begin(self, secret: str) -> str:
        """The provider's address to which somebody goes who holds this secret. Raises Forbidden, Overloaded."""
        try:
            with self._session() as session:
                url, _ = session.create_authorization_url(
                    self._metadata(session)["authorization_endpoint"],
                    state=_made("state", secret),
                    nonce=_made("nonce", secret),
                    code_verifier=_made("verifier", secret),
                )
        except (requests.RequestException, KeyError, TypeError, ValueError) as error:
            raise Forbidden("The provider can't be asked now.") from error
        return str(url)

    def finish(self, secret: str, query: Mapping[str, str]) -> Claims:
        """Who came back with this query. Raises Forbidden, for whatever is wrong with it, and Overloaded."""
        from authlib.common.errors import AuthlibBaseError
        from joserfc.errors import JoseError

        if not hmac.compare_digest(query.get("state", "").encode(), _made("state", secret).encode()):
            raise Forbidden(_REFUSED)
        if not query.get("code"):
            raise Forbidden("The provider did not let you in.")
        try:
            with self._session() as session:
                metadata = self._metadata(session)
                token = session.fetch_token(
                    metadata["token_endpoint"],
                    grant_type="authorization_code",
                    code=query["code"],
                    code_verifier=_made("verifier", secret),
                )
                keys = _json(session.get(metadata["jwks_uri"], withhold_token=True))
                return self._claims(token, keys, metadata, nonce=_made("nonce", secret))
        except (AuthlibBaseError, JoseError, requests.RequestException, KeyError, TypeError, ValueError) as error:
            raise Forbidden(_REFUSED) from error

    def _claims(self, token: Any, keys: Any, metadata: Mapping[str, Any], *, nonce: str) -> Claims:
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.jwk import KeySet
        from joserfc.jws import JWSRegistry

        offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        registry = JWSRegistry(algorithms=sorted(_ALGORITHMS & set(offered)), strict_check_header=False)
        decoded = jwt.decode(token["id_token"], KeySet.import_key_set(keys), registry=registry)
        wanted = {
            "iss": {"essential": True, "value": metadata["issuer"]},
            "aud": {"essential": True, "value": self._client_id},
            "nonce": {"essential": True, "value": nonce},
        }
        params = {"nonce": nonce, "client_id": self._client_id, "access_token": token.get("access_token")}
        claims = CodeIDToken(decoded.claims, decoded.header, wanted, params)
        claims.validate(leeway=_LEEWAY_S)
        names = (claims.get(name) for name in ("preferred_username", "email", "name"))
        name = next((one for one in names if isinstance(one, str) and one.strip() and one.isprintable()), claims["sub"])
        return Claims(self.issuer, str(claims["sub"]), str(name).strip())

    def _metadata(self, session: Any) -> Mapping[str, Any]:
        found = _json(session.get(f"{self.issuer}/.well-known/openid-configuration", withhold_token=True))
        if not isinstance(found, dict) or str(found.get("issuer", "")).rstrip("/") != self.issuer:
            raise ValueError("it is another issuer's")
        return found

    @contextmanager
    def _session(self) -> Iterator[Any]:
        from authlib.integrations.requests_client import OAuth2Session

        if not self._turns.acquire(blocking=False):
            raise Overloaded(TOO_MANY, retry_after_s=_TIMEOUT_S)
        try:
            with OAuth2Session(
                self._client_id,
                self._client_secret,
                scope="openid profile email",
                redirect_uri=self._redirect_uri,
                code_challenge_method="S256",
                token_endpoint_auth_method="client_secret_basic" if self._client_secret else "none",
                default_timeout=_TIMEOUT_S,
            ) as session:
                yield session
        finally:
            self._turns.release()


def provider_of(settings: Settings) -> Provider | None:
    """The provider that the settings name, if any. Raises ConfigurationError where something of it is missing."""
    if settings.console_oidc_issuer is None:
        return None
    for name in ("console_url", "console_oidc_client_id"):
        if getattr(settings, name) is None:
            raise ConfigurationError(f"console_oidc_issuer: needs `{name}`.")
    parts = urlsplit(settings.console_oidc_issuer)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ConfigurationError("console_oidc_issuer: must be an https address.")
    secret = settings.console_oidc_client_secret
    return Provider(
        str(settings.console_oidc_issuer),
        client_id=str(settings.console_oidc_client_id),
        client_secret=secret.value if secret is not None else None,
        redirect_uri=f"{settings.console_url}{address('oidc', '/callback')}",
    )


def _made(purpose: str, secret: str) -> str:
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def _json(reply: requests.Response) -> Any:
    reply.raise_for_status()
    return reply.json()
