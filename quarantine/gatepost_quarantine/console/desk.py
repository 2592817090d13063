"""Owns what every page works with: one request as pages see it, and the services behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import IO, Any, Protocol

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gatepost_config.settings import Settings
from gatepost_quarantine import serving
from gatepost_quarantine.cases import Cases
from gatepost_quarantine.console import shown
from gatepost_quarantine.console.in_force import InForce
from gatepost_quarantine.console.oidc import Provider
from gatepost_quarantine.console.preview import Reader
from gatepost_quarantine.console.rights import Person, Right, is_sealed, known_roles
from gatepost_quarantine.console.signin import Doorman
from gatepost_quarantine.held import HeldMessage, State
from gatepost_quarantine.review import Item, Review, Session
from gatepost_quarantine.rulings import Rulings
from gatepost_quarantine.store import NotFoundError, Store


class Shelf(Store, Rulings, Cases, Protocol):
    """The store, as the console needs it: with rulings, cases, and what is kept whatever the retention says."""

    def legal_hold(self, held_id: str, *, actor: str, reason: str) -> HeldMessage: ...

    def end_legal_hold(self, held_id: str, *, actor: str, reason: str) -> HeldMessage: ...


class ForbiddenError(Exception):
    """The person has no right to this; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The services of one console process. ``clock`` gives aware times."""

    settings: Settings
    store: Shelf
    review: Review
    doorman: Doorman
    reader: Reader
    in_force: InForce
    provider: Provider | None
    pages: Environment
    clock: Callable[[], datetime]
    key: bytes = field(repr=False)
    secure: bool

    @property
    def cookie(self) -> str:
        """The name of the session cookie; with TLS the browser holds it to this host and to TLS."""
        return "__Host-gatepost" if self.secure else "gatepost"


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: who asks, and what the form says. ``session`` and ``person`` are None before the sign-in.

    ``upload`` is the file that came with the form, at doors that take one.
    """

    desk: Desk
    request: Request
    form: serving.Form
    session: Session | None
    person: Person | None
    upload: IO[bytes] | None = None

    @property
    def who(self) -> Person:
        """The person who is signed in; pages that need no right do not ask. Raises ForbiddenError."""
        if self.person is None:
            raise ForbiddenError("Sign in first.")
        return self.person

    @property
    def identity(self) -> str:
        """Whose choices these are: local accounts and those of the school may have the same names."""
        return f"{self.session.source}:{self.session.name}" if self.session is not None else ""

    @property
    def left(self) -> int:
        """Seconds until the sign-in ends if nobody does anything."""
        return 0 if self.session is None else int(self.desk.doorman.left(self.session)[0].total_seconds())

    def query(self, name: str) -> str:
        """The first value of a query parameter, at most 500 characters."""
        return self.request.query_params.get(name, "")[:500]

    def field(self, name: str, limit: int = 2000) -> str:
        """The first value of a form field without spaces around it, at most ``limit`` characters."""
        values = self.form.get(name, ())
        return values[0].strip()[:limit] if values else ""

    def item(self, right: Right = Right.LIST) -> Item:
        """The message that the path names. Raises NotFoundError, or ForbiddenError without the right for it."""
        return self.item_of(self.request.path_params["held_id"], right)

    def item_of(self, held_id: str, right: Right) -> Item:
        """The message of that id. What may not be seen is not found; what may not be done is forbidden.

        Raises NotFoundError and ForbiddenError.
        """
        item = self.desk.review.item(held_id, sight=self.who.sight)
        if not self.who.may_with(Right.LIST, item):
            raise NotFoundError(f"there is no held message {held_id}")
        if not self.who.may_with(right, item):
            raise ForbiddenError(
                "It is sealed: nobody opens or releases it here."
                if is_sealed(item)
                else f"Your roles do not let you do this ({right.value})."
            )
        return item

    def page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page made of a template."""
        theme = self.request.cookies.get("gatepost-theme", "")
        text = self.desk.pages.get_template(template).render(
            visit=self,
            person=self.person,
            csrf=self.session.csrf if self.session is not None else "",
            now=self.desk.clock(),
            school=self.desk.settings.school.name,
            theme=theme if theme in ("light", "dark") else "",
            path=self.request.url.path,
            here=self.here,
            **values,
        )
        return HTMLResponse(text, status)

    @property
    def here(self) -> str:
        """This page's path and query."""
        query = self.request.url.query
        return f"{self.request.url.path}?{query}" if query else self.request.url.path

    def go(self, target: str) -> Response:
        """Send the browser on to one of our own pages."""
        return RedirectResponse(own_path(target), 303)


def own_path(target: str) -> str:
    """The target if it is a path on this console, else the front page: nobody is sent elsewhere by a link."""
    safe = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if safe and "\\" not in target else "/"


def person_of(session: Session, settings: Settings) -> Person:
    """Who a session is."""
    return Person(
        name=session.name,
        title=session.title,
        roles=known_roles(session.roles),
        queues=session.queues,
        safeguarding=frozenset(settings.console.safeguarding),
    )


@cache
def templates() -> Environment:
    """The console's templates, compiled once."""
    pages = serving.templates("gatepost_quarantine.console")
    for name in ("line", "block", "age", "left", "local", "utc", "size", "role", "rule"):
        pages.filters[name] = getattr(shown, name)
    pages.globals.update(Right=Right, State=State, STATE_LABELS=shown.STATE_LABELS, is_sealed=is_sealed)
    return pages
