"""Owns the SMTP dialogue with a release listener: one mail, one connection, its bytes streamed unchanged.

It must never end a message that is not whole: whatever goes wrong before the final dot closes the connection
without it, and the server forgets what it was given (RFC 5321 section 4.1.1.4).
"""

from __future__ import annotations

import re
import smtplib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

FINAL_TIMEOUT = 600.0
"""Seconds for the answer to the final dot (RFC 5321 section 4.5.3.2.6). To give up early is to send twice."""

_LINE_LIMIT = 500
_REPLY_LIMIT = 500
_NOT_IN_COMMANDS = re.compile(r"[\x00-\x20\x7f]")
_PARAMETER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(=[^\x00-\x20\x7f=]+)?\Z")
_NOT_XTEXT = re.compile(rb"[^!-*,-<>-~]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BARE_LF = re.compile(rb"(?<!\r)\n")

# The extension without which a parameter may not be sent. SIZE is left out: ours is another.
_NEEDS = {
    "BODY": "8bitmime",
    "SMTPUTF8": "smtputf8",
    "RET": "dsn",
    "ENVID": "dsn",
    "NOTIFY": "dsn",
    "ORCPT": "dsn",
}


class SmtpError(Exception):
    """The mail was not accepted, and may be tried again: no connection, no answer, or an unfit server."""


class LeaseLostError(Exception):
    """The mail is another courier's to send by now; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply on one line: ``550 5.1.1 no such user``."""

    code: int
    text: str

    @property
    def accepted(self) -> bool:
        """Whether the server has taken it."""
        return 200 <= self.code < 300

    @property
    def permanent(self) -> bool:
        """Whether another try would be answered the same."""
        return 500 <= self.code < 600

    def __str__(self) -> str:
        return f"{self.code} {self.text}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An envelope recipient with its ESMTP parameters as they came."""

    address: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One SMTP transaction. ``size`` is in bytes; ``client`` are XFORWARD attributes, empty for our own mail."""

    sender: str
    targets: Sequence[Target]
    content: Callable[[], Iterable[bytes]]
    size: int
    parameters: tuple[str, ...] = ()
    client: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """Where to send: ``server`` is HOST:PORT, ``helo`` our own name, ``timeout`` in seconds for one command."""

    server: str
    helo: str
    timeout: float


def send(
    mail: Mail,
    *,
    hop: Hop,
    keep_alive: Callable[[], None] = lambda: None,
    may_finish: Callable[[], bool] = lambda: True,
) -> list[Reply]:
    """Send the mail; one reply for each target, in order. Raises SmtpError, LeaseLostError.

    ``keep_alive`` is called between pieces; ``may_finish`` is asked once, right before the final dot. An error
    from ``mail.content`` passes through, and the server has then been given no whole message.
    """
    host, _, port = hop.server.rpartition(":")
    try:
        session = smtplib.SMTP(local_hostname=hop.helo, timeout=hop.timeout)
        try:
            code, text = session.connect(host.strip("[]"), int(port))
            if code != 220:
                raise SmtpError(str(_reply(code, text)))
            return _Dialogue(session).transact(mail, keep_alive=keep_alive, may_finish=may_finish)
        finally:
            session.close()
    except smtplib.SMTPResponseException as error:
        raise SmtpError(str(_reply(error.smtp_code, error.smtp_error))) from error
    except (smtplib.SMTPException, OSError) as error:
        raise SmtpError(f"{hop.server}: {error or type(error).__name__}") from error


def stuffed(content: Iterable[bytes]) -> Iterator[bytes]:
    """The content as it stands between DATA and the final dot, in pieces (RFC 5321 section 4.5.2).

    Lines end with CRLF. Held messages have no other ends; should one have a bare LF, Postfix would take it for
    the end of a line, so it becomes one here, and no dot after it can pass for the end of the message.
    """
    last, at_start = b"", True
    for raw in content:
        if not raw:
            continue
        piece = raw
        if piece[:1] == b"\n" and last == b"\r":
            # The LF of a CRLF that was cut in two.
            head, piece = b"\n", piece[1:]
            at_start = True
        else:
            head = b""
        # The lookbehind does not see the piece before; a leading LF here is a bare one.
        piece = _BARE_LF.sub(b"\r\n", piece)
        if at_start and piece[:1] == b".":
            head += b"."
        piece = head + piece.replace(b"\n.", b"\n..")
        last, at_start = piece[-1:], piece[-1:] == b"\n"
        yield piece
    if not at_start:
        yield b"\r\n"


class _Dialogue:
    """The commands of one transaction over an open connection."""

    def __init__(self, session: smtplib.SMTP) -> None:
        self._session = session

    def transact(
        self, mail: Mail, *, keep_alive: Callable[[], None], may_finish: Callable[[], bool]
    ) -> list[Reply]:
        code, text = self._session.ehlo()
        if code != 250:
            raise SmtpError(str(_reply(code, text)))
        self._require(mail)
        self._forward(mail.client)
        started = self._command(_path("MAIL FROM", mail.sender), *self._mail_parameters(mail))
        if not started.accepted:
            self._quit()
            return [started] * len(mail.targets)
        replies = [self._recipient(target) for target in mail.targets]
        if any(reply.accepted for reply in replies):
            final = self._data(mail.content(), keep_alive=keep_alive, may_finish=may_finish)
            replies = [final if reply.accepted else reply for reply in replies]
        self._quit()
        return replies

    def _require(self, mail: Mail) -> None:
        """What would have to be changed in the message if the server did not offer it."""
        given = {each.upper() for each in mail.parameters}
        needed = {
            "smtputf8": "SMTPUTF8" in given or _international(mail),
            "8bitmime": "BODY=8BITMIME" in given,
        }
        for extension, needs in needed.items():
            if needs and not self._offers(extension):
                name = extension.upper()
                raise SmtpError(f"451 4.3.0 the release listener does not offer {name}, and the message needs it")

    def _offers(self, extension: str) -> bool:
        return extension in self._session.esmtp_features

    def _mail_parameters(self, mail: Mail) -> list[str]:
        parameters = self._usable(mail.parameters, ("BODY", "SMTPUTF8", "RET", "ENVID"))
        if _international(mail) and not any(each.upper() == "SMTPUTF8" for each in parameters):
            parameters.append("SMTPUTF8")
        if self._offers("size"):
            parameters.append(f"SIZE={mail.size}")
        return parameters

    def _usable(self, parameters: Iterable[str], names: Sequence[str]) -> list[str]:
        """The parameters that may be sent to this server, as they came, each name once."""
        usable: dict[str, str] = {}
        for each in parameters:
            name = each.partition("=")[0].upper()
            if name in names and self._offers(_NEEDS[name]) and _PARAMETER.match(each):
                usable.setdefault(name, each)
        return list(usable.values())

    def _forward(self, client: Mapping[str, str]) -> None:
        """Name the original client, if the server wants to know (Postfix's XFORWARD). For its log: never fatal."""
        offered = self._session.esmtp_features.get("xforward", "").upper().split()
        line = "XFORWARD"
        for name, value in client.items():
            if name not in offered:
                continue
            word = f" {name}={_xtext(value)}"
            if len(line) + len(word) > _LINE_LIMIT:
                self._raw(line.encode("ascii"))
                line = "XFORWARD"
            line += word
        if line != "XFORWARD":
            self._raw(line.encode("ascii"))

    def _recipient(self, target: Target) -> Reply:
        return self._command(
            _path("RCPT TO", target.address), *self._usable(target.parameters, ("NOTIFY", "ORCPT"))
        )

    def _data(
        self, content: Iterable[bytes], *, keep_alive: Callable[[], None], may_finish: Callable[[], bool]
    ) -> Reply:
        ready = self._raw(b"DATA")
        if ready.code != 354:
            # No message follows, whatever class the code is of: 2xx here would be no acceptance.
            return ready if ready.code >= 400 else Reply(451, f"unexpected answer to DATA: {ready}")
        for piece in stuffed(content):
            self._session.send(piece)
            keep_alive()
        if not may_finish():
            raise LeaseLostError
        if self._session.sock is not None:
            self._session.sock.settimeout(FINAL_TIMEOUT)
        return self._raw(b".")

    def _command(self, verb: str | None, *parameters: str) -> Reply:
        if verb is None:
            return Reply(553, "5.1.3 gatepost: the address cannot be written in an SMTP command")
        line = " ".join([verb, *parameters])
        return self._raw(line.encode("utf-8", "surrogateescape"))

    def _raw(self, line: bytes) -> Reply:
        self._session.send(line + b"\r\n")
        reply = _reply(*self._session.getreply())
        if reply.code == 421:
            raise SmtpError(str(reply))
        return reply

    def _quit(self) -> None:
        """Part politely. The answer to the mail is known already, so nothing here may fail it."""
        try:
            if self._session.sock is not None:
                self._session.sock.settimeout(5)
            self._raw(b"QUIT")
        except (smtplib.SMTPException, OSError, SmtpError):
            return


def _path(verb: str, address: str) -> str | None:
    """The command with its path; None for an address that cannot stand in a command."""
    quoted = address.startswith('"')
    broken = _NOT_IN_COMMANDS.search(address.replace(" ", "") if quoted else address)
    if broken or (not quoted and ("<" in address or ">" in address)):
        return None
    return f"{verb}:<{address}>"


def _international(mail: Mail) -> bool:
    """Whether an address needs SMTPUTF8 (RFC 6531). One of raw bytes that are no UTF-8 goes out as it came in."""
    addresses = [mail.sender, *(target.address for target in mail.targets)]
    return any(not each.isascii() and not _SURROGATE.search(each) for each in addresses)


def _xtext(value: str) -> str:
    """RFC 3461 section 4: what is not a plain printable letter as ``+`` and two hexadecimal digits."""
    raw = value.encode("utf-8", "replace")
    return _NOT_XTEXT.sub(lambda found: b"+%02X" % found.group()[0], raw).decode("ascii")


def _reply(code: int, text: bytes | str) -> Reply:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    printable = "".join(letter if letter.isprintable() else " " for letter in shown)
    return Reply(code, " ".join(printable.split())[:_REPLY_LIMIT])
