"""Owns a recording SMTP sink on a free loopback port, which answers as a test tells it to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session, syntax

_DSN = ("RET=", "ENVID=", "NOTIFY=", "ORCPT=")


@dataclass(frozen=True, slots=True)
class Taken:
    """One mail as the sink was given it; ``commands`` are the lines of its session, without the content."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    commands: tuple[str, ...]


Answer = Callable[[str, str], str | None]
"""Given a verb and its argument, an SMTP reply to give instead of the usual one, or None."""


class Sink:
    """The sink; a context manager. ``extensions`` are the EHLO lines that it offers besides SIZE and the like.

    ``answer`` is asked at MAIL, RCPT, DATA (when it begins), ``.`` (when the content is there) and ``taken`` (when
    it has been kept and not yet answered).
    """

    def __init__(
        self,
        *,
        extensions: Sequence[str] = ("DSN", "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"),
        answer: Answer = lambda _verb, _argument: None,
        smtputf8: bool = True,
    ) -> None:
        self.extensions = extensions
        self.answer = answer
        self.smtputf8 = smtputf8
        self._arrived = threading.Condition()
        self._mails: list[Taken] = []
        self._sessions: list[list[str]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="sink", daemon=True)
        self._ready = threading.Event()
        self.port = 0

    @property
    def address(self) -> str:
        """HOST:PORT, as settings want it."""
        return f"127.0.0.1:{self.port}"

    @property
    def mails(self) -> list[Taken]:
        """Everything that was taken so far."""
        with self._arrived:
            return list(self._mails)

    @property
    def sessions(self) -> list[list[str]]:
        """The command lines of every session so far, finished or not."""
        with self._arrived:
            return [list(each) for each in self._sessions]

    def wait_until(self, enough: Callable[[Sink], bool], *, seconds: float = 20) -> None:
        """Wait until ``enough`` says so; fails when the time is over before."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: enough(self), seconds), (self._mails, self._sessions)

    def __enter__(self) -> Sink:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Session(self, loop=self._loop), host="127.0.0.1", port=0)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(self._loop), return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        asyncio.set_event_loop(None)

    def opened(self) -> list[str]:
        """A session begins; the list takes its command lines."""
        with self._arrived:
            self._sessions.append([])
            return self._sessions[-1]

    def said(self, session: list[str], line: str) -> None:
        """The client said a line."""
        with self._arrived:
            session.append(line)
            self._arrived.notify_all()

    def take(self, mail: Taken) -> None:
        """Keep a mail."""
        with self._arrived:
            self._mails.append(mail)
            self._arrived.notify_all()


class _Handler:
    """aiosmtpd's hooks, as far as the sink needs them."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def handle_EHLO(  # noqa: N802 - aiosmtpd looks hooks up by this name
        self, server: _Session, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], *(f"250-{each}" for each in self._sink.extensions), responses[-1]]

    async def handle_DATA(self, server: _Session, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        reply = await asyncio.to_thread(self._sink.answer, ".", "")
        if reply is not None and not reply.startswith("2"):
            return reply
        self._sink.take(
            Taken(
                sender=(envelope.mail_from or "").removeprefix("<>"),
                recipients=tuple(envelope.rcpt_tos),
                content=content,
                commands=tuple(server.lines),
            )
        )
        await asyncio.to_thread(self._sink.answer, "taken", "")
        return reply or "250 2.0.0 Ok: queued as SINK"


class _Session(SMTP):
    """aiosmtpd's server with the DSN parameters and XFORWARD of Postfix, and a word from the test first."""

    def __init__(self, sink: Sink, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            _Handler(sink), loop=loop, enable_SMTPUTF8=sink.smtputf8, data_size_limit=256 * 1024 * 1024
        )
        self._sink = sink
        self.lines = sink.opened()

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 - these are named after their commands
        self._sink.said(self.lines, f"EHLO {hostname}")
        await super().smtp_EHLO(hostname)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        await self._told("MAIL", arg, super().smtp_MAIL)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        await self._told("RCPT", arg, super().smtp_RCPT)

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        await self._told("DATA", arg, super().smtp_DATA)

    async def smtp_QUIT(self, arg: str | None) -> None:  # noqa: N802
        await self._told("QUIT", arg, super().smtp_QUIT)

    @syntax("XFORWARD attribute=value ...")
    async def smtp_XFORWARD(self, arg: str) -> None:  # noqa: N802
        self._sink.said(self.lines, f"XFORWARD {arg}")
        await self.push("250 2.0.0 Ok")

    async def _told(self, verb: str, arg: str | None, usual: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        self._sink.said(self.lines, f"{verb} {arg or ''}".strip())
        reply = await asyncio.to_thread(self._sink.answer, verb, arg or "")
        if reply == "close":
            if self.transport is not None:
                self.transport.close()
        elif reply is not None:
            await self.push(reply)
        else:
            words = (arg or "").split(" ")
            await usual(" ".join(word for word in words if not word.upper().startswith(_DSN)) or arg)
