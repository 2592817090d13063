"""Owns sign-in with the school's own accounts: OpenID Connect's code flow with PKCE, and groups that give roles.

What must match when the browser comes back (state, nonce, verifier) travels in a signed cookie that lasts ten
minutes, so that any console process can finish what another began.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from itsdangerous import BadData, URLSafeTimedSerializer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gatepost_config.settings import Oidc

CALLBACK = "/sign-in/school/back"

_ALGORITHMS = ["RS256", "ES256", "PS256"]
_ATTEMPT_SECONDS = 600
_CLOCK_SKEW = 60
_TIMEOUT = 10.0
_ANSWER_LIMIT = 1024 * 1024
_METADATA_SECONDS = 3600.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class ProviderError(Exception):
    """The sign-in cannot be done with the provider; the text is what the person reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Who came back, with which roles, and where they wanted to go."""

    name: str
    title: str
    roles: frozenset[str]
    next: str


class Provider:
    """One OpenID Connect provider. ``base_url`` is the console's own address, as the provider knows it."""

    def __init__(self, settings: Oidc, *, secret: str, base_url: str, key: bytes) -> None:
        self._settings = settings
        self._secret = secret
        self._redirect = f"{base_url}{CALLBACK}"
        self._signer = URLSafeTimedSerializer(key, salt="oidc-attempt")
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._fetched = 0.0

    def begin(self, *, next_: str) -> tuple[str, str]:
        """The address to send the browser to, and the signed attempt to keep in a cookie. Raises ProviderError."""
        attempt = {
            "state": secrets.token_urlsafe(24),
            "nonce": secrets.token_urlsafe(24),
            "verifier": secrets.token_urlsafe(48),
            "next": next_,
        }
        endpoint = str(self._known()["authorization_endpoint"])
        with self._client() as client:
            url, _state = client.create_authorization_url(
                endpoint, state=attempt["state"], code_verifier=attempt["verifier"], nonce=attempt["nonce"]
            )
        return str(url), str(self._signer.dumps(attempt))

    def finish(self, answer: Mapping[str, str], *, attempt: str) -> Arrival:
        """Who the provider says came back. Raises ProviderError with what to tell them."""
        try:
            began = self._signer.loads(attempt, max_age=_ATTEMPT_SECONDS)
        except BadData:
            raise ProviderError("That sign-in took too long, or began elsewhere. Please start again.") from None
        if not secrets.compare_digest(answer.get("state", "").encode(), began["state"].encode()):
            raise ProviderError("That sign-in began elsewhere. Please start again.")
        if "error" in answer or not answer.get("code"):
            raise ProviderError("The school's sign-in did not let you in.")
        claims = self._claims(self._token(answer["code"], began["verifier"]), nonce=began["nonce"])
        return self._arrival(claims, next_=began["next"])

    def _token(self, code: str, verifier: str) -> str:
        try:
            with self._client() as client:
                token = client.fetch_token(str(self._known()["token_endpoint"]), code=code, code_verifier=verifier)
        except (OAuthError, httpx2.HTTPError, ValueError) as error:
            raise ProviderError("The school's sign-in gave no valid answer. Please start again.") from error
        return str(token.get("id_token", ""))

    def _claims(self, id_token: str, *, nonce: str) -> dict[str, Any]:
        """The claims of an ID token that is signed by the provider, for us, now and for this attempt."""
        try:
            claims = self._decoded(id_token)
            registry = jwt.JWTClaimsRegistry(
                leeway=_CLOCK_SKEW,
                iss={"essential": True, "value": str(self._known()["issuer"])},
                aud={"essential": True, "value": self._settings.client_id},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            registry.validate(claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise ProviderError("The school's sign-in gave an answer that cannot be trusted.") from error
        authorised = claims.get("azp", self._settings.client_id)
        if authorised != self._settings.client_id:
            raise ProviderError("The school's sign-in answered for another program.")
        return dict(claims)

    def _decoded(self, id_token: str) -> dict[str, Any]:
        try:
            return dict(jwt.decode(id_token, self._key_set(), algorithms=_ALGORITHMS).claims)
        except (JoseError, ValueError):
            # The provider may have new keys; ask once more.
            return dict(jwt.decode(id_token, self._key_set(anew=True), algorithms=_ALGORITHMS).claims)

    def _arrival(self, claims: Mapping[str, Any], *, next_: str) -> Arrival:
        email = str(claims.get("email", ""))
        verified = claims.get("email_verified", True) is True
        domain = self._settings.domain.casefold()
        if domain and not self._is_of(domain, claims, email, verified=verified):
            raise ProviderError(f"Only accounts of {domain} may come in here.")
        found = claims.get(self._settings.groups_claim, [])
        if self._settings.groups_claim == "email" and not verified:
            found = []
        groups = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        roles = frozenset(role for group in groups for role in self._settings.roles.get(str(group), ()))
        if not roles:
            raise ProviderError("Your school account is known, but it has no role here. Ask an administrator.")
        name = str(claims.get("preferred_username") or email or claims["sub"])[:200]
        return Arrival(name=name, title=str(claims.get("name") or name)[:200], roles=roles, next=next_)

    @staticmethod
    def _is_of(domain: str, claims: Mapping[str, Any], email: str, *, verified: bool) -> bool:
        if "hd" in claims:
            return str(claims["hd"]).casefold() == domain
        return verified and email.casefold().endswith(f"@{domain}")

    def _client(self) -> OAuth2Client:
        return OAuth2Client(
            client_id=self._settings.client_id,
            client_secret=self._secret,
            scope="openid profile email",
            redirect_uri=self._redirect,
            code_challenge_method="S256",
            timeout=_TIMEOUT,
            trust_env=False,
        )

    def _known(self) -> dict[str, Any]:
        """What the provider says about itself, asked at most once an hour."""
        with self._lock:
            if not self._metadata or time.monotonic() - self._fetched > _METADATA_SECONDS:
                found = self._get(f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration")
                if str(found.get("issuer", "")).rstrip("/") != self._settings.issuer.rstrip("/"):
                    raise ProviderError(
                        "The school's sign-in calls itself something else; see console.oidc.issuer."
                    )
                for endpoint in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    _require_tls(str(found.get(endpoint, "")))
                self._metadata, self._fetched, self._keys = found, time.monotonic(), None
            return self._metadata

    def _key_set(self, *, anew: bool = False) -> KeySet:
        known = self._known()
        with self._lock:
            if self._keys is None or anew:
                self._keys = KeySet.import_key_set(self._get(str(known["jwks_uri"])))  # type: ignore[arg-type]
            return self._keys

    def _get(self, url: str) -> dict[str, Any]:
        _require_tls(url)
        try:
            with httpx2.Client(timeout=_TIMEOUT, trust_env=False) as client, client.stream("GET", url) as answer:
                answer.raise_for_status()
                content = b""
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > _ANSWER_LIMIT:
                        raise ProviderError("The school's sign-in gave an answer that is too long.")
            found = json.loads(content)
        except (httpx2.HTTPError, ValueError) as error:
            raise ProviderError("The school's sign-in cannot be reached now.") from error
        if not isinstance(found, dict):
            raise ProviderError("The school's sign-in gave no valid answer.")
        return found


def _require_tls(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return
    raise ProviderError("The school's sign-in must be reached with TLS; see console.oidc.issuer.")
