"""What is harmless reaches its reader: no message of the harmless corpus is held, refused or warned about by a
rule that is enforced, and what advice and counting make of it is known.

``pytest tests/corpus/test_harmless.py --rewrite-golden`` writes the table of the latter anew.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.corpus.harmless import MESSAGES, Harmless
from support.corpus.judging import inspected
from support.mail import transaction

from gatepost_config.words import Action, Mode
from gatepost_milter.inspection.defects import DEFECTS, Severity
from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.policy import Policy

PAGE = Path("config") / "policies" / "FALSE_ALARMS.md"
_SENDERS = (
    transaction(),
    transaction(login="teacher", sender="teacher@school.example"),
    transaction("partner@firm.example", login="teacher", sender="teacher@school.example"),
)
_QUIET = {"archive", "plain"}
_HEAD = """\
# Rules that only advise or count, on harmless mail

{count} harmless messages of all kinds, each judged as mail from a stranger, from a colleague and on its way out.
No rule that is enforced holds, refuses or warns about any of them. Those that only advise or count find this.
Written by `pytest tests/corpus/test_harmless.py --rewrite-golden`; do not edit it.

| policy | rule | mode | messages | which |
| --- | --- | --- | --- | --- |
"""

Alarm = tuple[str, str, str]
"""Policy, rule and mode of what is found without being enforced."""


@pytest.fixture(scope="module")
def known(root: Path) -> dict[str, set[Alarm]]:
    """What the page says of each message."""
    alarms: dict[str, set[Alarm]] = {}
    for line in (root / PAGE).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].startswith("`"):
            policy, rule, mode = (cell.strip("`") for cell in cells[:3])
            for message in re.findall(r"`([^`]+)`", cells[4]):
                alarms.setdefault(message, set()).add((policy, rule, mode))
    return alarms


def page(found: dict[str, set[Alarm]]) -> str:
    """The page for what was found of each message."""
    messages: dict[Alarm, list[str]] = {}
    for message, alarms in found.items():
        for alarm in alarms:
            messages.setdefault(alarm, []).append(message)
    lines = [
        f"| `{policy}` | `{rule}` | {mode} | {len(each)} | {', '.join(f'`{one}`' for one in sorted(each))} |\n"
        for (policy, rule, mode), each in sorted(messages.items())
    ]
    return _HEAD.format(count=len(MESSAGES)) + "".join(lines)


@pytest.fixture(scope="module")
def noted(request: pytest.FixtureRequest, root: Path) -> Iterator[Callable[[str, set[Alarm]], None]]:
    """Keeps what was found of a message, and writes the page at the end if that is asked for."""
    found: dict[str, set[Alarm]] = {}
    yield found.__setitem__
    if request.config.getoption("--rewrite-golden") and len(found) == len(MESSAGES):
        (root / PAGE).write_text(page(found), encoding="utf-8")


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
    known: dict[str, set[Alarm]],
    noted: Callable[[str, set[Alarm]], None],
    request: pytest.FixtureRequest,
    tell: Callable[[str, str], None],
) -> None:
    """From a stranger, from a colleague and on its way out: nothing is held, refused or warned about by a rule
    that is enforced; what such a rule marks is what the corpus gives a reason for; the rest stands on the page."""
    seen = inspected(message.build(), inspectors, texts=True)
    findings = {
        (policy.document.name, finding.rule, finding.mode, finding.action)
        for policy in policies
        for sender in _SENDERS
        for finding in policy.judge(sender, seen).findings
    }
    enforced = [(rule, action) for _, rule, mode, action in findings if mode is Mode.ENFORCE]
    alarms = {(policy, rule, mode.value) for policy, rule, mode, _ in findings if mode is not Mode.ENFORCE}
    stopped = sorted(f"{rule}: {action}" for rule, action in enforced if action not in (Action.PASS, Action.TAG))
    odd = sorted((_remarks(seen) | {rule for rule, _ in enforced}) - set(message.remarks))
    if stopped or odd:
        tell("stopped" if stopped else "remarked", f"{message.id}: {stopped or odd} {_why(seen)}")
    noted(message.id, alarms)
    assert stopped == []
    assert odd == []
    if not request.config.getoption("--rewrite-golden"):
        assert alarms == known.get(message.id, set())


def _why(seen: Inspection) -> list[str]:
    return [
        f"{each.path} ({each.reason})" for each in seen.attachments if not each.classes <= {"plain", "archive"}
    ]


def test_the_corpus_is_as_broad_as_promised() -> None:
    """Enough messages, each under a name of its own, and a reason for every remark."""
    assert len(MESSAGES) >= 450
    assert max(Counter(each.id for each in MESSAGES).values()) == 1
    assert all(reason for each in MESSAGES for reason in each.remarks.values())
