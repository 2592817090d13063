"""Rulings as the judge reads them: what is spared is spared exactly; what is blocked is held, with its reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.mail import DAY, attachment, inspection, policy, settings, transaction

from gatepost_config.directory import ALWAYS, Directory, Kind, Person
from gatepost_config.documents import load_policy, shipped_policies
from gatepost_config.words import Action, Finding
from gatepost_milter.inspection.model import Attachment, FileClass
from gatepost_milter.policy.policy import Policy, prepare
from gatepost_milter.policy.standing import BLOCKED, Memory, Standing
from gatepost_milter.policy.verdict import Verdict
from gatepost_quarantine.rulings import Ruling, RulingKind

HOLD = """
rules:
  - id: programs
    title: Programs
    find: attachments.filter(a, a.executable)
    action: quarantine
    queue: it-support
    say: A program.
"""
SHA = "ab" * 32
EXE = replace(attachment("setup.exe", FileClass.EXECUTABLE), sha256=SHA)
PEOPLE = Directory.of(
    people=[
        Person(address="t.teacher@school.example", roles=((Kind.STAFF, ALWAYS),), aliases=("tt@school.example",))
    ]
)


def exemption(**changes: Any) -> Ruling:
    values: dict[str, Any] = {
        "kind": RulingKind.EXEMPT,
        "rule": "programs",
        "reason": "Robotics club",
        "actor": "ann",
        "expires_at": DAY + timedelta(hours=1),
    }
    return Ruling(**{**values, **changes})


def block(**changes: Any) -> Ruling:
    values: dict[str, Any] = {"kind": RulingKind.BLOCK, "rule": "", "reason": "The account was taken over"}
    return exemption(**{**values, **changes})


def standing(judge: Policy, *rulings: Ruling) -> Policy:
    return judge.remembering(Memory(standing=Standing.of(rulings, UTC)))


def on(folder: Path, *rulings: Ruling, files: tuple[Attachment, ...] = (EXE,), **message: Any) -> Verdict:
    """The verdict on a mail by teacher to a@outside.example, unless ``message`` says otherwise."""
    to = message.pop("to", "a@outside.example")
    author = message.pop("author", "")
    judge = standing(policy(folder, HOLD, directory=PEOPLE), *rulings)
    return judge.judge(transaction(to, **{"login": "teacher", **message}), inspection(*files, author=author))


def only(verdict: Verdict) -> Finding:
    (finding,) = verdict.findings
    return finding


def test_leave_for_a_file_spares_nothing_that_has_no_name(tmp_path: Path) -> None:
    """A rule may fire for a file and for something else besides; the file's leave is not the other's."""
    rule = HOLD.replace(
        "attachments.filter(a, a.executable)",
        '["attachments.filter(a, a.executable)", "message.subject == \'Reset your password\'"]',
    )
    judge = standing(policy(tmp_path, rule, directory=PEOPLE), exemption(sha256=SHA))
    sent = transaction("a@outside.example", login="teacher")
    assert judge.judge(sent, inspection(EXE)).action is Action.PASS
    assert judge.judge(sent, inspection(EXE, subject="Reset your password")).action is Action.QUARANTINE


def test_what_is_exempt_is_kept_and_explained_but_does_not_act(tmp_path: Path) -> None:
    """Whoever asks later why the program passed finds by whom, until when and why."""
    verdict = on(tmp_path, exemption(sender="Teacher@school.example"))
    assert verdict.action is Action.PASS
    words = "Teacher@school.example until 2026-11-02 13:00, approved by ann, because Robotics club"
    assert only(verdict).exemptions == (words,)
    assert only(verdict).wanted is Action.QUARANTINE


@pytest.mark.parametrize(
    ("who", "message", "spared"),
    [
        ({"sender": "teacher@school.example"}, {}, True),
        ({"sender": "teacher+club@school.example"}, {}, True),
        ({"sender": "@school.example"}, {}, True),
        ({"sender": "@example"}, {}, False),
        ({"sender": "tt@school.example"}, {"login": "t.teacher"}, False),
        ({"sender": "t.teacher@school.example"}, {"login": "tt@school.example"}, True),
        ({"sender": "someone@outside.example"}, {"login": "", "to": "teacher@school.example"}, False),
        ({"recipient": "A@Outside.example"}, {}, True),
        ({"recipient": "b@outside.example"}, {}, False),
        ({"sender": "teacher@school.example", "recipient": "b@outside.example"}, {}, False),
        ({"rule": "other", "sender": "teacher@school.example"}, {}, False),
        ({"sender": "teacher@school.example"}, {"at": DAY + timedelta(hours=1)}, False),
    ],
)
def test_an_exemption_reaches_exactly_as_far_as_it_says(
    tmp_path: Path, who: dict[str, str], message: dict[str, Any], spared: bool
) -> None:
    """An exemption that reaches further is a hole: all that it names must match, and a sender must be proved."""
    assert (on(tmp_path, exemption(**who), **message).action is Action.PASS) is spared


def test_an_approved_file_may_pass_and_nothing_that_travels_with_it(tmp_path: Path) -> None:
    """The SHA-256 says which program was looked at; another one in the same mail was not."""
    leave = exemption(sha256=SHA.upper())
    other = replace(EXE, name="other.exe", path="part 3 › other.exe", part="3", sha256="cd" * 32)
    assert on(tmp_path, leave).action is Action.PASS
    assert on(tmp_path, leave, files=(EXE, other)).action is Action.QUARANTINE
    assert on(tmp_path, leave, exemption(sha256="cd" * 32), files=(EXE, other)).action is Action.PASS
    assert on(tmp_path, leave, files=(replace(EXE, sha256=""),)).action is Action.QUARANTINE


def test_an_approved_container_clears_what_is_in_it_and_no_other_reading_of_its_part(tmp_path: Path) -> None:
    """A name may look like a way into the approved file, and one part may be read in two ways."""
    leave = exemption(sha256=SHA)
    whole = replace(attachment("club.zip", FileClass.ARCHIVE), sha256=SHA)
    inside = replace(EXE, path="part 2 › club.zip › setup.exe", depth=1, sha256="cd" * 32)
    disguised = replace(EXE, path="part 2 › club.zip › setup.exe", depth=0, sha256="ef" * 32)
    assert on(tmp_path, leave, files=(whole, inside)).action is Action.PASS
    assert on(tmp_path, leave, files=(whole, disguised)).action is Action.QUARANTINE
    assert on(tmp_path, leave, files=(whole, inside, disguised)).action is Action.QUARANTINE


def test_a_blocked_senders_mail_is_held_with_the_reason_and_the_end(tmp_path: Path) -> None:
    """KCS 1.11: service may be withdrawn on suspicion; whoever meets it must be able to appeal."""
    verdict = on(tmp_path, block(sender="teacher@school.example"), files=())
    assert verdict.action is Action.QUARANTINE
    assert only(verdict).rule == BLOCKED
    assert only(verdict).queue == "it-support"
    said = "“teacher@school.example” is blocked: The account was taken over (until 2026-11-02 13:00, by ann)."
    assert said in only(verdict).say


@pytest.mark.parametrize(
    ("what", "message", "held"),
    [
        ({"sender": "teacher@school.example"}, {}, True),
        ({"sender": "tt@school.example"}, {"login": "tt@school.example"}, True),
        ({"sender": "t.teacher@school.example"}, {"login": "tt@school.example"}, True),
        ({"sender": "teacher@school.example"}, {"at": DAY + timedelta(hours=1)}, False),
        ({"sender": "head@school.example"}, {}, False),
        ({"sender": "@spam.example"}, {"login": "", "sender": "x@spam.example", "to": "t@school.example"}, True),
        (
            {"sender": "@spam.example"},
            {"login": "", "author": "A <a@SPAM.example>", "to": "t@school.example"},
            True,
        ),
        ({"sender": "@spam.example"}, {"sender": "x@spam.example"}, False),
        ({"recipient": "a@outside.example"}, {}, True),
        ({"sender": "teacher@school.example", "recipient": "b@outside.example"}, {}, False),
        ({"sha256": SHA}, {"files": (replace(EXE, classes=frozenset({FileClass.PLAIN})),)}, True),
        ({"sha256": "cd" * 32}, {}, False),
    ],
)
def test_a_block_holds_what_it_names(
    tmp_path: Path, what: dict[str, str], message: dict[str, Any], held: bool
) -> None:
    """For being held a claim is enough; but what a proved sender writes in the envelope does not count."""
    assert (on(tmp_path, block(**what), **{"files": (), **message}).action is Action.QUARANTINE) is held


def test_a_block_of_one_recipient_leaves_the_others_alone(tmp_path: Path) -> None:
    """One hold for one person is not everybody's."""
    judge = standing(policy(tmp_path, HOLD), block(recipient="a@outside.example"))
    verdict = judge.judge(transaction("a@outside.example", "b@outside.example", login="teacher"), inspection())
    assert [each.action for each in verdict.outcomes] == [Action.QUARANTINE, Action.PASS]


def test_a_policys_own_rule_for_blocks_takes_the_place_of_the_built_in_one(tmp_path: Path) -> None:
    """A school may say it in its own words; one that says nothing is protected all the same."""
    own = """
      - id: ours
        title: Blocked
        find: blocks.filter(b, recipient.address in b.recipients)
        action: reject
        queue: it-support
        reply: Ask IT Support.
        say: "{reasons}"
    """
    judge = standing(policy(tmp_path, HOLD + own.replace("\n    ", "\n")), block(recipient="@outside.example"))
    verdict = judge.judge(transaction("a@outside.example", login="teacher"), inspection())
    assert [each.rule.id for each in judge.rules] == ["programs", "ours"]
    assert verdict.action is Action.REJECT


def test_the_word_in_a_text_does_not_switch_the_built_in_rule_off(tmp_path: Path) -> None:
    """A rule about building blocks must not leave a stolen account open."""
    words = HOLD.replace("attachments.filter(a, a.executable)", "\"message.subject.contains('blocks')\"")
    judge = standing(policy(tmp_path, words), block(sender="teacher@school.example"))
    sent = judge.judge(transaction("a@outside.example", login="teacher"), inspection())
    assert [each.rule for each in sent.findings] == [BLOCKED]


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_policies())
def test_every_shipped_policy_enforces_blocks(name: str) -> None:
    """Somebody who types `gatepost block add` believes that it does something."""
    judge = standing(prepare(load_policy(name), settings(), tested=False), block(sender="teacher@school.example"))
    sent = judge.judge(transaction("a@outside.example", login="teacher"), inspection())
    assert sent.action is Action.QUARANTINE
