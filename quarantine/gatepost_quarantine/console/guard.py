"""Owns what every answer carries and what every request must: security headers, the right host, our own origin."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

FRAME_STYLE = (
    "html{background:#fff;color:#1c1e21;font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
    "body{margin:1rem}table{border-collapse:collapse;max-width:100%}td,th{vertical-align:top;padding:.15rem .4rem}"
    ".link{color:#1a4fa0;text-decoration:underline}"
    ".host{color:#555;font-size:.85em;font-family:ui-monospace,monospace}"
    ".image{border:1px dashed #888;color:#555;padding:0 .3rem;font-size:.85em}"
)
"""The one style of a message's page; the policy names its digest, so no other takes effect."""

_STYLE_DIGEST = b64encode(hashlib.sha256(FRAME_STYLE.encode()).digest()).decode()

FRAME_CSP = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex",
}


class Guard:
    """Middleware around the whole console. ``hosts`` are the names it answers to, without port, lower case."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], secure: bool) -> None:
        self._app = app
        self._hosts = hosts
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with every header in place; a request for another host is not ours."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), path=str(scope["path"]))
            await send(message)

        host = urlsplit(f"//{Headers(scope=scope).get('host', '')}").hostname or ""
        if host not in self._hosts:
            refusal = PlainTextResponse("The console does not answer to this name; see console.base_url.\n", 421)
            await refusal(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    def _add_headers(self, headers: MutableHeaders, *, path: str) -> None:
        headers.setdefault("Content-Security-Policy", CSP)
        own_frame = headers["Content-Security-Policy"] == FRAME_CSP
        headers.setdefault("X-Frame-Options", "SAMEORIGIN" if own_frame else "DENY")
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if not path.startswith("/static/"):
            headers["Cache-Control"] = "no-store"
        if self._secure:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")


def from_our_pages(headers: Headers) -> bool:
    """Whether a request that changes something was made by a page of ours, as the browser itself says.

    Browsers that send Sec-Fetch-Site say it plainly; all others send Origin with every POST.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(headers.get("origin", ""))
    return bool(origin.netloc) and origin.netloc == headers.get("host", "")


def new_visitor() -> str:
    """A random mark for a browser that is not signed in; its forms carry the token made from it."""
    return secrets.token_urlsafe(24)


def visitor_token(key: bytes, visitor: str) -> str:
    """The token that the sign-in form must carry, for the browser with this mark."""
    return hmac.new(key, b"sign-in:" + visitor.encode(), hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare two tokens in constant time; an empty one is never the same."""
    return bool(one) and hmac.compare_digest(one.encode(), other.encode())
