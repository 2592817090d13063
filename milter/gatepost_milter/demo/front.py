"""Owns the front of the demo: an SMTP server that asks a milter about each message, as Postfix would.

It believes nothing and forwards nothing: what the milter lets through goes to mailboxes in memory. A milter that
is gone or breaks the protocol makes the client try again later, as ``milter_default_action = tempfail`` does.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Collection, Sequence
from email.utils import formatdate
from types import TracebackType

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from gatepost_milter.demo.logins import PASSWORD
from gatepost_milter.demo.mailboxes import SIZE_LIMIT, Delivery, Mailboxes, ServerThread, reverse_path
from gatepost_milter.demo.milter_client import Disposition, MilterClient, Outcome, split

_TRY_LATER = "451 4.7.1 Service unavailable - try again later"
_REFUSED = "550 5.7.1 Command rejected"
_MILTER_TIMEOUT = 300.0
"""Seconds for one answer of the milter: Postfix's milter_content_timeout."""


class Front:
    """Listens on 127.0.0.1 and asks the milter at ``milter`` (an address as MilterClient takes it).

    Clients are shown to the milter as ``client`` (address). ``logins`` may log in with the demo's password.
    Use it as a context manager; ``port`` 0 takes a free one.
    """

    def __init__(
        self,
        mailboxes: Mailboxes,
        *,
        milter: str,
        port: int,
        host_name: str,
        logins: Collection[str] = (),
        client: str = "192.0.2.25",
    ) -> None:
        self._mailboxes = mailboxes
        self._milter = milter
        self._host_name = host_name
        self._logins = frozenset(logins)
        self._client = client
        self.port = port

    async def handle_DATA(  # noqa: N802 - aiosmtpd looks for this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        queue_id = secrets.token_hex(6).upper()
        content = bytes(envelope.original_content or b"")
        try:
            outcome = await asyncio.to_thread(self._ask, session, envelope, content, queue_id)
        except OSError:
            return _TRY_LATER
        match outcome.disposition:
            case Disposition.TEMPFAIL:
                return outcome.reply or _TRY_LATER
            case Disposition.REJECT:
                return outcome.reply or _REFUSED
            case Disposition.DISCARD:
                pass
            case _:
                self._deliver(session, envelope, outcome, content, queue_id)
        return f"250 2.0.0 Ok: queued as {queue_id}"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        """AUTH PLAIN and LOGIN: a listed name with the demo's password."""
        if not isinstance(data, LoginPassword):
            return AuthResult(success=False, handled=False)
        login = data.login.decode(errors="replace")
        success = login in self._logins and hmac.compare_digest(data.password, PASSWORD.encode())
        return AuthResult(success=success, handled=False, auth_data=login)

    def __enter__(self) -> Front:
        self._server = ServerThread(
            lambda: SMTP(
                self,
                data_size_limit=SIZE_LIMIT,
                enable_SMTPUTF8=True,
                hostname=self._host_name,
                ident="ESMTP gatepost demo",
                authenticator=self.authenticate,
                auth_require_tls=False,
            ),
            port=self.port,
        )
        self.port = self._server.port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def _ask(self, session: Session, envelope: Envelope, content: bytes, queue_id: str) -> Outcome:
        """One milter session for one message; every macro is one that Postfix would send at that step."""
        login = session.auth_data if session.authenticated else None
        author: dict[str, str] = {"auth_type": "PLAIN", "auth_authen": str(login)} if login else {}
        daemon = "ORIGINATING" if login else self._host_name
        with MilterClient(self._milter, timeout=_MILTER_TIMEOUT) as milter:
            early = [
                milter.connect(
                    "client.example",
                    self._client,
                    macros={
                        "j": self._host_name,
                        "daemon_name": daemon,
                        "daemon_addr": "127.0.0.1",
                        "daemon_port": str(self.port),
                        "v": "gatepost demo",
                    },
                ),
                milter.helo(session.host_name or "client.example"),
            ]
            for outcome in early:
                if outcome.disposition is not Disposition.CONTINUE:
                    return outcome
            return milter.message(
                content,
                sender=reverse_path(envelope),
                recipients=envelope.rcpt_tos,
                queue_id=queue_id,
                sender_parameters=envelope.mail_options,
                mail_macros={"mail_addr": reverse_path(envelope), **author},
            )

    def _deliver(
        self, session: Session, envelope: Envelope, outcome: Outcome, content: bytes, queue_id: str
    ) -> None:
        """Put what is left of the message, as the milter changed it, into the mailboxes that are left."""
        gone = {each.strip("<>").lower() for each in outcome.deleted}
        left = [each for each in envelope.rcpt_tos if each.lower() not in gone]
        left += [each.strip("<>") for each in outcome.new_recipients]
        if not left:
            return
        received = (
            f"Received: from {session.host_name} (client.example [{self._client}])\r\n"
            f"\tby {self._host_name} (gatepost demo) with ESMTP id {queue_id};\r\n"
            f"\t{formatdate()}\r\n"
        )
        self._mailboxes.keep(
            Delivery(
                sender=outcome.new_sender.strip("<>") or reverse_path(envelope),
                recipients=tuple(left),
                content=received.encode() + changed(content, outcome),
                options=tuple(envelope.mail_options),
                via="front",
            )
        )


def changed(content: bytes, outcome: Outcome) -> bytes:
    """The message with the milter's changes to its header and body; CRLF line ends."""
    fields, body = split(content)
    for change in outcome.changed:
        _change(fields, change.name.encode(), change.index, change.value.encode())
    for index, name, value in outcome.inserted:
        fields.insert(index, (name.encode(), _value(value.encode())))
    fields += [(name.encode(), _value(value.encode())) for name, value in outcome.added]
    header = b"".join(name + b":" + value.replace(b"\n", b"\r\n") + b"\r\n" for name, value in fields)
    return header + b"\r\n" + (outcome.new_body or body)


def _change(fields: list[tuple[bytes, bytes]], name: bytes, index: int, value: bytes) -> None:
    """Set the ``index``-th field of this name, remove it if ``value`` is empty, add it if it does not exist."""
    places = _places(fields, name)
    if index > len(places):
        if value:
            fields.append((name, _value(value)))
    elif value:
        fields[places[index - 1]] = name, _value(value)
    else:
        del fields[places[index - 1]]


def _places(fields: Sequence[tuple[bytes, bytes]], name: bytes) -> list[int]:
    return [place for place, (each, _) in enumerate(fields) if each.lower() == name.lower()]


def _value(value: bytes) -> bytes:
    """The milter says whether there is a space after the colon; libmilter's callers mostly leave it out."""
    return value if value[:1] in (b" ", b"\t") else b" " + value
