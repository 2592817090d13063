"""Owns mail to a report address: the case that it opens, and the notice to the role that looks into it.

The mail itself goes its own way, delivered or held like any other. Only somebody known opens a case: from outside
anybody could, thousands of times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gatepost_config.words import Action
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.identity import normal_address
from gatepost_milter.policy.verdict import Verdict
from gatepost_milter.transaction import Transaction
from gatepost_quarantine import notices
from gatepost_quarantine.cases import Case, CaseKind
from gatepost_quarantine.held import Notice

_TITLE_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What one message leads to: a case for each role that it was reported to, and who is told."""

    cases: tuple[Case, ...] = ()
    notices: tuple[Notice, ...] = ()


NOTHING = Reported()


def reported(
    transaction: Transaction,
    inspection: Inspection,
    verdict: Verdict,
    *,
    roles: Mapping[str, str],
    mailboxes: Callable[[str], Sequence[str]],
    held_id: str,
    gateway: str,
) -> Reported:
    """The cases that this message opens. ``roles`` gives the role for each report address, in lower case.

    ``held_id`` is that of the message if it is held for anybody. What is automatic reports nothing.
    """
    if not roles or not verdict.sender.known or inspection.automatic:
        return NOTHING
    addresses = (normal_address(each.address).lower() for each in transaction.recipients)
    wanted = dict.fromkeys(roles[each] for each in addresses if each in roles)
    sealed = verdict.action is Action.SEAL
    # Who reported it is not in the title: lists of cases are looked at over people's shoulders.
    title = ("" if sealed else inspection.subject.strip()[:_TITLE_LIMIT]) or "A mail that was reported"
    cases, told = [], []
    for role in wanted:
        case = Case(
            kind=CaseKind.REPORT,
            title=title,
            queue=role,
            opened_by=verdict.sender.mailbox or transaction.client.login,
            opened_at=transaction.received_at,
            reference=inspection.message_id,
            held=(held_id,) if held_id else (),
        )
        cases.append(case)
        told += [_told(case, to=each, gateway=gateway) for each in mailboxes(role)]
    return Reported(cases=tuple(cases), notices=tuple(told))


def _told(case: Case, *, to: str, gateway: str) -> Notice:
    lines = [f"Case: {case.id}", f"Reported by: {case.opened_by}", f"Subject: {case.title}"]
    lines.append("The mail is being held." if case.held else "The mail is in the mailbox that it was reported to.")
    if case.reference:
        lines.append(f"Message-ID: {case.reference}")
    return notices.report(
        to,
        gateway=gateway,
        title="Somebody has reported a mail",
        intro="It was sent to a report address, and a case was opened for you.",
        lines=lines,
        closing=f"To see the case, run on the gateway: gatepost case show {case.id}",
    )
