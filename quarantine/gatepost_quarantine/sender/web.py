"""Owns the sender pages' application: GET shows, POST acts, and the token is all that is asked for.

No cookie, no script, no log-in: the link was mailed to the sender alone. What a link cannot open looks the same
whether it was never made, is too old, or names what is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from jinja2 import Environment
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from gatepost_config.settings import Settings
from gatepost_quarantine.choices import REASON_LIMIT, asks_sender, choices
from gatepost_quarantine.console.shown import block, line
from gatepost_quarantine.held import Choice, HeldMessage, SenderAnswer
from gatepost_quarantine.notices import help_address
from gatepost_quarantine.offers import ends
from gatepost_quarantine.sender.shown import case
from gatepost_quarantine.sender.turnstile import Turnstile
from gatepost_quarantine.serving import FormError, read_form, refusal, templates
from gatepost_quarantine.store import ConflictError, NotFoundError, Store, StoreError
from gatepost_quarantine.tokens import LINK_KEY, Claim, Links, TokenError

FORM_LIMIT = 16 * 1024
"""Bytes of a form."""

_FIELDS = 10
_NOBODY = Claim(held_id="0" * 32, sender="")
_BURST, _RATE, _ACT, _WRONG = 600.0, 10.0, 5.0, 20.0
"""Requests that one address may make at once and gains each second; what acting and a wrong link cost of them."""

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CSP,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_HERE = Path(__file__).parent
_FILES = {
    "pages.css": _HERE / "static" / "pages.css",
    "console.css": _HERE.parent / "console" / "static" / "console.css",
    "gate.svg": _HERE.parent / "console" / "static" / "gate.svg",
}

log = structlog.get_logger("gatepost.pages")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counter:
    """What stands behind the pages. ``clock`` gives aware times."""

    settings: Settings
    store: Store
    links: Links
    pages: Environment
    turnstile: Turnstile
    clock: Callable[[], datetime]

    def show(self, token: str) -> Response:
        """The page of a link. Changes nothing, however often it is asked for."""
        held = self._held(token)
        return self._wrong() if held is None else self._page(held)

    def act(self, token: str, form: Mapping[str, str]) -> Response:
        """Do what the form says, once; then show the page as it is now."""
        held = self._held(token)
        if held is None:
            return self._wrong()
        words = " ".join(block(form.get("reason", ""), REASON_LIMIT).split())
        try:
            choice = Choice(form.get("choice", ""))
        except ValueError:
            return self._page(held, status=422, fault="Please choose what is to happen.", words=words)
        if choice is Choice.SEND and not words and choice in choices(held):
            fault = "Please say why the message should be sent as it is."
            return self._page(held, status=422, fault=fault)
        answer = SenderAnswer(held_id=held.id, choice=choice, sender=held.sender, reason=words, via="page")
        try:
            kept = self.store.answer(answer)
        except ConflictError as error:
            log.info("answer-too-late", held_id=held.id, choice=choice.value, detail=str(error))
        else:
            log.info("answered", held_id=held.id, choice=kept.choice.value)
        # Relative: what stands in front of us may have put the pages under a path of its own.
        return _with_headers(RedirectResponse(token, 303))

    def _held(self, token: str) -> HeldMessage | None:
        """The message that the link is for. The store is asked whatever the token is, so that no time tells."""
        try:
            claim = self.links.read(token, now=self.clock())
        except TokenError:
            claim = _NOBODY
        try:
            held = self.store.get(claim.held_id)
        except NotFoundError:
            return None
        mine = (
            held.id == claim.held_id and bool(claim.sender) and held.sender.casefold() == claim.sender.casefold()
        )
        return held if mine and asks_sender(held) else None

    def _page(self, held: HeldMessage, *, status: int = 200, fault: str = "", words: str = "") -> Response:
        answer = self.store.answers([held.id]).get(held.id)
        shown = case(held, answer, until=ends(held, settings=self.settings), settings=self.settings)
        return self._rendered("case.html", status, case=shown, fault=fault, given=words, limit=REASON_LIMIT)

    def _wrong(self) -> Response:
        return self._rendered("wrong.html", 404)

    def _rendered(self, template: str, status: int, **values: object) -> Response:
        school, help_ = self.settings.school.name, help_address(self.settings)
        text = self.pages.get_template(template).render(school=school, help=help_, **values)
        return _with_headers(HTMLResponse(text, status))


def application(
    settings: Settings,
    *,
    store: Store,
    turnstile: Turnstile | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Starlette:
    """The pages as an ASGI application. Raises StoreError when the store cannot be asked for its key."""
    counter = _Counter(
        settings=settings,
        store=store,
        links=Links(store.key(LINK_KEY)),
        pages=_templates(),
        turnstile=turnstile or Turnstile(burst=_BURST, rate=_RATE),
        clock=clock,
    )
    routes: list[BaseRoute] = [
        *(Route(f"/static/{name}", _file(path), methods=["GET"]) for name, path in _FILES.items()),
        Route("/{token}", _endpoint(counter, posts=False), methods=["GET"]),
        Route("/{token}", _endpoint(counter, posts=True), methods=["POST"]),
    ]
    # A web server in front may keep the path of the public address, or take it off.
    prefix = urlsplit(settings.sender_pages.public_url).path
    mounted = [Mount(prefix, routes=routes)] if prefix else []
    return Starlette(routes=[*mounted, *routes], exception_handlers={HTTPException: _plain_error, 500: _broken})


def _endpoint(counter: _Counter, *, posts: bool) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        token = str(request.path_params["token"])
        if not counter.turnstile.lets(_address(request), cost=_ACT if posts else 1.0):
            return _plain("Too many requests came from your network. Please try again in a minute.", 429)
        form: Mapping[str, str] = {}
        if posts:
            try:
                fields = await read_form(request, size=FORM_LIMIT, fields=_FIELDS)
            except FormError as error:
                return _plain(str(error), error.status)
            form = {name: values[0] for name, values in fields.items()}
        try:
            answer = await run_in_threadpool(lambda: counter.act(token, form) if posts else counter.show(token))
        except StoreError as error:
            log.error("store-failed", error=str(error))
            return _plain("Your message cannot be looked up now. Nothing was changed; please try again.", 503)
        if answer.status_code == 404:
            counter.turnstile.charge(_address(request), cost=_WRONG)
        return answer

    return endpoint


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _file(path: Path) -> Callable[[Request], object]:
    async def endpoint(_request: Request) -> Response:
        return _with_headers(FileResponse(path), **{"Cache-Control": "max-age=3600"})

    return endpoint


def _with_headers(answer: Response, **others: str) -> Response:
    for name, value in {**_HEADERS, **others}.items():
        answer.headers[name] = value
    return answer


def _plain(text: str, status: int) -> Response:
    return _with_headers(Response(f"{text}\n", status, media_type="text/plain"))


async def _plain_error(_request: Request, error: Exception) -> Response:
    return _plain(*refusal(error))


async def _broken(_request: Request, error: Exception) -> Response:
    # Not the path: it holds the token.
    log.error("pages-failed", error=repr(error))
    return _plain("Something went wrong here; it is in the log. Nothing was changed.", 500)


def _templates() -> Environment:
    pages = templates("gatepost_quarantine.sender")
    pages.filters["line"] = line
    return pages
