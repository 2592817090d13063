"""Signing in with the school's own accounts, against a small provider that runs in the test."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from support.console import Browser, Desk, configured

from gatepost_config.settings import Oidc
from gatepost_quarantine.console.oidc import CALLBACK, Provider
from gatepost_quarantine.console.preview import Reader
from gatepost_quarantine.console.web import application
from gatepost_quarantine.sql import open_review

CLIENT = "gatepost-console"
SECRET = "client secret"


@dataclass
class Idp:
    """A provider: it lets everybody in as ``claims`` say, and keeps to the code flow with PKCE."""

    url: str
    claims: dict[str, Any] = field(default_factory=dict)
    lies: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1"}))
    signs_with: RSAKey | None = None
    asked: dict[str, str] = field(default_factory=dict)
    code: str = "the-code"

    def token(self) -> str:
        """The signed ID token."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "subject-1",
            "iat": now,
            "exp": now + 300,
            "nonce": self.asked["nonce"],
            **self.claims,
            **self.lies,
        }
        key = self.signs_with or self.key
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)


class _Handler(BaseHTTPRequestHandler):
    idp: Idp

    def do_GET(self) -> None:
        if self.path == "/.well-known/openid-configuration":
            self._say({
                "issuer": self.idp.url,
                "authorization_endpoint": f"{self.idp.url}/authorize",
                "token_endpoint": f"{self.idp.url}/token",
                "jwks_uri": f"{self.idp.url}/keys",
            })  # fmt: skip
        elif self.path == "/keys":
            self._say({"keys": [self.idp.key.as_dict(private=False)]})
        else:
            self._say({}, 404)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        proved = _challenge(form.get("code_verifier", [""])[0]) == self.idp.asked.get("code_challenge")
        if self.path != "/token" or form.get("code") != [self.idp.code] or not proved:
            self._say({"error": "invalid_grant"}, 400)
            return
        self._say({"access_token": "a", "token_type": "Bearer", "id_token": self.idp.token()})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""

    def _say(self, value: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _challenge(verifier: str) -> str:
    import base64
    import hashlib

    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def idp() -> Iterator[Idp]:
    """A provider on a free port."""

    class Handler(_Handler):
        """The handler of this provider."""

    handler = Handler
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.idp = Idp(url=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield handler.idp
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def browser(idp: Idp, tmp_path: Path) -> Iterator[Browser]:
    """A browser at a console that knows the provider; the group it-staff reviews, dsl-team safeguards."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    oidc = Oidc(
        issuer=idp.url,
        client_id=CLIENT,
        client_secret_file=secret,
        name="Park School",
        domain="school.example",
        roles={"it-staff": ["reviewer"], "dsl-team": ["safeguarding"]},
    )
    settings = configured(tmp_path, oidc=oidc)
    store, review = open_review(settings.store, gateway=settings.gateway)
    provider = Provider(oidc, secret=SECRET, base_url="http://127.0.0.1", key=review.key("oidc"))
    app = application(settings, store=store, review=review, reader=Reader(), provider=provider)
    yield Browser(app)
    store.close()


def begin(browser: Browser, idp: Idp, next_: str = "/queue?q=x") -> str:
    """Follow the button to the provider; the state that must come back."""
    page = browser.get("/sign-in").text
    assert "Sign in with Park School" in page
    answer = browser.client.get("/sign-in/school", params={"next": next_})
    assert answer.status_code == 303
    where = urlsplit(answer.headers["location"])
    assert f"{where.scheme}://{where.netloc}{where.path}" == f"{idp.url}/authorize"
    idp.asked = {name: values[0] for name, values in parse_qs(where.query).items()}
    assert idp.asked["response_type"] == "code"
    assert idp.asked["code_challenge_method"] == "S256"
    assert idp.asked["redirect_uri"] == f"http://127.0.0.1{CALLBACK}"
    return idp.asked["state"]


def back(browser: Browser, **query: str) -> Any:
    """Come back from the provider."""
    return browser.get(f"{CALLBACK}?{urlencode(query)}")


def test_a_group_gives_its_role_and_the_browser_goes_where_it_wanted(browser: Browser, idp: Idp) -> None:
    """The whole way, with PKCE, state and nonce."""
    idp.claims = {"groups": ["it-staff", "other"], "email": "ann@school.example", "name": "Ann Smith"}
    answer = back(browser, state=begin(browser, idp), code=idp.code)
    assert (answer.status_code, answer.headers["location"]) == (303, "/queue?q=x")
    page = browser.get("/queue").text
    assert "Ann Smith" in page
    assert re.search(r'class="dim">Reviewer\s*<', page)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"groups": ["pupils"], "email": "kid@school.example"}, "has no role here"),
        ({"email": "ann@school.example"}, "has no role here"),
        ({"groups": {"it-staff": 1}, "email": "ann@school.example"}, "has no role here"),
        ({"groups": ["it-staff"], "email": "ann@elsewhere.example"}, "Only accounts of school.example"),
        ({"groups": ["it-staff"], "email": "a@school.example", "hd": "x.example"}, "Only accounts of"),
        ({"groups": ["it-staff"], "email": "a@school.example", "email_verified": False}, "Only accounts of"),
    ],
)
def test_who_has_no_role_or_is_not_of_the_school_stays_out(
    browser: Browser, idp: Idp, claims: dict[str, Any], said: str
) -> None:
    """Being known to the provider is not enough."""
    idp.claims = claims
    answer = back(browser, state=begin(browser, idp), code=idp.code)
    assert answer.status_code == 403
    assert said in answer.text
    assert browser.get("/queue").status_code == 303


@pytest.mark.parametrize(
    "lies",
    [
        {"nonce": "another"},
        {"aud": "another-program"},
        {"iss": "https://another.example"},
        {"exp": 1_000_000_000},
        {"azp": "another-program"},
        {"sub": None},
    ],
    ids=lambda lies: next(iter(lies)),
)
def test_a_token_that_is_not_for_us_and_now_is_refused(browser: Browser, idp: Idp, lies: dict[str, Any]) -> None:
    """Each claim that ties the token to this attempt."""
    idp.claims, idp.lies = {"groups": ["it-staff"], "email": "ann@school.example"}, lies
    answer = back(browser, state=begin(browser, idp), code=idp.code)
    assert answer.status_code == 403
    assert browser.get("/queue").status_code == 303


def test_a_token_of_another_signer_is_refused(browser: Browser, idp: Idp) -> None:
    """The provider's published keys decide."""
    idp.claims = {"groups": ["it-staff"], "email": "ann@school.example"}
    idp.signs_with = RSAKey.generate_key(2048, {"kid": "k1"})
    answer = back(browser, state=begin(browser, idp), code=idp.code)
    assert answer.status_code == 403
    assert "cannot be trusted" in answer.text


def test_new_keys_of_the_provider_are_fetched(browser: Browser, idp: Idp) -> None:
    """Providers change their keys without telling anybody."""
    idp.claims = {"groups": ["it-staff"], "email": "ann@school.example"}
    assert back(browser, state=begin(browser, idp), code=idp.code).status_code == 303
    idp.key = RSAKey.generate_key(2048, {"kid": "k2"})
    browser.client.cookies.clear()
    assert back(browser, state=begin(browser, idp), code=idp.code).status_code == 303


def test_an_answer_to_another_attempt_or_browser_is_refused(browser: Browser, idp: Idp) -> None:
    """Nobody is signed in as somebody else by a link that they were sent."""
    idp.claims = {"groups": ["it-staff"], "email": "ann@school.example"}
    begin(browser, idp)
    assert back(browser, state="another", code=idp.code).status_code == 403
    state = begin(browser, idp)
    browser.client.cookies.clear()
    assert back(browser, state=state, code=idp.code).status_code == 403
    assert back(browser, error="access_denied", state=begin(browser, idp)).status_code == 403
    assert back(browser, state=begin(browser, idp), code="wrong").status_code == 403


def test_local_accounts_work_when_the_provider_does_not(browser: Browser, idp: Idp, tmp_path: Path) -> None:
    """The way in on a bad day."""
    desk = Desk(tmp_path)
    desk.people()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        oidc = Oidc(
            issuer=f"http://127.0.0.1:{nobody.getsockname()[1]}",
            client_id=CLIENT,
            client_secret_file=tmp_path / "secret",
            roles={"x": ["viewer"]},
        )
        provider = Provider(oidc, secret=SECRET, base_url="http://127.0.0.1", key=b"k" * 32)
        settings = configured(tmp_path, oidc=oidc)
        alone = Browser(
            application(settings, store=desk.store, review=desk.review, reader=desk.reader, provider=provider)
        )
        answer = alone.get("/sign-in/school")
        assert answer.status_code == 502
        assert "cannot be reached now" in answer.text
        assert alone.sign_in("adm").status_code == 303
    desk.store.close()
