"""Owns the mails that gatepost writes itself: what they say, and that nothing answers them (RFC 3834).

A notice is written from the explanation and nothing else about the content: never the body, never private
evidence, never a recipient that the addressee could not see. It has a null envelope sender, so that nothing
bounces it, and header fields that keep automatic answers away.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

from gatepost_config.settings import Settings
from gatepost_config.words import Action, Explanation, Finding
from gatepost_quarantine import wording
from gatepost_quarantine.held import HeldMessage, Notice, NoticeKind, new_id
from gatepost_quarantine.tokens import NOTICE_HEADER
from gatepost_quarantine.wording import Templates

_SUBJECT_LIMIT = 120
_FACT_LIMIT = 300
_LIST_LIMIT = 20
_GROUP_LIMIT = 50
_MESSAGE_ID = re.compile(r"<[\x21-\x3b\x3d\x3f-\x7e]{1,250}>\Z")
_ADDRESS = re.compile(
    r"""([^\s"(),:;<>@\[\\\]]{1,64}|"[^"\\\r\n]{1,62}")@([^\s"(),:;<>@\[\\\]]{1,255}|\[[0-9A-Za-z:.]{1,60}\])\Z"""
)
_NO_ANSWER = re.compile(
    r"(mailer-daemon|postmaster|no-?reply|do-?not-?reply|owner-.*|.*-(request|owner|bounces?)|.*-confirm.*)\Z",
    re.IGNORECASE,
)

_ANSWERS = frozenset(
    {
        NoticeKind.WARNING,
        NoticeKind.HELD_SENDER,
        NoticeKind.DENIED,
        NoticeKind.RELEASED,
        NoticeKind.EXPIRED,
    }
)
"""The kinds that answer the addressee's own message; the others are written of our own accord."""


class NoticeError(Exception):
    """The notice cannot be written from its context: a defect of ours, to be tried again after a mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a notice offers to a sender who is asked: a link, an address to reply to, or both.

    ``link`` is empty without sender pages, ``reply_to`` without a reply address. ``until`` is when both end.
    """

    link: str
    reply_to: str
    may_send: bool
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a template may show, cleaned: no control characters, nothing endless. See templates/README.md."""

    kind: NoticeKind
    school: str
    help: str
    title: str = ""
    subject: str = ""
    date: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()
    more_recipients: int = 0
    findings: tuple[Reason, ...] = ()
    waits: str = ""
    held_for: tuple[str, ...] = ()
    delivered_to: tuple[str, ...] = ()
    sealed: bool = False
    partly: bool = False
    told: str = ""
    policy: str = ""
    support_id: str = ""
    held_id: str = ""
    review_link: str = ""
    offer: Offer | None = None
    intro: str = ""
    lines: tuple[str, ...] = ()
    closing: str = ""
    count: int = 0
    since: str = ""
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One finding in plain words."""

    say: str
    mend: str
    rule: str
    clause: str
    found: tuple[str, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One message in a digest. ``at`` is when the notice about it was owed, ``why`` its clauses and rules.

    ``told`` is what the reviewer wants the sender to read, ``answer`` how they answer where there is no link.
    """

    subject: str
    at: str
    why: str
    told: str
    support_id: str
    link: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The messages of a digest that have the same said about them; ``more`` are not listed."""

    title: str
    kind: NoticeKind
    entries: tuple[Entry, ...]
    more: int


def render(
    notice: Notice,
    *,
    settings: Settings,
    now: datetime,
    offer: Offer | None = None,
    offers: Mapping[str, Offer] | None = None,
    templates: Templates | None = None,
    mark: str = "",
) -> bytes:
    """The notice as a message with CRLF line ends. Raises NoticeError.

    Rendered twice it is the same but for its Date and the link of an ``offer``, so the courier keeps the first
    bytes. ``offers`` are those of the messages in a digest, by id. Without ``templates``, ours are used.
    ``mark`` is what the gateway will know it by if it comes back (``tokens.NoticeMarks``).
    """
    templates = templates or wording.shipped()
    try:
        raw = write(notice, settings=settings, now=now, offer=offer, offers=offers or {}, templates=templates)
        return f"{NOTICE_HEADER}: {mark}\r\n".encode("ascii") + raw if mark else raw
    except wording.FAULTS as error:
        raise NoticeError(f"{type(error).__name__}: {error}") from error


def write(
    notice: Notice,
    *,
    settings: Settings,
    now: datetime,
    offer: Offer | None,
    offers: Mapping[str, Offer],
    templates: Templates,
) -> bytes:
    """As ``render``, but raises one of ``wording.FAULTS``, which tell where in a template they arose."""
    if notice.kind is NoticeKind.REPORT:
        name, facts = "report", _report_facts(notice, settings)
    elif notice.kind is NoticeKind.DIGEST:
        name, facts = "digest", _digest_facts(notice, settings, offers, templates)
    else:
        name, facts = "notice", replace(_facts(notice, settings), offer=offer)
    said = templates.said(facts)
    logo = f"logo@{settings.gateway}" if templates.logo is not None else ""
    text = templates.render(f"{name}.txt", facts=facts, said=said)
    html = templates.render(f"{name}.html", facts=facts, said=said, logo=logo)
    return _composed(notice, facts, text, html, said=said, settings=settings, now=now, templates=templates)


def answerable(address: str) -> bool:
    """Whether an automatic answer may be sent there: not to the null sender, a list, or a robot (RFC 3834 2)."""
    local, _, domain = address.rpartition("@")
    return bool(local and domain) and _NO_ANSWER.match(local) is None


def denied(
    held: HeldMessage, *, gateway: str, recipients: Sequence[str] = (), told: str = ""
) -> tuple[Notice, ...]:
    """The notice that a reviewer's refusal owes to the sender: none if no sender is known, or it is no person.

    ``recipients`` are those that are denied, all if none is given. ``told`` is what the reviewer wants the sender
    to read; the reason for the record is not in it. Which recipients were hidden is not known here, so none is
    named.
    """
    if not held.sender or not held.envelope.sender or not answerable(held.sender):
        return ()
    explanation = held.explanation.public()
    if any(each.action is Action.SEAL for each in held.recipients):
        return ()
    named = {each.casefold() for each in recipients} or {each.address.casefold() for each in held.recipients}
    partly = any(outcome.recipient.casefold() not in named for outcome in explanation.outcomes)
    return (
        Notice(
            kind=NoticeKind.DENIED,
            to=held.sender,
            message_id=f"<{new_id()}@{gateway}>",
            context={
                "explanation": _without_recipients(explanation.to_json()),
                "subject": held.subject,
                "message_id": held.message_id,
                "sender": held.sender,
                "recipients": [],
                "held_id": held.id,
                "told": told,
                "partly": partly,
            },
            held_id=held.id,
        ),
    )


def released(held: HeldMessage, *, gateway: str, recipients: Sequence[str] = ()) -> tuple[Notice, ...]:
    """The notice that a known sender gets when a reviewer lets their message go; to nobody else."""
    owed = denied(held, gateway=gateway, recipients=recipients)
    return tuple(replace(each, kind=NoticeKind.RELEASED) for each in owed)


def expired(held: HeldMessage, *, gateway: str, recipients: Sequence[str] = ()) -> tuple[Notice, ...]:
    """The notice that a known sender is owed when nobody decided in time; to nobody else."""
    owed = denied(held, gateway=gateway, recipients=recipients)
    return tuple(replace(each, kind=NoticeKind.EXPIRED) for each in owed)


def report(to: str, *, gateway: str, title: str, intro: str, lines: Sequence[str], closing: str = "") -> Notice:
    """A mail to a role, in lines: a reminder, what expired, the heads of the audit."""
    context = {"title": title, "intro": intro, "lines": list(lines), "closing": closing}
    return Notice(kind=NoticeKind.REPORT, to=to, message_id=f"<{new_id()}@{gateway}>", context=context)


def digest(owed: Sequence[Notice], *, gateway: str, owed_at: Sequence[datetime]) -> Notice:
    """One notice in the place of several to the same addressee, each with the time when it was owed.

    It keeps of each what a list shows. Raises NoticeError if it cannot be written from their contexts, and
    ValueError if there are none, or several addressees.
    """
    if len({each.to for each in owed}) != 1:
        raise ValueError("a digest is of notices to one addressee")
    try:
        entries = _entries(owed, owed_at)
    except wording.FAULTS as error:
        raise NoticeError(f"{type(error).__name__}: {error}") from error
    context = {"entries": entries, "since": min(owed_at).isoformat()}
    return Notice(kind=NoticeKind.DIGEST, to=owed[0].to, message_id=f"<{new_id()}@{gateway}>", context=context)


def _entries(owed: Sequence[Notice], owed_at: Sequence[datetime]) -> list[dict[str, Any]]:
    entries = []
    for each, at in zip(owed, owed_at, strict=True):
        explanation = Explanation.from_json(each.context["explanation"]).public()
        why = [
            " ".join(filter(None, (finding.clause, finding.rule)))
            for finding in explanation.acting()
            if _concerns(finding, each.kind)
        ]
        entries.append(
            {
                "kind": each.kind.value,
                "held_id": each.held_id,
                "subject": str(each.context.get("subject", "")),
                "support_id": explanation.support_id,
                "why": list(dict.fromkeys(why)),
                "told": str(each.context.get("told", "")),
                "at": at.isoformat(),
            }
        )
    return entries


def _digest_facts(notice: Notice, settings: Settings, offers: Mapping[str, Offer], templates: Templates) -> Facts:
    zone = ZoneInfo(settings.school.timezone)
    entries = notice.context["entries"]
    since = datetime.fromisoformat(notice.context["since"]).astimezone(zone)
    kinds: dict[NoticeKind, list[Entry]] = {}
    for each in entries:
        kind = NoticeKind(each["kind"])
        held_id = str(each["held_id"])
        offered = offers.get(held_id)
        link = _review_link(held_id, settings) if kind is NoticeKind.ROLE else (offered.link if offered else "")
        at = datetime.fromisoformat(each["at"]).astimezone(zone)
        kinds.setdefault(kind, []).append(
            Entry(
                subject=_line(each["subject"]),
                at=f"{at:%H:%M}" if at.date() == since.date() else f"{at.day} {at:%B, %H:%M}",
                why=_line(", ".join(each["why"])),
                told=_line(each.get("told", ""), limit=2000),
                support_id=_line(each["support_id"]),
                link=link,
                answer=_by_mail(offered) if offered and not link and kind is NoticeKind.HELD_SENDER else "",
            )
        )
    facts = Facts(
        kind=notice.kind,
        school=_line(settings.school.name),
        help=help_address(settings),
        count=len(entries),
        since=f"{since:%H:%M} on {since.day} {since:%B}",
    )
    groups = []
    for kind, found in kinds.items():
        # Of one rule after the other, so that a reviewer reads what is alike together.
        found.sort(key=lambda entry: entry.why)
        group = Group(
            title="", kind=kind, entries=tuple(found[:_GROUP_LIMIT]), more=max(0, len(found) - _GROUP_LIMIT)
        )
        groups.append(replace(group, title=templates.saying("group", group)))
    return replace(facts, groups=tuple(groups))


def _by_mail(offered: Offer) -> str:
    words = "SEND or WITHDRAW" if offered.may_send else "WITHDRAW"
    return f"To answer, write to {offered.reply_to} with {words} as the first line, alone."


def _report_facts(notice: Notice, settings: Settings) -> Facts:
    context = notice.context
    return Facts(
        kind=notice.kind,
        school=_line(settings.school.name),
        help=help_address(settings),
        title=_line(context["title"]),
        subject=_line(context["title"]),
        intro=_line(context["intro"], limit=2000),
        lines=tuple(_line(each) for each in context["lines"]),
        closing=_line(context["closing"], limit=2000),
    )


def _review_link(held_id: str, settings: Settings) -> str:
    """Where a reviewer finds the message; nothing where the console has no address of its own."""
    base = settings.console.base_url
    return f"{base}/held/{held_id}" if base and held_id else ""


def _without_recipients(explanation: dict[str, Any]) -> dict[str, Any]:
    """The explanation with the addresses taken out, keeping the strictest action of each finding."""
    for finding in explanation["findings"]:
        actions = [Action(each) for each in finding["actions"].values()]
        finding["actions"] = {"": Action.strictest(*actions).value}
    outcomes = [Action(each["action"]) for each in explanation["outcomes"]]
    first = explanation["outcomes"][:1]
    for outcome in first:
        outcome |= {"recipient": "", "action": Action.strictest(*outcomes).value}
    explanation["outcomes"] = first
    return explanation


def _facts(notice: Notice, settings: Settings) -> Facts:
    context: Mapping[str, Any] = notice.context
    explanation = Explanation.from_json(context["explanation"]).public()
    acting = [finding for finding in explanation.acting() if _concerns(finding, notice.kind)]
    held = [outcome for outcome in explanation.outcomes if outcome.action.held]
    recipients = [_line(each) for each in context.get("recipients", ())]
    delivered = [outcome for outcome in explanation.outcomes if not outcome.action.held]
    queues = dict.fromkeys(_role(finding.queue) for finding in acting if finding.queue and finding.action.held)
    return Facts(
        kind=notice.kind,
        school=_line(settings.school.name),
        subject=_line(context.get("subject", "")),
        date=_told_date(str(context.get("date", "")), ZoneInfo(settings.school.timezone)),
        sender=_line(context.get("sender", "")),
        recipients=tuple(recipients[:_LIST_LIMIT]),
        more_recipients=max(0, len(recipients) - _LIST_LIMIT),
        findings=tuple(_told_reason(finding, notice.kind) for finding in acting),
        waits=" or ".join(queues),
        held_for=tuple(_line(outcome.recipient) for outcome in held)[:_LIST_LIMIT],
        delivered_to=tuple(_line(outcome.recipient) for outcome in delivered)[:_LIST_LIMIT],
        sealed=any(each.action is Action.SEAL for each in held),
        partly=bool(context.get("partly", False)),
        told=_line(context.get("told", ""), limit=2000),
        policy=_line(f"{explanation.policy.name} {explanation.policy.version}"),
        support_id=_line(explanation.support_id),
        held_id=_line(notice.held_id),
        review_link=_review_link(_line(notice.held_id), settings) if notice.kind is NoticeKind.ROLE else "",
        help=help_address(settings),
    )


def _told_reason(finding: Finding, kind: NoticeKind) -> Reason:
    """The finding; what would help is left out once there is nothing to mend."""
    told = reason(finding)
    return replace(told, mend="") if kind is NoticeKind.RELEASED else told


def _told_date(field: str, zone: ZoneInfo) -> str:
    """A Date field (RFC 5322, 3.3) in the school's own time; as it came where it is no date."""
    try:
        at = parsedate_to_datetime(field).astimezone(zone)
    except (ValueError, OverflowError):
        return _line(field)
    return f"{at:%A} {at.day} {at:%B %Y, %H:%M}"


def help_address(settings: Settings) -> str:
    """Where people get help: what the settings say, else IT Support's first mailbox, else the notices' sender."""
    mailboxes = settings.roles.get("it-support", [])
    return settings.notices.help or (mailboxes[0] if mailboxes else _from(settings))


def _from(settings: Settings) -> str:
    return settings.notices.sender or f"postmaster@{settings.school.domains[0]}"


def _concerns(finding: Finding, kind: NoticeKind) -> bool:
    """Whether the finding belongs in the notice: of a hold, only what held it; a warning is told as one."""
    held = finding.action.held or finding.action is Action.REJECT
    if kind in (NoticeKind.HELD_SENDER, NoticeKind.HELD_RECIPIENT, NoticeKind.DENIED, NoticeKind.EXPIRED):
        return held
    return finding.action is not Action.TAG


def reason(finding: Finding) -> Reason:
    """The finding in plain words, with what was found and where. Private evidence is the caller's to leave out."""
    found = []
    for item in finding.evidence:
        name, where = _line(item.name), _line(item.where)
        # A path ends in the name itself; to say it twice helps nobody.
        shown = where if name and where.endswith(name) else " – ".join(each for each in (name, where) if each)
        if shown:
            found.append(shown)
    found = list(dict.fromkeys(found))
    return Reason(
        say=_line(finding.say, limit=2000),
        mend=_line(finding.mend, limit=2000),
        rule=_line(finding.rule),
        clause=_line(finding.clause),
        found=tuple(found[:_LIST_LIMIT]),
        more=max(0, len(found) - _LIST_LIMIT),
    )


def _role(queue: str) -> str:
    """A role's name as people say it, for want of its title: ``it-support`` is “IT support”."""
    words = _line(queue).replace("-", " ")
    return f"IT{words[2:]}" if words.startswith("it ") or words == "it" else words


def _line(value: object, *, limit: int = _FACT_LIMIT) -> str:
    """A value on one line: control, bidirectional and other unprintable characters gone, cut where endless."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(value))
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _composed(
    notice: Notice,
    facts: Facts,
    text: str,
    html: str,
    *,
    said: Mapping[str, str],
    settings: Settings,
    now: datetime,
    templates: Templates,
) -> bytes:
    message = EmailMessage(policy=SMTP)
    sender = _from(settings)
    message["From"] = Address(display_name=f"{facts.school} mail gateway", addr_spec=sender)
    answers = facts.offer.reply_to if facts.offer is not None and facts.offer.reply_to else facts.help
    if answers != sender:
        message["Reply-To"] = Address(addr_spec=answers)
    # The longest part of a subject is the original one: what happened has to be read first on a telephone.
    subject = _line(f"Auto: {said['subject']}", limit=_SUBJECT_LIMIT)
    message["Date"] = format_datetime(now)
    message["Auto-Submitted"] = "auto-replied" if notice.kind in _ANSWERS else "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = "en-GB"
    boundary = hashlib.sha256(notice.message_id.encode()).hexdigest()[:40]
    message.set_boundary(f"=-{boundary}")
    if templates.logo is not None:
        page = message.get_body(("html",))
        assert isinstance(page, EmailMessage)  # noqa: S101 - it was added above
        page.add_related(templates.logo.data, "image", templates.logo.kind, cid=f"<logo@{settings.gateway}>")
        page.set_boundary(f"=_{boundary}")
    # These are written here because the library folds or encodes a long Message-ID, decodes encoded words in what
    # it is given, line ends included, and cannot write an international address.
    fields = [
        f"Message-ID: {_required_id(notice.message_id)}",
        f"To: {_required_address(notice.to)}",
        f"Subject: {_encoded(subject)}",
    ]
    original = str(notice.context.get("message_id", "")).strip()
    if _MESSAGE_ID.match(original):
        fields += [f"In-Reply-To: {original}", f"References: {original}"]
    return "".join(f"{field}\r\n" for field in fields).encode() + message.as_bytes()


def _required_id(message_id: str) -> str:
    if not _MESSAGE_ID.match(message_id):
        raise ValueError("the notice's own Message-ID has no good form")
    return message_id


def _required_address(address: str) -> str:
    if not _ADDRESS.match(address) or not address.isprintable():
        raise ValueError("the notice's addressee has no good form")
    return address


def _encoded(subject: str) -> str:
    """A Subject's value: as it is if that is plain, else in encoded words, so that none in it is believed."""
    charset = "us-ascii" if subject.isascii() and "=?" not in subject else "utf-8"
    return Header(subject.encode("utf-8", "replace"), charset, header_name="Subject").encode(linesep="\r\n")
