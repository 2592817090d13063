"""Owns one milter session: it collects what Postfix says, asks the gate at end of message, and replies.

It must never answer before end of message (an early accept would stay in force for what follows), keep state
outside the object (libmilter runs one session's callbacks on different threads), or let an exception choose
the verdict: whatever goes wrong ends as a temp-fail.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial, wraps
from time import perf_counter
from typing import Any, Concatenate, ParamSpec, Protocol

import Milter
import milter
import structlog

from gatepost_config import settings
from gatepost_milter import replies
from gatepost_milter.clerks import Clerks
from gatepost_milter.gate import TOTAL_SECONDS, Step
from gatepost_milter.metrics import EACH, Counter, Gauge, Histogram
from gatepost_milter.replies import Answer, Disposition
from gatepost_milter.spool import Spool, SpoolFullError
from gatepost_milter.transaction import Client, Path, Transaction, header_block, new_support_id

# Postfix gives a field no more than header_size_limit (100 kB), but as many fields as the client likes.
HEADER_LIMIT = 4 * 1024 * 1024

# What is asked of the MTA for each stage, whatever its own configuration lists. STARTTLS and AUTH come after
# HELO, so their macros are asked for with MAIL as well.
MACROS = (
    (Milter.M_CONNECT, "{daemon_addr} {daemon_port}"),
    (Milter.M_HELO, "{tls_version} {cert_subject} {verify}"),
    (Milter.M_ENVFROM, "{auth_authen} {auth_type} {tls_version} {cert_subject} {verify}"),
    (Milter.M_EOM, "i"),
)
ACTIONS = Milter.ADDHDRS | Milter.CHGHDRS | Milter.DELRCPT | Milter.SETSYMLIST

UNHANDLED = Counter(
    "gatepost_unhandled_errors",
    "Defects that were caught at the edge and became a temp-fail, by the step in which they struck.",
    ["stage"],
)
for _step in Step:
    UNHANDLED.labels(stage=_step.value)  # so that the first defect is an increase from 0, not a new series
REPLIES = Counter("gatepost_replies", "Final answers to messages, by kind.", ["reply"])
MESSAGE_BYTES = Histogram(
    "gatepost_message_bytes",
    "Bytes of each message that came to its end, as far as they were taken.",
    buckets=(1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 10485760, 16777216, 33554432, 67108864),
)
SESSIONS = Gauge("gatepost_sessions_open", "Connections from the MTA that are open.", multiprocess_mode=EACH)
_REPLIES = {each: REPLIES.labels(reply=each.value) for each in Disposition}

_log = structlog.get_logger("gatepost.session")
_Arguments = ParamSpec("_Arguments")


class Gate(Protocol):
    """What a session asks at end of message."""

    def process(self, transaction: Transaction, *, enter: Callable[[Step], None]) -> Answer:
        """The answer to one message."""
        ...


def fail_closed(
    callback: Callable[Concatenate[Session, _Arguments], int],
) -> Callable[Concatenate[Session, _Arguments], int]:
    """The one edge: an exception is logged, counted, and makes the message a temp-fail; it goes no further."""

    @wraps(callback)
    def edge(self: Session, /, *arguments: _Arguments.args, **named: _Arguments.kwargs) -> int:
        try:
            return callback(self, *arguments, **named)
        except Exception:  # noqa: BLE001 - here, and nowhere else
            return self._defect(callback.__name__)

    return edge


@dataclass(slots=True)
class _Message:
    """What has been collected of one message. ``trouble`` makes the answer, whatever else the message is."""

    support_id: str = field(default_factory=new_support_id)
    sender: Path | None = None
    recipients: list[Path] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    header_size: int = 0
    spool: Spool | None = None
    trouble: Callable[[str], Answer] | None = None

    def close(self) -> None:
        if self.spool is not None:
            self.spool.close()


@Milter.header_leading_space
class Session(Milter.Base):
    """One connection from the MTA, with any number of messages one after the other."""

    def __init__(self, *, gate: Gate, spool: settings.Spool, clerks: Clerks) -> None:
        self._gate = gate
        self._clerks = clerks
        self._spool_settings = spool
        self._key = secrets.token_hex(4)
        self._messages = 0
        self._connected = False
        self._broken = False
        self._leading_space = True
        self._name = self._address = self._helo = ""
        self._port = 0
        self._step = Step.COLLECT
        self._message = _Message()
        self._open = True
        SESSIONS.inc()

    # Until end of message nothing is answered: every callback only collects.

    @fail_closed
    def negotiate(self, options: list[int]) -> int:
        """Ask for what is needed, and for nothing that the MTA does not offer."""
        offered, steps = options[0], options[1]
        self._actions = offered & ACTIONS
        self._protocol = steps & ~self.protocol_mask()
        self._leading_space = bool(self._protocol & Milter.P_HDR_LEADSPC)
        if self._actions & Milter.SETSYMLIST:
            for stage, names in MACROS:
                self._ctx.setsymlist(stage, names)
        options[:] = [self._actions, self._protocol, 0, 0]
        return Milter.CONTINUE

    @Milter.noreply
    @fail_closed
    def connect(self, name: str, _family: int, address: tuple[Any, ...] | str | None) -> int:
        """An SMTP client has connected to Postfix (for a local submission Postfix says 127.0.0.1)."""
        self._name = name
        if isinstance(address, tuple):
            self._address, self._port = str(address[0]), int(address[1])
        self._connected = True
        return Milter.CONTINUE

    @Milter.noreply
    @fail_closed
    def hello(self, name: str) -> int:
        """HELO or EHLO; after STARTTLS it comes again."""
        self._helo = name
        return Milter.CONTINUE

    @Milter.noreply
    @Milter.decode("bytes")
    @fail_closed
    def envfrom(self, sender: bytes, *parameters: bytes) -> int:
        """MAIL FROM: a new message begins."""
        self._forget()
        self._messages += 1
        self._message.sender = self._path(sender, parameters)
        return Milter.CONTINUE

    @Milter.noreply
    @Milter.decode("bytes")
    @fail_closed
    def envrcpt(self, recipient: bytes, *parameters: bytes) -> int:
        """RCPT TO: one more recipient, not yet expanded by Postfix's aliases."""
        path = self._path(recipient, parameters)
        if path is not None:
            self._message.recipients.append(path)
        return Milter.CONTINUE

    @Milter.noreply
    @Milter.decode("bytes")
    @fail_closed
    def header(self, name: str, value: bytes) -> int:
        """One header field, byte for byte."""
        message, raw = self._message, name.encode()
        message.header_size += len(raw) + len(value)
        if message.header_size > HEADER_LIMIT:
            message.trouble = message.trouble or replies.too_large
        else:
            message.headers.append((raw, value if self._leading_space else b" " + value))
        return Milter.CONTINUE

    @Milter.noreply
    @fail_closed
    def eoh(self) -> int:
        """The header is complete and goes to the spool in one piece."""
        self._keep_header()
        return Milter.CONTINUE

    @Milter.noreply
    @fail_closed
    def body(self, chunk: bytes) -> int:
        """Some of the body, with CRLF line ends."""
        if self._message.spool is None:
            self._keep_header()
        self._write(chunk)
        return Milter.CONTINUE

    def eom(self) -> int:
        """The final dot: the only place where anything is answered."""
        return self._clerks.do(self._conclude, otherwise=Milter.TEMPFAIL)

    @fail_closed
    def _conclude(self) -> int:
        """Inspect, judge, hold and reply, on a clerk's thread."""
        started = perf_counter()
        message = self._message
        try:
            if message.spool is None:
                self._keep_header()
            answer = self._ask(message)
            self._step = Step.REPLY
            code = self._reply(answer)
        finally:
            message.close()
        took = perf_counter() - started
        self._tell(message, answer, took)
        self._step = Step.COLLECT
        TOTAL_SECONDS.observe(took)
        MESSAGE_BYTES.observe(message.spool.size if message.spool else 0)
        _REPLIES[answer.disposition].inc()
        return code

    @fail_closed
    def abort(self) -> int:
        """The message in progress is given up (RSET, or the client went away)."""
        self._forget()
        return Milter.CONTINUE

    @fail_closed
    def close(self) -> int:
        """The connection is over."""
        if self._open:
            self._open = False
            SESSIONS.dec()
        self._forget()
        return Milter.CONTINUE

    def _forget(self) -> None:
        """Nothing is left of the message before."""
        before, self._message = self._message, _Message()
        before.close()

    def _path(self, wire: bytes, parameters: tuple[bytes, ...]) -> Path | None:
        try:
            text = wire.decode()
            extra = tuple(each.decode() for each in parameters)
        except UnicodeDecodeError:
            self._message.trouble = self._message.trouble or replies.bad_address
            return None
        address = text[1:-1] if text.startswith("<") and text.endswith(">") else text
        return Path(address=address, wire=text, parameters=extra)

    def _keep_header(self) -> None:
        configured = self._spool_settings
        self._message.spool = Spool(
            directory=configured.directory, memory=configured.memory, limit=configured.limit
        )
        self._write(header_block(self._message.headers))

    def _write(self, data: bytes) -> None:
        message = self._message
        if message.trouble is not None or message.spool is None:
            return
        try:
            message.spool.write(data)
        except SpoolFullError:
            message.trouble = replies.too_large
        except OSError as error:
            message.trouble = partial(replies.tempfail, detail=f"spool: {error.strerror}")
        if message.trouble is not None:
            message.close()

    def _ask(self, message: _Message) -> Answer:
        """The gate's answer, or the answer to what already went wrong."""
        if message.trouble is not None:
            return message.trouble(message.support_id)
        if self._broken or not self._connected or message.sender is None or message.spool is None:
            return replies.tempfail(message.support_id, detail="the session is incomplete")
        transaction = Transaction(
            key=f"{self._key}.{self._messages}",
            client=self._client(),
            sender=message.sender,
            recipients=tuple(message.recipients),
            content=message.spool,
            headers=tuple(message.headers),
            queue_id=self._macro("i"),
            support_id=message.support_id,
        )
        return self._gate.process(transaction, enter=self._enter)

    def _enter(self, step: Step) -> None:
        self._step = step

    def _client(self) -> Client:
        login, tls_version = self._macro("{auth_authen}"), self._macro("{tls_version}")
        # Postfix gives the subject of a trusted certificate only and has no {verify}; Sendmail has both.
        trusted = self._macro("{verify}") in ("", "OK")
        port = self._macro("{daemon_port}")
        return Client(
            name=self._name,
            address=self._address,
            port=self._port,
            helo=self._helo,
            protocol=f"ESMTP{'S' if tls_version else ''}{'A' if login else ''}",  # RFC 3848
            tls_version=tls_version,
            tls_name=self._macro("{cert_subject}") if trusted and tls_version else "",
            login=login,
            login_method=self._macro("{auth_type}"),
            daemon=self._macro("{daemon_addr}") + (f":{port}" if port else ""),
        )

    def _macro(self, name: str) -> str:
        return self._ctx.getsymval(name) or ""

    def _reply(self, answer: Answer) -> int:
        """The answer in the words of pymilter. The final answer is the last thing that happens."""
        self._say(answer)
        if answer.disposition is Disposition.ACCEPT:
            for stale in answer.remove:
                self._ctx.chgheader(stale.name, stale.index, None)
            for name, value in answer.add:
                self._ctx.addheader(name, f" {value}" if self._leading_space else value)
            for recipient in answer.delete:
                self._ctx.delrcpt(recipient)
        return _CODES[answer.disposition]

    def _say(self, answer: Answer) -> None:
        if answer.reply is not None:
            reply = answer.reply
            # libmilter reads the text as a format; Postfix makes one of two per cent signs.
            self._ctx.setreply(str(reply.code), reply.status, reply.text.replace("%", "%%"))

    def _tell(self, message: _Message, answer: Answer, took: float) -> None:
        """The canonical log line of this message."""
        _log.info(
            answer.event.value,
            connection=self._key,
            queue_id=self._macro("i"),
            client=self._address,
            login=self._macro("{auth_authen}"),
            sender=message.sender.address if message.sender else "",
            recipients=len(message.recipients),
            size=message.spool.size if message.spool else 0,
            took_ms=round(took * 1000, 2),
            **({"reply": f"{answer.reply.code} {answer.reply.status}"} if answer.reply else {}),
            **answer.facts,
        )

    def _defect(self, callback: str) -> int:
        """What the edge does: say it, count it, and see to it that this message is a temp-fail."""
        step, self._step = self._step, Step.COLLECT
        UNHANDLED.labels(stage=step.value).inc()
        queue_id = ""
        with suppress(milter.error):
            queue_id = self._macro("i")
        _log.exception(
            "failed",
            stage=step.value,
            callback=callback,
            connection=self._key,
            queue_id=queue_id,
            support_id=self._message.support_id,
        )
        if callback == "_conclude":
            _REPLIES[Disposition.TEMPFAIL].inc()
            with suppress(milter.error):  # without our text the MTA uses its own
                self._say(replies.tempfail(self._message.support_id))
            return Milter.TEMPFAIL
        if callback == "negotiate":
            return Milter.REJECT  # ends the session, and the MTA's default action is a temp-fail
        self._broken = self._broken or callback in ("connect", "hello")
        self._message.trouble = replies.tempfail
        return Milter.CONTINUE


_CODES = {
    Disposition.ACCEPT: Milter.ACCEPT,
    Disposition.DISCARD: Milter.DISCARD,
    Disposition.REJECT: Milter.REJECT,
    Disposition.TEMPFAIL: Milter.TEMPFAIL,
}


def register(name: str, *, gate: Gate, spool: settings.Spool, clerks: Clerks) -> None:
    """Make libmilter call a new Session for each connection. Once in each worker, before ``milter.main``."""
    Milter.factory = partial(Session, gate=gate, spool=spool, clerks=clerks)
    milter.set_flags(ACTIONS)
    milter.set_connect_callback(Milter.connect_callback)
    milter.set_helo_callback(lambda ctx, host: ctx.getpriv().hello(host))
    # Straight to the methods: pymilter's own header_bytes would leave a reference cycle with every session.
    milter.set_envfrom_callback(lambda ctx, *values: ctx.getpriv().envfrom(*values))
    milter.set_envrcpt_callback(lambda ctx, *values: ctx.getpriv().envrcpt(*values))
    milter.set_header_callback(lambda ctx, field, value: ctx.getpriv().header(field, value))
    milter.set_eoh_callback(lambda ctx: ctx.getpriv().eoh())
    milter.set_body_callback(lambda ctx, chunk: ctx.getpriv().body(chunk))
    milter.set_eom_callback(lambda ctx: ctx.getpriv().eom())
    milter.set_abort_callback(lambda ctx: ctx.getpriv().abort())
    milter.set_close_callback(Milter.close_callback)
    milter.set_exception_policy(Milter.TEMPFAIL)
    milter.register(name, negotiate=Milter.negotiate_callback)
