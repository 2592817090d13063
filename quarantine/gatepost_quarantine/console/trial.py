"""Owns trying a message against the policy in force: judged by ``gatepost check`` as a bounded child, never here.

Nothing is held, sent or counted by it. A held message is tried by people who may not read it, too: they see which
rules would fire and how the message is made, but not what was found in it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from starlette.responses import Response

from gatepost_config.ip_addresses import EXAMPLES, is_ip_address
from gatepost_config.settings import Settings
from gatepost_quarantine import notices
from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.console.desk import Visit
from gatepost_quarantine.console.preview import Preview, Reader, UnreadableError, child, spooled
from gatepost_quarantine.console.rights import Right
from gatepost_quarantine.review import Item
from gatepost_quarantine.store import ConflictError

UPLOAD_LIMIT = 40 * 1024 * 1024
"""Bytes of an upload: more than any mail server takes in one message."""

TIMEOUT = 60.0
"""Seconds for one judgement, loading the policy included."""

_BOUNDS = ("/usr/bin/prlimit", "--as=4294967296", "--cpu=60", "--core=0")
_ANSWER = 4 * 1024 * 1024
_RECIPIENTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A rule that fired. ``where`` and ``say`` are empty for who may not read the message."""

    rule: str
    clause: str
    action: str
    mode: str
    where: str
    say: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What would become of a message under the policy in force."""

    verdict: str
    direction: str
    recipients: tuple[tuple[str, str], ...]
    findings: tuple[Found, ...]
    defects: tuple[str, ...]
    took_ms: float


def page(visit: Visit) -> Response:
    """The form to try a message of one's own."""
    return _page(visit, item=None, judgement=None, preview=None, refusal="")


def upload(visit: Visit) -> Response:
    """Try the message that was uploaded."""
    if visit.upload is None or not visit.upload.read(1):
        raise ConflictError("Choose a message file first (.eml).")
    visit.upload.seek(0)
    who = {name: visit.field(name, 320) for name in ("sender", "recipient", "login", "client")}
    for name in ("sender", "recipient"):
        if who[name] and not notices.answerable(who[name]):
            raise ConflictError(f"“{who[name]}” is not an address.")
    if who["client"] and not is_ip_address(who["client"]):
        raise ConflictError(f"“{who['client']}” is not an IP address, such as {EXAMPLES}.")
    arguments = [f"--{name}={value}" for name, value in who.items() if value]
    return _tried(visit, visit.upload, arguments, item=None)


def held(visit: Visit) -> Response:
    """Try a held message as it came in; recorded, because its bytes are read."""
    item = visit.item(Right.TRY)
    envelope = item.held.envelope
    visit.desk.store.record(
        Event(verb=Verb.TRY, actor=visit.who.name, held_id=item.held.id, at=visit.desk.clock())
    )
    arguments = [f"--sender={envelope.sender}", f"--login={envelope.login}"]
    arguments += [f"--client={envelope.client_address}"] if envelope.client_address else []
    arguments += [f"--recipient={each.address}" for each in item.held.recipients[:_RECIPIENTS]]
    with spooled(visit.desk.store.content(item.held.id)) as message:
        return _tried(visit, message, arguments, item=item)


def judged(settings: Settings, reader: Reader, message: IO[bytes], arguments: Sequence[str]) -> Judgement:
    """Ask ``gatepost check``. Raises UnreadableError with what it said."""
    if settings.path is None:
        raise UnreadableError("this console runs without a settings file")
    command = [*_BOUNDS, sys.executable, "-I", "-m", "gatepost_milter.cli", "check", "--json"]
    command += ["--config", str(settings.path), *arguments, "--", "-"]
    with reader.turn(), child(command, message, timeout=TIMEOUT, good=(0, 1), tells=True) as answer:
        said = answer.read(_ANSWER + 1)
    try:
        if len(said) > _ANSWER:
            raise ValueError
        return _judgement(json.loads(said))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableError("what was answered makes no sense") from error


def _tried(visit: Visit, message: IO[bytes], arguments: Sequence[str], *, item: Item | None) -> Response:
    judgement: Judgement | None = None
    preview: Preview | None = None
    refusal = ""
    try:
        judgement = judged(visit.desk.settings, visit.desk.reader, message, arguments)
        message.seek(0)
        preview = visit.desk.reader.preview(_pieces(message))
    except UnreadableError as error:
        refusal = str(error)
    return _page(visit, item=item, judgement=judgement, preview=preview, refusal=refusal)


def _page(
    visit: Visit, *, item: Item | None, judgement: Judgement | None, preview: Preview | None, refusal: str
) -> Response:
    may_read = item is None or visit.who.may_with(Right.READ, item)
    return visit.page(
        "try.html",
        item=item,
        judgement=judgement,
        findings=_shown(visit, judgement, item=item, may_read=may_read) if judgement is not None else (),
        preview=preview,
        may_read=may_read,
        refusal=refusal,
        document=visit.desk.in_force.read().document,
    )


def _shown(visit: Visit, judgement: Judgement, *, item: Item | None, may_read: bool) -> Iterator[Found]:
    """The findings as this person may know them: of their own message all, of a held one what the roles allow."""
    document = visit.desk.in_force.read().document
    hidden: set[str] = set()
    if item is not None and not visit.who.sight.confidential:
        rules = document.rules if document is not None else ()
        hidden = {rule.id for rule in rules if rule.queue in visit.who.safeguarding}
    for each in judgement.findings:
        if each.rule in hidden:
            continue
        yield (
            each
            if may_read
            else Found(rule=each.rule, clause=each.clause, action=each.action, mode=each.mode, where="", say="")
        )


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    while piece := content.read(64 * 1024):
        yield piece


def _judgement(data: dict[str, Any]) -> Judgement:
    """The child's answer, taken apart field by field: nothing but text and numbers comes through."""
    return Judgement(
        verdict=str(data["verdict"]),
        direction=str(data["direction"]),
        recipients=tuple((str(address), str(action)) for address, action in data["recipients"].items()),
        findings=tuple(
            Found(**{name: str(each[name]) for name in ("rule", "clause", "action", "mode", "where", "say")})
            for each in data["findings"]
        ),
        defects=tuple(str(each) for each in data["defects"]),
        took_ms=float(data["took_ms"]),
    )
