"""Owns what the tests of the console make: a store with messages in it, people, and a browser's view of both."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import uvicorn
from argon2 import PasswordHasher
from starlette.applications import Starlette
from starlette.testclient import TestClient
from support.quarantine import MESSAGE, chunks, explanation, finding, held, hold_event, recipient
from support.stores import new_store

from gatepost_config import settings
from gatepost_config.settings import Console, School, Settings
from gatepost_config.words import Action, Direction, Evidence, Mode, Outcome
from gatepost_quarantine.console.preview import Reader
from gatepost_quarantine.console.web import application
from gatepost_quarantine.held import HeldMessage, HeldRecipient, new_id
from gatepost_quarantine.review import Account
from gatepost_quarantine.sql import SqlReview, SqlStore, open_review

PASSWORD = "correct horse battery"

WITH_PROGRAM = (
    b"From: Supplier <sales@supplier.example>\r\nTo: teacher@school.example\r\nSubject: Update\r\n"
    b"Message-ID: <u@supplier.example>\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHere it is.\r\n"
    b"--b\r\nContent-Type: application/octet-stream; name=update.exe\r\n"
    b"Content-Disposition: attachment; filename=update.exe\r\n\r\nMZ program\r\n--b--\r\n"
)
"""A letter that every policy stops."""

ROLES = {
    "vic": ("viewer",),
    "rita": ("reviewer",),
    "sam": ("safeguarding",),
    "pat": ("policy-editor",),
    "aud": ("auditor",),
    "adm": ("admin",),
    "both": ("viewer", "safeguarding"),
}
"""Each role by somebody who has it."""


def configured(folder: Path, *, url: str = "", **console: Any) -> Settings:
    """The settings of a school whose store is in this folder, or at the URL."""
    return Settings(
        school=School(name="Park School", domains=["school.example"]),
        policy="kings-college",
        gateway="mx1.school.example",
        store=settings.Store(url=url or f"sqlite:///{folder / 'quarantine.db'}", free_floor=0),
        console=Console(**console),
    )


@cache
def _hash() -> str:
    """A hash that is quick to check: nobody guesses here, and a test signs in several times."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


class Desk:
    """A console with its store, asked without a network."""

    def __init__(
        self, folder: Path, *, url: str = "", reader: Reader | None = None, clock: Any = None, **console: Any
    ) -> None:
        self.settings = configured(folder, url=url, **console)
        self.clock = clock or (lambda: datetime.now(UTC))
        if not url:
            new_store(folder / "quarantine.db")
        self.store: SqlStore
        self.review: SqlReview
        self.store, self.review = open_review(self.settings.store, gateway=self.settings.gateway, clock=clock)
        self.reader = reader or Reader()
        options = {} if clock is None else {"clock": clock}
        self.app: Starlette = application(
            self.settings, store=self.store, review=self.review, reader=self.reader, **options
        )

    def people(self) -> None:
        """Make an account for everybody in ROLES; one hash serves all, for speed."""
        for name, roles in ROLES.items():
            self.review.keep_account(
                Account(name=name, title=name.title(), password=_hash(), roles=frozenset(roles)),
                actor="test",
                what="made",
            )

    def keep(self, message: HeldMessage, content: bytes = MESSAGE) -> HeldMessage:
        """Hold a message."""
        self.store.hold(message, content=chunks(content), events=[hold_event(message)])
        return message

    def browser(self, name: str = "", password: str = PASSWORD) -> Browser:
        """A browser, signed in if a name is given."""
        browser = Browser(self.app)
        if name:
            answer = browser.sign_in(name, password)
            assert answer.status_code == 303, answer.text
        return browser


class Browser:
    """What a browser does: keeps cookies, says where a request comes from, fills forms in."""

    def __init__(self, app: Starlette) -> None:
        self.client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)

    def get(self, path: str, **headers: str) -> Any:
        """Ask for a page."""
        return self.client.get(path, headers=headers)

    def post(
        self, path: str, fields: dict[str, Any], *, site: str = "same-origin", csrf: str | None = None
    ) -> Any:
        """Send a form as a page of ours would, with the token that our pages carry."""
        token = self.csrf() if csrf is None else csrf
        content = urlencode({"csrf": token, **fields}, doseq=True)
        headers = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": site}
        return self.client.post(path, content=content, headers=headers)

    def csrf(self) -> str:
        """The token in the forms of our pages; the queue is quicker than the overview, which reads the policy."""
        pages = (self.client.get(path) for path in ("/queue", "/overview", "/sign-in"))
        page = next(each for each in pages if each.status_code == 200)
        match = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert match is not None, page.text
        return match[1]

    def sign_in(self, name: str, password: str = PASSWORD) -> Any:
        """Fill in the sign-in form."""
        return self.post("/sign-in", {"name": name, "password": password, "next": ""})


class Served:
    """A console on a free port of this machine, for real browsers."""

    def __init__(self, app: Starlette) -> None:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._socket = listening
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
        self._thread = threading.Thread(target=self._server.run, args=([listening],), daemon=True)

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < deadline, "the console did not start"
            threading.Event().wait(0.02)

    def stop(self) -> None:
        """Stop, and wait until it has."""
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """The address of a console that runs as long as the block."""
    server = Served(app)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def safeguarding(**changes: Any) -> HeldMessage:
    """A message that the safeguarding lead reviews."""
    concern = finding(
        ["teacher@school.example"],
        rule="child-at-risk",
        clause="KCS 3.7",
        queue="dsl",
        say="A word list for children at risk matched.",
        evidence=(Evidence(kind="text", name="not safe at home", where="part 1", private=True),),
    )
    values: dict[str, Any] = {
        "subject": "Concern about a pupil",
        "queue": "dsl",
        "explanation": explanation(["teacher@school.example"], findings=(concern,), support_id="SAF-001"),
    }
    return held(**{"key": new_id(), **values, **changes})


def sealed(**changes: Any) -> HeldMessage:
    """A message that is sealed for a role."""
    to = HeldRecipient(address="head@school.example", direction=Direction.INBOUND, action=Action.SEAL)
    values: dict[str, Any] = {
        "subject": "Never to be shown",
        "from_header": "Hidden Person <hidden@secret.example>",
        "recipients": (to,),
        "queue": "it-support",
        "explanation": explanation(
            [to.address],
            support_id="SEA-001",
            outcomes=(Outcome(recipient=to.address, direction=Direction.INBOUND, action=Action.SEAL),),
        ),
    }
    return held(**{"key": new_id(), **values, **changes})


_CASES: Sequence[tuple[str, str, str, str, str, Direction]] = (
    ("Invoice 4471 for school lunches", "Parkside Catering <accounts@parkside.example>", "bursar@school.example",
     "executable-attachment", "“invoice-4471.pdf.exe” cannot be sent by email because it is a Windows program.",
     Direction.INBOUND),
    ("Trip to York: all parents", "Helen Marsh <h.marsh@school.example>", "anna.berg@mail.example",
     "parents-exposed", "The addresses of 31 households would be visible to one another.", Direction.OUTBOUND),
    ("Re: timetable for next week", "D. Okafor <d.okafor@school.example>", "office@school.example",
     "oversize-attachment", "“timetable.pptx” is larger than 10 MB.", Direction.INTERNAL),
    ("Your parcel is waiting", "Delivery <no-reply@parcels.example>", "library@school.example",
     "executable-attachment", "“label.iso” holds a program that starts when it is opened.", Direction.INBOUND),
    ("Year 9 reports", "Priya Shah <p.shah@school.example>", "priya.home@mail.example",
     "private-account", "It goes to a private account, and school mail stays in school accounts.",
     Direction.OUTBOUND),
    ("Fw: Fw: pass this on to 10 friends", "Tom Reed <t.reed@school.example>", "all-staff@school.example",
     "chain-letter", "It asks its readers to pass it on.", Direction.INTERNAL),
    ("Macro-enabled budget", "Finance <finance@council.example>", "bursar@school.example",
     "macro-attachment", "“budget.xlsm” holds macros, which can run as programs.", Direction.INBOUND),
)  # fmt: skip


def school_week(desk: Desk, *, now: datetime | None = None, count: int = 24) -> list[HeldMessage]:
    """Messages as a school gets them, spread over two weeks, some of them decided."""
    now = now or datetime.now(UTC)
    kept = []
    for place in range(count):
        subject, sender, to, rule, say, direction = _CASES[place % len(_CASES)]
        mailbox = sender.partition("<")[2].rstrip(">")
        why = finding(
            [to],
            rule=rule,
            say=say,
            clause=f"KCS 2.{place % 10}",
            evidence=(Evidence(kind="attachment", name="setup.exe", where="part 2 › archive.zip › setup.exe"),),
        )
        watching = finding(
            [to], rule="courtesy", mode=Mode.MONITOR, say="It greets nobody.", actions={to: Action.PASS}
        )
        outcome = Outcome(recipient=to, direction=direction, action=Action.QUARANTINE)
        message = held(
            letter(subject, sender, to, place),
            recipients=(recipient(to, direction=direction),),
            subject=subject,
            from_header=sender,
            message_id=f"<{place}@{mailbox.partition('@')[2]}>",
            sender=mailbox if direction is not Direction.INBOUND else "",
            explanation=explanation(
                [to], findings=(why, watching), support_id=f"T{place:02d}-K7M", outcomes=(outcome,)
            ),
            attachments=()
            if rule != "executable-attachment"
            else (
                {
                    "path": "part 2",
                    "name": "invoice-4471.pdf.exe",
                    "claimed": "application/pdf",
                    "detected": "application/vnd.microsoft.portable-executable",
                    "size": 48_211,
                    "sha256": hashlib.sha256(bytes([place])).hexdigest(),
                    "classes": ["executable"],
                },
            ),
            received_at=now - timedelta(hours=7 * place + 1, minutes=13 * place % 60),
        )
        desk.keep(message, letter(subject, sender, to, place))
        kept.append(message)
        if place % 6 == 5:
            desk.store.deny(message.id, actor="rita", reason="Not wanted here")
    return kept


def letter(subject: str, sender: str, to: str, place: int) -> bytes:
    """The bytes of a letter with a program attached."""
    return (
        f"From: {sender}\r\nTo: <{to}>\r\nSubject: {subject}\r\nMessage-ID: <{place}@x.example>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n"
        "--b1\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n"
        "--b2\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nDear colleague,\r\n\r\n"
        "please find the file attached. It is wanted by Friday.\r\n\r\nKind regards\r\n"
        "--b2\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Dear colleague,</p><p>please "
        "find the file attached, "
        '<a href="https://files.example.net/x">our portal</a>.</p>\r\n--b2--\r\n'
        "--b1\r\nContent-Type: application/pdf; name=invoice-4471.pdf.exe\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAAEAAAA\r\n--b1--\r\n"
    ).encode()
