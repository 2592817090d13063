"""Owns what a sender is shown of their held message: plain words, and nothing that is not for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from gatepost_config.settings import Settings
from gatepost_config.words import Action
from gatepost_quarantine.choices import choices, undecided
from gatepost_quarantine.console.shown import line
from gatepost_quarantine.held import Choice, HeldMessage, SenderAnswer, State
from gatepost_quarantine.notices import Reason, help_address, reason

_MANY = 200
"""Recipients that are named; of more, how many there are."""

_STATES = {
    State.HELD: "waits",
    State.RELEASING: "is on its way",
    State.RELEASED: "was delivered",
    State.DENIED: "will not be delivered: a reviewer decided so",
    State.DELETED: "was deleted by a reviewer",
    State.WITHDRAWN: "was withdrawn",
    State.EXPIRED: "was not delivered: nobody decided in time",
}
_HEADINGS = {
    Choice.SEND: "You sent this message anyway",
    Choice.WITHDRAW: "You withdrew this message",
    Choice.ASK: "You asked a reviewer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One held message as its sender sees it. Times are in the school's time zone."""

    heading: str
    subject: str
    written: str
    recipients: tuple[tuple[str, str], ...]
    more: int
    reasons: tuple[Reason, ...]
    answer: str
    answered: str
    words: str
    may_send: bool
    again: bool
    open: bool
    school: str
    help: str
    support_id: str
    policy: str
    until: str


def case(held: HeldMessage, answer: SenderAnswer | None, *, until: datetime, settings: Settings) -> Case:
    """The message in plain words; which choices there are follows from its present state."""
    zone = ZoneInfo(settings.school.timezone)
    may = choices(held) if answer is None else frozenset()
    public = held.explanation.public()
    reasons = [reason(each) for each in public.acting() if each.action.strictness >= Action.CONFIRM.strictness]
    return Case(
        heading=_heading(may, answer),
        subject=line(held.subject) or "(no subject)",
        written=_moment(held.received_at, zone),
        recipients=tuple((line(each.address), _STATES[each.state]) for each in held.recipients[:_MANY]),
        more=max(0, len(held.recipients) - _MANY),
        reasons=tuple(reasons),
        answer=answer.choice.value if answer is not None else "",
        answered=_moment(answer.at, zone) if answer is not None else "",
        words=answer.reason if answer is not None else "",
        may_send=Choice.SEND in may,
        again=bool(undecided(held)),
        open=bool(may),
        school=line(settings.school.name),
        help=help_address(settings),
        support_id=public.support_id,
        policy=line(f"{public.policy.name} {public.policy.version}"),
        until=_moment(until, zone),
    )


def _heading(may: frozenset[Choice], answer: SenderAnswer | None) -> str:
    if answer is not None:
        return _HEADINGS[answer.choice]
    if Choice.SEND in may:
        return "Do you want this message to be sent?"
    return "A reviewer decides about this message" if may else "This message has been decided about"


def _moment(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%-d %B %Y, %H:%M")
