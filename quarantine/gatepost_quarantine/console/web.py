"""Owns the web application: its routes with the right that each needs, and the one way every request goes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal
from urllib.parse import quote, urlsplit

import anyio
import anyio.to_thread
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from gatepost_config.settings import Settings
from gatepost_quarantine.console import (
    act,
    body,
    cases,
    choices,
    detail,
    doors,
    guard,
    overview,
    queue,
    rulings,
    trial,
)
from gatepost_quarantine.console.desk import Desk, ForbiddenError, Shelf, Visit, person_of, templates
from gatepost_quarantine.console.in_force import InForce
from gatepost_quarantine.console.oidc import Provider
from gatepost_quarantine.console.preview import Reader
from gatepost_quarantine.console.rights import Right
from gatepost_quarantine.console.signin import Doorman
from gatepost_quarantine.review import Review
from gatepost_quarantine.serving import Form, FormError, read_form, refusal
from gatepost_quarantine.store import ConflictError, NotFoundError, StoreError

FORM_LIMIT = 256 * 1024
"""Bytes of one form."""

_FIELDS = 2000
_SWEEP_EVERY = 20.0
"""Seconds between two looks for deletions that are due."""

log = structlog.get_logger()

Handler = Callable[[Visit], Response]
"""Answers one visit. A ForbiddenError, NotFoundError or ConflictError that it raises becomes a page."""


@dataclass(frozen=True, slots=True)
class Door:
    """A path, the handler behind it, and the right that opens it (None: nobody has to be signed in).

    ``asks_itself`` is for what a page asks without its reader: it does not keep the session alive. ``takes_file``
    is for a form with a file; it is read only from somebody who has the right.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    right: Right | None
    asks_itself: bool = False
    takes_file: bool = False


DOORS: Sequence[Door] = (
    Door("GET", "/sign-in", doors.sign_in_page, None),
    Door("POST", "/sign-in", doors.sign_in, None),
    Door("GET", "/sign-in/school", doors.school_sign_in, None),
    Door("GET", "/sign-in/school/back", doors.school_back, None),
    Door("POST", "/sign-out", doors.sign_out, Right.SIGNED_IN),
    Door("GET", "/session", doors.session, Right.SIGNED_IN, asks_itself=True),
    Door("POST", "/session", doors.session, Right.SIGNED_IN),
    Door("POST", "/theme", doors.theme, Right.SIGNED_IN),
    Door("GET", "/", doors.front, Right.SIGNED_IN),
    Door("GET", "/queue", queue.page, Right.LIST),
    Door("GET", "/queue/news", queue.news, Right.LIST, asks_itself=True),
    Door("POST", "/queue/columns", choices.choose_columns, Right.LIST),
    Door("POST", "/queue/filters", choices.save_filter, Right.LIST),
    Door("POST", "/queue/filters/remove", choices.remove_filter, Right.LIST),
    Door("GET", "/held/{held_id}", detail.page, Right.LIST),
    Door("GET", "/held/{held_id}/body", body.fragment, Right.READ),
    Door("GET", "/held/{held_id}/html/{index:int}", body.html, Right.READ),
    Door("GET", "/held/{held_id}/raw", body.raw, Right.READ),
    Door("POST", "/held/{held_id}/file/{index:int}", body.download, Right.DOWNLOAD),
    Door("POST", "/held/{held_id}/member", body.member, Right.DOWNLOAD),
    Door("POST", "/held/{held_id}/note", act.note, Right.NOTE),
    Door("POST", "/held/{held_id}/spare", act.spare, Right.DELETE),
    Door("GET", "/held/{held_id}/exempt", rulings.ask, Right.EXEMPT),
    Door("POST", "/held/{held_id}/exempt", rulings.add, Right.EXEMPT),
    Door("GET", "/held/{held_id}/block", rulings.ask, Right.BLOCK),
    Door("POST", "/held/{held_id}/block", rulings.add, Right.BLOCK),
    Door("GET", "/held/{held_id}/case", cases.ask, Right.CASE_WORK),
    Door("POST", "/held/{held_id}/case", cases.open_, Right.CASE_WORK),
    Door("POST", "/held/{held_id}/case/link", cases.link, Right.CASE_WORK),
    Door("GET", "/rulings", rulings.listing, Right.RULINGS),
    Door("POST", "/rulings/end", rulings.end, Right.END_RULING),
    Door("GET", "/cases", cases.listing, Right.CASES),
    Door("GET", "/cases/{case_id}", cases.page, Right.CASES),
    Door("POST", "/cases/{case_id}/note", cases.note, Right.CASE_WORK),
    Door("POST", "/cases/{case_id}/link", cases.link, Right.CASE_WORK),
    Door("POST", "/cases/{case_id}/pass-on", cases.pass_on, Right.CASE_WORK),
    Door("POST", "/cases/{case_id}/close", cases.close, Right.CASE_WORK),
    Door("GET", "/act", act.ask, Right.LIST),
    Door("POST", "/act", act.carry_out, Right.LIST),
    Door("POST", "/act/undo", act.undo, Right.DELETE),
    Door("GET", "/try", trial.page, Right.TRY),
    Door("POST", "/try", trial.upload, Right.TRY, takes_file=True),
    Door("POST", "/held/{held_id}/try", trial.held, Right.TRY),
    Door("GET", "/overview", overview.page, Right.OVERVIEW),
    Door("GET", "/policy", overview.policy, Right.POLICY),
    Door("GET", "/accounts", doors.accounts, Right.ACCOUNTS),
    Door("POST", "/accounts/unlock", doors.unlock, Right.ACCOUNTS),
)


def application(
    settings: Settings,
    *,
    store: Shelf,
    review: Review,
    reader: Reader,
    provider: Provider | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Starlette:
    """The console as an ASGI application. Raises StoreError when the store cannot be asked for its key."""
    console = settings.console
    secure = console.base_url.startswith("https://")
    desk = Desk(
        settings=settings,
        store=store,
        review=review,
        doorman=Doorman(console, store, review, clock=clock),
        reader=reader,
        in_force=InForce(settings),
        provider=provider,
        pages=templates(),
        clock=clock,
        key=review.key("console"),
        secure=secure,
    )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_sweep, desk)
            yield
            tasks.cancel_scope.cancel()

    return Starlette(
        routes=[*_routes(desk), Mount("/static", _static(), name="static")],
        middleware=[Middleware(guard.Guard, hosts=_hosts(settings), secure=secure)],
        exception_handlers={HTTPException: _plain_error, 500: _broken},
        lifespan=lifespan,
    )


def _routes(desk: Desk) -> list[BaseRoute]:
    return [
        Route(door.path, _endpoint(desk, door), methods=[door.method], name=f"{door.method} {door.path}")
        for door in DOORS
    ]


def _endpoint(desk: Desk, door: Door) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        form: Form = {}
        if door.takes_file and await run_in_threadpool(_may_send, desk, door, request):
            return await _with_file(desk, door, request)
        if door.method == "POST":
            try:
                form = await read_form(request, size=FORM_LIMIT, fields=_FIELDS)
            except FormError as error:
                return PlainTextResponse(f"{error}\n", error.status)
        return await run_in_threadpool(_answer, desk, door, request, form)

    return endpoint


def _may_send(desk: Desk, door: Door, request: Request) -> bool:
    """Whether it is a form with a file, from somebody who may go through this door."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return False
    try:
        session = desk.doorman.who(request.cookies.get(desk.cookie, ""), in_use=False)
    except StoreError:
        return False  # the handler will find out again, and say so
    return session is not None and door.right is not None and person_of(session, desk.settings).may(door.right)


async def _with_file(desk: Desk, door: Door, request: Request) -> Response:
    """A form with one file, which is spooled to disk and never larger than UPLOAD_LIMIT."""

    async def bounded() -> AsyncGenerator[bytes]:
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > trial.UPLOAD_LIMIT:
                raise MultiPartException("The file is too large.")
            yield piece

    try:
        parser = MultiPartParser(request.headers, bounded(), max_files=1, max_fields=20, max_part_size=4000)
        parts = await parser.parse()
    except (MultiPartException, KeyError) as error:
        said = error.message if isinstance(error, MultiPartException) else "A form is expected."
        return PlainTextResponse(f"{said}\n", 413 if "large" in said else 415)
    form = {name: [value] for name, value in parts.multi_items() if isinstance(value, str)}
    uploads = [value.file for _, value in parts.multi_items() if isinstance(value, UploadFile)]
    try:
        return await run_in_threadpool(_answer, desk, door, request, form, uploads[0] if uploads else None)
    finally:
        await parts.close()


def _answer(desk: Desk, door: Door, request: Request, form: Form, upload: IO[bytes] | None = None) -> Response:
    """One request in order: who asks, whether a page of ours asks, whether they may, and then the handler."""
    try:
        token = request.cookies.get(desk.cookie, "")
        session = desk.doorman.who(token, in_use=not door.asks_itself)
        person = person_of(session, desk.settings) if session is not None else None
        visit = Visit(desk, request, form, session, person, upload)
        if door.right is not None and person is None:
            return _sign_in_first(visit, door)
        if door.method == "POST" and not _is_ours(visit):
            return visit.page(
                "error.html",
                status=403,
                heading="This form is out of date",
                text="It was not made for this sign-in. Go back, load the page again, and repeat what you did.",
            )
        return _open(visit, door)
    except StoreError as error:
        log.error("store-failed", path=door.path, error=str(error))
        return PlainTextResponse("The quarantine cannot be reached now. Nothing was changed; try again.\n", 503)


def _open(visit: Visit, door: Door) -> Response:
    try:
        if door.right is not None and not visit.who.may(door.right):
            raise ForbiddenError(f"Your roles do not let you do this ({door.right.value}).")
        return door.handler(visit)
    except ForbiddenError as error:
        return visit.page("error.html", status=403, heading="Not for you to do", text=str(error))
    except NotFoundError:
        text = "There is nothing there, or it is not yours to see."
        return visit.page("error.html", status=404, heading="Not found", text=text)
    except ConflictError as error:
        return visit.page("error.html", status=409, heading="Not possible now", text=str(error))


def _sign_in_first(visit: Visit, door: Door) -> Response:
    if door.method == "POST" or door.asks_itself or "hx-request" in visit.request.headers:
        heading, text = "Signed out", "Your sign-in has ended. Sign in again; nothing was changed."
        return visit.page("error.html", status=401, heading=heading, text=text)
    return visit.go(f"/sign-in?next={quote(visit.here, safe='')}")


def _is_ours(visit: Visit) -> bool:
    """Whether the form was made by us for this browser: both the browser and the token in the form say so."""
    if not guard.from_our_pages(visit.request.headers):
        return False
    given = visit.field("csrf", 200)
    if visit.session is not None:
        return guard.same(given, visit.session.csrf)
    visitor = visit.request.cookies.get(doors.VISITOR, "")
    return bool(visitor) and guard.same(given, guard.visitor_token(visit.desk.key, visitor))


async def _sweep(desk: Desk) -> None:
    """Carry out deletions whose time to undo is over, as long as the console runs."""
    while True:
        try:
            await anyio.to_thread.run_sync(lambda: act.sweep(desk.store, desk.review, now=desk.clock()))
        except StoreError as error:
            log.error("sweep-failed", error=str(error))
        await anyio.sleep(_SWEEP_EVERY)


def _hosts(settings: Settings) -> frozenset[str]:
    """The names under which the console answers."""
    own = urlsplit(f"//{settings.console.listen}").hostname or ""
    names = {own, "localhost", "127.0.0.1", "::1"}
    if settings.console.base_url:
        names.add(urlsplit(settings.console.base_url).hostname or "")
    return frozenset(name.lower() for name in names if name)


def _static() -> StaticFiles:
    return StaticFiles(directory=Path(__file__).parent / "static")


async def _plain_error(_request: Request, error: Exception) -> Response:
    said, status = refusal(error)
    return PlainTextResponse(f"{said}\n", status)


async def _broken(request: Request, error: Exception) -> Response:
    log.error("console-failed", path=request.url.path, error=repr(error))
    return PlainTextResponse("Something went wrong here; it is in the log. Nothing was changed.\n", 500)
