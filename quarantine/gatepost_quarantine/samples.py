"""Owns a notice of every kind about made-up messages: to prove templates with, and to show what is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from gatepost_config.settings import Settings
from gatepost_config.words import Action, Direction, Evidence, Explanation, Finding, Mode, Outcome, PolicyRef
from gatepost_quarantine import notices, wording
from gatepost_quarantine.held import Notice, NoticeKind
from gatepost_quarantine.notices import Offer
from gatepost_quarantine.wording import Templates

NOW = datetime(2026, 11, 20, 9, 1, tzinfo=UTC)

_HELD_ID = "k7m2xw9hqtbd3vfp"
_OUTSIDE = "sales@supplier.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One notice as it could be owed, and what it would offer. ``name`` is that of the file to write it to."""

    name: str
    title: str
    notice: Notice
    offer: Offer | None = None
    offers: Mapping[str, Offer] = field(default_factory=dict)


def samples(settings: Settings) -> Sequence[Sample]:
    """A notice of every kind, for the school of these settings."""
    made = _Maker(settings)
    return [
        made.one("warning", "Warning to the sender", NoticeKind.WARNING, made.warned()),
        made.one("held-confirm", "Held for your confirmation", NoticeKind.HELD_SENDER, made.asked(), made.offer()),
        made.one("held-review", "Held for review", NoticeKind.HELD_SENDER, made.reviewed()),
        made.one("held-recipient", "Held, to its recipient", NoticeKind.HELD_RECIPIENT, made.program()),
        made.one("warning-recipient", "Warning to the recipient", NoticeKind.WARNING_RECIPIENT, made.webmail()),
        made.one("role-it-support", "To IT Support", NoticeKind.ROLE, made.program()),
        made.one("role-safeguarding", "To a safeguarding role", NoticeKind.ROLE, made.sealed(), subject=""),
        made.one("denied", "Refused by a reviewer", NoticeKind.DENIED, made.reviewed(), told=_TOLD),
        made.one("released", "Released", NoticeKind.RELEASED, made.reviewed()),
        made.one("expired", "Expired", NoticeKind.EXPIRED, made.reviewed()),
        made.report(
            "reminder",
            "Reminder to reviewers",
            heading="2 held messages wait for you",
            intro="These messages were held, and nobody has decided about them yet. People may be waiting.",
            lines=[
                "7KQ-2MX, received 19 November 2026, executable-attachment",
                "9PD-4RT, received 17 November 2026",
            ],
            closing="A message that nobody decides about expires after "
            f"{settings.retention.unreviewed.days} days; it is then reported here.",
        ),
        made.report(
            "expiry-report",
            "What expired, to reviewers",
            heading="A held message has expired",
            intro="Nobody decided about it in time: it was not delivered and is no longer kept.",
            lines=["7KQ-2MX, received 21 October 2026, executable-attachment"],
            closing="Its sender was told.",
        ),
        made.digest("digest-person", "Many notices to one person", NoticeKind.HELD_SENDER, made.asked(), 12),
        made.digest("digest-reviewers", "Digest to reviewers", NoticeKind.ROLE, made.program(), 5),
    ]


def prove(settings: Settings, templates: Templates) -> None:
    """Write every sample with these templates. Raises ConfigError with file and line for the first that fails."""
    for name in templates.own:
        with wording.proving(settings, name):
            templates.compile(name)
    for sample in samples(settings):
        with wording.proving(settings, f"the notice {sample.title!r}"):
            notices.write(
                sample.notice,
                settings=settings,
                now=NOW,
                offer=sample.offer,
                offers=sample.offers,
                templates=templates,
            )


def load(settings: Settings) -> Templates:
    """The templates and the logo that the settings name, proved. Raises ConfigError."""
    templates = wording.read(settings)
    if templates is not wording.shipped():
        prove(settings, templates)
    return templates


_TOLD = "Please use the payments page of the school’s website for this."


class _Maker:
    """Makes samples for one school."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._domain = settings.school.domains[0]
        self._teacher = f"a.teacher@{self._domain}"

    def one(
        self,
        name: str,
        title: str,
        kind: NoticeKind,
        explanation: Explanation,
        offer: Offer | None = None,
        **context: Any,
    ) -> Sample:
        to = self._teacher
        if kind is NoticeKind.ROLE:
            to = notices.help_address(self._settings)
        return Sample(name=name, title=title, notice=self._notice(kind, to, explanation, **context), offer=offer)

    def report(
        self, name: str, title: str, *, heading: str, intro: str, lines: Sequence[str], closing: str
    ) -> Sample:
        to = notices.help_address(self._settings)
        made = notices.report(
            to, gateway=self._settings.gateway, title=heading, intro=intro, lines=lines, closing=closing
        )
        return Sample(name=name, title=title, notice=made)

    def digest(self, name: str, title: str, kind: NoticeKind, explanation: Explanation, count: int) -> Sample:
        to = notices.help_address(self._settings) if kind is NoticeKind.ROLE else self._teacher
        subjects = ("Class list", "Trip to the science museum", "Invoice 2026-114", "")
        owed = [
            self._notice(kind, to, explanation, subject=subjects[place % len(subjects)]) for place in range(count)
        ]
        at = [NOW + timedelta(minutes=5 * place) for place in range(count)]
        offers = {_HELD_ID: self.offer()} if kind is NoticeKind.HELD_SENDER else {}
        made = notices.digest(owed, gateway=self._settings.gateway, owed_at=at)
        return Sample(name=name, title=title, notice=made, offers=offers)

    def offer(self) -> Offer:
        pages = self._settings.sender_pages.public_url or "https://mail.school.example"
        return Offer(
            link=f"{pages}/eyJoIjoiazdtMnh3OWgifQ",
            reply_to=self._settings.sender_pages.reply_address or f"answer+k7m2xw9h@{self._domain}",
            may_send=True,
            until=NOW + timedelta(days=7),
        )

    def warned(self) -> Explanation:
        return self._explained(
            Action.WARN,
            Direction.OUTBOUND,
            self._finding(
                Action.WARN,
                rule="many-parents-visible",
                say="This message shows the addresses of 14 parents to one another. They have not agreed to that.",
                mend="Put parents into Bcc, or use the school’s mailing list.",
                found=("parent.one@gmail.com", "parent.two@gmail.com"),
            ),
        )

    def asked(self) -> Explanation:
        return self._explained(
            Action.CONFIRM,
            Direction.OUTBOUND,
            self._finding(
                Action.CONFIRM,
                rule="file-to-private-account",
                say="“class-list.xlsx” would go to a private account. Such files stay with the school.",
                mend="Share it from the school’s drive instead.",
                found=("class-list.xlsx",),
            ),
        )

    def reviewed(self) -> Explanation:
        return self._explained(
            Action.QUARANTINE,
            Direction.OUTBOUND,
            self._finding(
                Action.QUARANTINE,
                rule="executable-attachment",
                say="“setup.exe” cannot be sent by email because it is a Windows program.",
                mend="Ask IT Support to pass the program on.",
                found=("part 2 › invoice.zip › setup.exe",),
            ),
            self._finding(
                Action.QUARANTINE,
                rule="could-not-be-inspected",
                say="“notes.zip” has a password, so nobody could look inside.",
                mend="Send the file without a password.",
                found=("part 3 › notes.zip",),
            ),
        )

    def program(self) -> Explanation:
        return self._explained(
            Action.QUARANTINE,
            Direction.INBOUND,
            self._finding(
                Action.QUARANTINE,
                rule="executable-attachment",
                say="“invoice.exe” cannot be received by email because it is a Windows program.",
                mend="Ask IT Support to fetch it for you.",
                found=("part 2 › invoice.zip › invoice.exe",),
            ),
        )

    def webmail(self) -> Explanation:
        return self._explained(
            Action.WARN,
            Direction.INBOUND,
            self._finding(
                Action.WARN,
                rule="reply-to-elsewhere",
                say="An answer to this message would go to somebody else than it seems to come from.",
                mend="",
                found=("head.teacher@gmail.com",),
            ),
        )

    def sealed(self) -> Explanation:
        return self._explained(
            Action.SEAL,
            Direction.INBOUND,
            self._finding(
                Action.SEAL,
                rule="known-file",
                say="This message is sealed. Only the roles that the policy names may open it.",
                mend="",
                found=(),
            ),
        )

    def _finding(self, action: Action, *, rule: str, say: str, mend: str, found: Sequence[str]) -> Finding:
        return Finding(
            rule=rule,
            clause="2.6",
            mode=Mode.ENFORCE,
            wanted=action,
            actions={self._teacher: action},
            evidence=tuple(Evidence(kind="attachment", name="", where=each) for each in found),
            say=say,
            mend=mend,
            queue="it-support",
        )

    def _explained(self, action: Action, direction: Direction, *findings: Finding) -> Explanation:
        outcome = Outcome(recipient=self._teacher, direction=direction, action=action)
        return Explanation(
            support_id="7KQ-2MX",
            policy=PolicyRef(name="sample", version="1", digest="0" * 64),
            outcomes=(outcome,),
            findings=findings,
        )

    def _notice(self, kind: NoticeKind, to: str, explanation: Explanation, **context: Any) -> Notice:
        values: dict[str, Any] = {
            "explanation": explanation.to_json(),
            "subject": "Invoice 2026-114",
            "date": "Fri, 20 Nov 2026 09:00:00 +0000",
            "sender": _OUTSIDE,
            "recipients": [self._teacher],
            "message_id": "<invoice-1@supplier.example>",
        }
        return Notice(
            kind=kind,
            to=to,
            message_id=f"<{kind.value}.sample@{self._settings.gateway}>",
            context={**values, **context},
            held_id="" if kind in (NoticeKind.WARNING, NoticeKind.WARNING_RECIPIENT) else _HELD_ID,
        )
