"""What is harmless reaches its reader: no message of the harmless corpus is held, refused or warned about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from support.corpus.harmless import MESSAGES, Harmless
from support.corpus.judging import inspected
from support.mail import transaction

from gatepost_config.words import Action
from gatepost_milter.inspection.defects import DEFECTS, Severity
from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.policy import Policy

_SENDERS = (transaction(), transaction(login="teacher", sender="teacher@school.example"))
_QUIET = {"archive", "plain"}


def _remarks(seen: Inspection) -> set[str]:
    """Whatever a stricter policy could act upon: classes and defects that say more than that mail is mail."""
    classes = {str(kind) for each in seen.attachments for kind in each.classes} - _QUIET
    defects = {each.code for each in seen.defects if DEFECTS[each.code].severity is not Severity.SLOPPY}
    return classes | defects


@pytest.mark.parametrize("message", [pytest.param(each, id=each.id) for each in MESSAGES])
def test_what_is_harmless_passes(
    message: Harmless,
    inspectors: Inspectors,
    policies: tuple[Policy, ...],
    tell: Callable[[str, str], None],
) -> None:
    """From a stranger and from a colleague alike: nothing is held, refused or warned about under either policy,
    and what else is said of the message is what the corpus gives a reason for."""
    seen = inspected(message.build(), inspectors)
    findings = {
        (finding.rule, finding.action)
        for policy in policies
        for sender in _SENDERS
        for finding in policy.judge(sender, seen).findings
    }
    stopped = sorted(f"{rule}: {action}" for rule, action in findings if action not in (Action.PASS, Action.TAG))
    odd = sorted((_remarks(seen) | {rule for rule, _ in findings}) - set(message.remarks))
    if stopped or odd:
        tell("stopped" if stopped else "remarked", f"{message.id}: {stopped or odd} {_why(seen)}")
    assert stopped == []
    assert odd == []


def _why(seen: Inspection) -> list[str]:
    return [
        f"{each.path} ({each.reason})" for each in seen.attachments if not each.classes <= {"plain", "archive"}
    ]


def test_the_corpus_is_as_broad_as_promised() -> None:
    """Enough messages, each under a name of its own, and a reason for every remark."""
    assert len(MESSAGES) >= 450
    assert max(Counter(each.id for each in MESSAGES).values()) == 1
    assert all(reason for each in MESSAGES for reason in each.remarks.values())
