"""Owns exemptions and blocks in the console: made from a message, for a time and with a reason; listed; ended.

An exemption from a safeguarding rule tells something about whom it is for. So it is made, listed and ended only
by people who see confidential messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlencode

from starlette.responses import Response

from gatepost_config.addresses import domain_of
from gatepost_config.words import Explanation
from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.console.desk import Visit
from gatepost_quarantine.console.detail import explanation_for
from gatepost_quarantine.console.rights import Right
from gatepost_quarantine.review import Item
from gatepost_quarantine.rulings import Ruling, RulingKind
from gatepost_quarantine.store import ConflictError, NotFoundError

DAYS = {"7": "a week", "30": "30 days", "90": "90 days", "365": "a year"}
"""For how long a ruling may hold; each ends by itself."""

USUAL_DAYS = "30"

_RIGHTS = {RulingKind.EXEMPT: Right.EXEMPT, RulingKind.BLOCK: Right.BLOCK}


def ask(visit: Visit) -> Response:
    """What is to be exempt or blocked, offered as the message says it."""
    kind = _of_path(visit)
    item = visit.item(_RIGHTS[kind])
    return visit.page(
        "ruling.html",
        kind=kind.value,
        item=item,
        held=item.held,
        rules=_rules(visit, item),
        senders=_senders(item, kind),
        recipients=[each.address for each in item.held.recipients],
        files=_files(item),
        days=DAYS,
        usual=USUAL_DAYS,
        confidential=visit.who.is_confidential(item),
    )


def add(visit: Visit) -> Response:
    """Make the ruling, and leave a note of it on the message."""
    kind = _of_path(visit)
    item = visit.item(_RIGHTS[kind])
    now, days = visit.desk.clock(), visit.field("days", 4)
    if days not in DAYS:
        raise ConflictError("Choose for how long.")
    try:
        ruling = Ruling(
            kind=kind,
            reason=visit.field("reason"),
            actor=visit.who.name,
            made_at=now,
            expires_at=now + timedelta(days=int(days)),
            rule=_one_of(visit, "rule", _rules(visit, item)) if kind is RulingKind.EXEMPT else "",
            sender=_one_of(visit, "sender", _senders(item, kind)),
            recipient=_one_of(visit, "recipient", [each.address for each in item.held.recipients]),
            sha256=_one_of(visit, "file", list(_files(item))),
        )
    except ValueError as error:
        raise ConflictError(f"{error}.") from error
    visit.desk.store.add_ruling(ruling)
    said = f"Exempt from {ruling.rule}" if kind is RulingKind.EXEMPT else "Blocked"
    said = f"{said} for {DAYS[days]}: {ruling.about}"
    note = Event(verb=Verb.NOTE, actor=visit.who.name, held_id=item.held.id, reason=said, at=now)
    visit.desk.store.record(note)
    done = f"{said}. This message is still held: release it if it is to go out."
    return visit.go(f"/held/{item.held.id}?{urlencode({'done': done if kind is RulingKind.EXEMPT else said})}")


def listing(visit: Visit) -> Response:
    """Every exemption and block in force, and those that are over if they are asked for."""
    over = visit.query("over") == "1"
    found = [each for each in visit.desk.store.rulings(over=over) if _may_see(visit, each)]
    document = visit.desk.in_force.read().document
    return visit.page(
        "rulings.html",
        rulings=sorted(found, key=lambda each: (not each.in_force(visit.desk.clock()), each.expires_at)),
        kinds=RulingKind,
        over=over,
        standing=document.exemptions if document is not None else [],
        may_end=visit.who.may(Right.END_RULING),
        done=visit.query("done"),
    )


def end(visit: Visit) -> Response:
    """End a ruling before its time."""
    ruling_id, reason = visit.field("id", 20), visit.field("reason")
    found = [each for each in visit.desk.store.rulings(over=True) if each.id == ruling_id]
    if not found or not _may_see(visit, found[0]):
        raise NotFoundError("no such ruling")
    if not reason:
        raise ConflictError("Say why it ends.")
    visit.desk.store.end_ruling(ruling_id, kind=found[0].kind, actor=visit.who.name, reason=reason)
    return visit.go(f"/rulings?{urlencode({'done': f'Ended: {found[0].about}.'})}")


def _of_path(visit: Visit) -> RulingKind:
    """The paths end in what they make."""
    return RulingKind(visit.request.url.path.rpartition("/")[2])


def _may_see(visit: Visit, ruling: Ruling) -> bool:
    if not ruling.rule or visit.who.sight.confidential:
        return True
    document = visit.desk.in_force.read().document
    if document is None:
        return False
    queues = {rule.queue for rule in document.rules if rule.id == ruling.rule}
    return not queues & visit.who.safeguarding


def _shown(visit: Visit, item: Item) -> Explanation:
    return explanation_for(item, sight=visit.who.sight, private=False)


def _rules(visit: Visit, item: Item) -> list[str]:
    """The rules that hold the message, as far as this person may know of them."""
    return list(dict.fromkeys(finding.rule for finding in _shown(visit, item).acting()))


def _senders(item: Item, kind: RulingKind) -> list[str]:
    """The mailbox and its domain. Only a proved sender can be exempt: anybody can claim to be somebody."""
    sender = item.held.sender if kind is RulingKind.EXEMPT else item.held.sender or item.held.envelope.sender
    domain = domain_of(sender) if "@" in sender else ""
    return [each for each in (sender, f"@{domain}" if domain else "") if each]


def _files(item: Item) -> dict[str, str]:
    """SHA-256 and name of each attachment whose digest was taken."""
    return {str(each["sha256"]): str(each.get("name", "")) for each in item.held.attachments if each.get("sha256")}


def _one_of(visit: Visit, name: str, offered: Sequence[str]) -> str:
    """The value of a field if it was offered; empty if the field is."""
    given = visit.field(name, 400)
    if given and given not in offered:
        raise ConflictError(f"The message has no such {name}.")
    return given
