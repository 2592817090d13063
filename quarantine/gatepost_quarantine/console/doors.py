"""Owns coming in and going out: the sign-in pages, the theme, and who has an account."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response

from gatepost_quarantine.console import guard
from gatepost_quarantine.console.desk import Visit, own_path
from gatepost_quarantine.console.oidc import Provider, ProviderError
from gatepost_quarantine.console.rights import Right
from gatepost_quarantine.console.signin import RefusedError, Ticket
from gatepost_quarantine.store import NotFoundError

VISITOR = "gatepost-visitor"
_ATTEMPT = "gatepost-attempt"
_ATTEMPT_SECONDS = 600
_YEAR = 31_536_000


def front(visit: Visit) -> Response:
    """Where people start: the queue, or the overview for those who have no queue."""
    return visit.go("/queue" if visit.who.may(Right.LIST) else "/overview")


def sign_in_page(visit: Visit) -> Response:
    """The form; who is signed in already goes on."""
    if visit.person is not None:
        return visit.go(own_path(visit.query("next")))
    return _form(visit, next_=visit.query("next"))


def sign_in(visit: Visit) -> Response:
    """Sign in with a local account."""
    address = visit.request.client.host if visit.request.client is not None else ""
    name, next_ = visit.field("name", 200), visit.field("next", 500)
    try:
        ticket = visit.desk.doorman.with_password(name, _password(visit), address=address)
    except RefusedError as error:
        return _form(visit, next_=next_, name=name, refusal=str(error), status=403)
    return _let_in(visit, ticket, next_)


def school_sign_in(visit: Visit) -> Response:
    """Send the browser to the school's sign-in, and remember in a signed cookie what must come back."""
    provider = _provider(visit)
    try:
        url, attempt = provider.begin(next_=own_path(visit.query("next")))
    except ProviderError as error:
        return _form(visit, next_="", refusal=str(error), status=502)
    answer = Response(status_code=303, headers={"Location": url})
    # Lax, because the browser comes back from another site.
    answer.set_cookie(
        _ATTEMPT,
        attempt,
        max_age=_ATTEMPT_SECONDS,
        path="/sign-in",
        httponly=True,
        secure=visit.desk.secure,
        samesite="lax",
    )
    return answer


def school_back(visit: Visit) -> Response:
    """The browser is back from the school's sign-in."""
    provider = _provider(visit)
    attempt = visit.request.cookies.get(_ATTEMPT, "")
    try:
        arrival = provider.finish(dict(visit.request.query_params), attempt=attempt)
    except ProviderError as error:
        return _form(visit, next_="", refusal=str(error), status=403)
    ticket = visit.desk.doorman.let_in(name=arrival.name, title=arrival.title, source="oidc", roles=arrival.roles)
    answer = _let_in(visit, ticket, arrival.next)
    answer.delete_cookie(_ATTEMPT, path="/sign-in")
    return answer


def sign_out(visit: Visit) -> Response:
    """End the session, here and on the server."""
    if visit.session is not None:
        visit.desk.doorman.let_out(visit.session)
    answer = visit.go("/sign-in")
    answer.delete_cookie(visit.desk.cookie, path="/", secure=visit.desk.secure, httponly=True, samesite="lax")
    return answer


def session(visit: Visit) -> Response:
    """When the sign-in ends. Asked with GET it changes nothing; with POST it is use, and so makes it longer."""
    if visit.session is None:
        raise NotFoundError("no session")
    left, longer = visit.desk.doorman.left(visit.session)
    return JSONResponse({"left": int(left.total_seconds()), "longer": longer})


def theme(visit: Visit) -> Response:
    """Light, dark, or as the system has it."""
    answer = visit.go(visit.field("back", 500))
    wanted = visit.field("theme")
    if wanted in ("light", "dark"):
        answer.set_cookie(
            "gatepost-theme", wanted, max_age=_YEAR, httponly=True, secure=visit.desk.secure, samesite="lax"
        )
    else:
        answer.delete_cookie("gatepost-theme")
    return answer


def accounts(visit: Visit) -> Response:
    """Who has a local account, and which are locked."""
    return visit.page("accounts.html", accounts=visit.desk.review.accounts(), done=visit.query("done"))


def unlock(visit: Visit) -> Response:
    """Let a locked account try again."""
    account = visit.desk.review.account(visit.field("name", 200))
    if account is None:
        raise NotFoundError("no such account")
    unlocked = replace(account, failures=0, locked_until=None)
    visit.desk.review.keep_account(unlocked, actor=visit.who.name, what="unlocked")
    return visit.go("/accounts?" + urlencode({"done": f"{account.name} can sign in again."}))


def _provider(visit: Visit) -> Provider:
    if visit.desk.provider is None:
        raise NotFoundError("no provider")
    return visit.desk.provider


def _password(visit: Visit) -> str:
    """The password as typed: spaces are part of it."""
    values = visit.form.get("password", ())
    return values[0] if values else ""


def _form(visit: Visit, *, next_: str, name: str = "", refusal: str = "", status: int = 200) -> Response:
    visitor = visit.request.cookies.get(VISITOR, "") or guard.new_visitor()
    answer = visit.page(
        "sign-in.html",
        status=status,
        token=guard.visitor_token(visit.desk.key, visitor),
        next_=next_,
        name=name,
        refusal=refusal,
        school_button=visit.desk.settings.console.oidc.name if visit.desk.settings.console.oidc else "",
    )
    answer.set_cookie(VISITOR, visitor, httponly=True, secure=visit.desk.secure, samesite="lax")
    return answer


def _let_in(visit: Visit, ticket: Ticket, next_: str) -> Response:
    answer = visit.go(own_path(next_))
    answer.set_cookie(
        visit.desk.cookie, ticket.token, path="/", httponly=True, secure=visit.desk.secure, samesite="lax"
    )
    answer.delete_cookie(VISITOR)
    return answer
