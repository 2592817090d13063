"""Owns the mailboxes at the end of the road: SMTP listeners on loopback that keep in memory what they are given.

The demo's front puts delivered mail here, the courier's releases and notices arrive here over SMTP, and the
end-to-end tests read here what really left Postfix.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from aiosmtpd.smtp import SMTP, Envelope, Session

SIZE_LIMIT = 256 * 1024 * 1024
"""Bytes of one message that a listener takes: more than any gateway passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it arrived: ``content`` has CRLF line ends, ``options`` are the parameters of MAIL.

    ``via`` names the listener (or the front) that took it.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    options: tuple[str, ...] = ()
    via: str = ""


def reverse_path(envelope: Envelope) -> str:
    """The envelope sender, empty for the null sender, which aiosmtpd gives as ``<>``."""
    return "" if envelope.mail_from in (None, "<>") else str(envelope.mail_from)


class Mailboxes:
    """Every delivery, in order of arrival. Safe to use from several threads."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._deliveries: list[Delivery] = []

    def keep(self, delivery: Delivery) -> None:
        """Add a delivery and wake whoever waits for it."""
        with self._arrived:
            self._deliveries.append(delivery)
            self._arrived.notify_all()

    def all(self) -> tuple[Delivery, ...]:
        """Everything so far."""
        with self._arrived:
            return tuple(self._deliveries)

    def of(self, address: str) -> tuple[Delivery, ...]:
        """What this address received so far, compared without case."""
        wanted = address.lower()
        return tuple(each for each in self.all() if wanted in map(str.lower, each.recipients))

    def wait(self, enough: Callable[[Sequence[Delivery]], bool], *, seconds: float) -> bool:
        """Wait until ``enough`` says so of all deliveries; False when the time is over before."""
        deadline = time.monotonic() + seconds
        with self._arrived:
            while not enough(tuple(self._deliveries)):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._arrived.wait(left)
            return True


class Listener:
    """An SMTP listener that keeps what it is given. ``port`` is known once the context is entered.

    ``answer`` may refuse: it is given each delivery and returns an SMTP reply, or an empty string to keep it.
    """

    def __init__(
        self,
        mailboxes: Mailboxes,
        *,
        via: str,
        port: int = 0,
        answer: Callable[[Delivery], str] = lambda _: "",
    ) -> None:
        self._mailboxes = mailboxes
        self._via = via
        self._wanted_port = port
        self._answer = answer
        self.port = port

    async def handle_DATA(  # noqa: N802 - aiosmtpd looks for this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.original_content or b""
        delivery = Delivery(
            sender=reverse_path(envelope),
            recipients=tuple(envelope.rcpt_tos),
            content=content,
            options=tuple(envelope.mail_options),
            via=self._via,
        )
        if refusal := self._answer(delivery):
            return refusal
        self._mailboxes.keep(delivery)
        return "250 2.0.0 kept"

    def __enter__(self) -> Listener:
        self._server = ServerThread(
            lambda: SMTP(self, data_size_limit=SIZE_LIMIT, enable_SMTPUTF8=True, hostname=self._via),
            port=self._wanted_port,
        )
        self.port = self._server.port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()


class ServerThread:
    """An asyncio server on 127.0.0.1 in a thread of its own. ``port`` 0 takes a free one.

    Raises OSError at once if the port is taken.
    """

    def __init__(self, protocol: Callable[[], asyncio.BaseProtocol], *, port: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port: int = self._socket.getsockname()[1]
        self._protocol = protocol
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"smtp-{self.port}", daemon=True)
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Close the listener and every open session, and end the thread."""
        self._loop.call_soon_threadsafe(self._finish.set)
        self._thread.join()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._finish = asyncio.Event()
        # Made inside the loop: aiosmtpd's protocol asks for the running loop when it is constructed.
        server = await self._loop.create_server(self._protocol, sock=self._socket)
        self._ready.set()
        await self._finish.wait()
        server.close()
        # Runner cancels the sessions that are still open when this returns.
