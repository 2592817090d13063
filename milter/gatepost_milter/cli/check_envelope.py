"""Owns the envelope that ``gatepost check`` supposes for a message file: what was given, else what it says.

Only this command ever takes anything from a header; the gateway believes the login and the envelope alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import getaddresses

from gatepost_config.settings import Settings
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.identity import in_school
from gatepost_milter.spool import Spool
from gatepost_milter.transaction import Client, Path, Transaction

_AUTHENTICATED = re.compile(r"\(Authenticated sender: ([^\s()]+)\)")
_CLIENT = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the person said; None and empty where they did not."""

    sender: str | None = None
    recipients: tuple[str, ...] = ()
    login: str | None = None
    client: str | None = None


def wire_form(content: bytes) -> bytes:
    """The message as SMTP carries it: a file with Unix line ends gets CRLF, any other stays as it is."""
    if b"\r\n" in content:
        return content
    return content.replace(b"\n", b"\r\n")


def header_fields(content: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The header fields as (name, value), folded values with LF, as the milter protocol gives them."""
    block = content.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"\n")
    fields: list[tuple[bytes, list[bytes]]] = []
    for line in block.split(b"\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1][1].append(line)
            continue
        name, colon, value = line.partition(b":")
        if not colon:
            break
        fields.append((name, [value]))
    return tuple((name, b"\n".join(lines)) for name, lines in fields)


def transaction_for(
    content: bytes, spool: Spool, inspection: Inspection, settings: Settings, given: Given
) -> Transaction:
    """The transaction that the file is judged in. It has no recipient if none is given nor named in the header."""
    headers = header_fields(content)
    texts = [(name.strip().lower(), value.decode("utf-8", "replace")) for name, value in headers]
    sender = given.sender if given.sender is not None else _author(texts, inspection)
    address, login = given.client, given.login
    if address is None and login is None:
        address, login = _traced(texts)
        if address is None and login is None and sender and in_school(sender, settings):
            login = sender
    recipients = given.recipients or _named(texts, inspection)
    return Transaction(
        key="check",
        client=Client(address=address or "", login=login or ""),
        sender=_path(sender),
        recipients=tuple(_path(each) for each in recipients),
        content=spool,
        headers=headers,
    )


def _traced(texts: Sequence[tuple[bytes, str]]) -> tuple[str | None, str | None]:
    """Client address and login from the newest Received field, as Postfix writes it; None without any."""
    for name, value in texts:
        if name == b"received":
            client, login = _CLIENT.search(value), _AUTHENTICATED.search(value)
            return (client[1] if client else ""), (login[1] if login else "")
    return None, None


def _author(texts: Sequence[tuple[bytes, str]], inspection: Inspection) -> str:
    for wanted in (b"return-path", b"sender"):
        for name, value in texts:
            if name == wanted:
                return value.strip().strip("<>") if wanted == b"return-path" else _first([value])
    return inspection.from_[0].address if inspection.from_ else ""


def _first(values: list[str]) -> str:
    return next((address for _, address in getaddresses(values) if address), "")


def _named(texts: Sequence[tuple[bytes, str]], inspection: Inspection) -> tuple[str, ...]:
    visible = [each.address for each in inspection.recipients if each.field.lower() in ("to", "cc")]
    blind = [address for _, address in getaddresses([value for name, value in texts if name == b"bcc"])]
    return tuple(dict.fromkeys(address for address in (*visible, *blind) if "@" in address))


def _path(address: str) -> Path:
    plain = address.strip().removeprefix("<").removesuffix(">")
    return Path(address=plain, wire=f"<{plain}>")
