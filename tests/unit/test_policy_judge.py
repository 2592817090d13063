"""The judge: which action each recipient gets, and why."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from support.mail import attachment, inspection, policy, settings, transaction

from gatepost_config.directory import ALWAYS, Directory, Exemption, Kind, Person, Span
from gatepost_config.documents import load_policy, shipped_policies
from gatepost_config.words import Action, Direction
from gatepost_milter.inspection.model import FileClass
from gatepost_milter.policy.policy import load, prepare
from gatepost_milter.policy.rules import CHUNK, PolicyError

EXE = attachment("setup.exe", FileClass.EXECUTABLE, reason="executable: Windows program")
HOLD = """
rules:
  - id: programs
    title: Programs
    clause: "KCS 2.6"
    find: attachments.filter(a, a.executable)
    action: quarantine
    queue: it-support
    tell: [it-support, sender]
    say: "{names} cannot go because {it_is} a program ({reasons}), says {school}."
    mend: Ask {role.it-support} ({mailbox.it-support}).
"""
PAIR = """
rules:
  - id: one
    title: One
    find: attachments.filter(a, a.executable)
    when: recipient.domain == 'one.example'
    action: {one}
    queue: it-support
    reply: One says no.
    say: One.
  - id: two
    title: Two
    find: attachments.filter(a, a.executable)
    when: recipient.domain == 'two.example'
    action: {two}
    queue: it-support
    reply: Two says no.
    say: Two.
"""


def pair(folder: Path, *, one: str, two: str) -> dict[str, Action]:
    """What a@one.example and b@two.example get when one rule speaks for each."""
    judge = policy(folder, PAIR.replace("{one}", one).replace("{two}", two))
    verdict = judge.judge(transaction("a@one.example", "b@two.example", login="teacher"), inspection(EXE))
    return {outcome.recipient: outcome.action for outcome in verdict.outcomes}


def test_a_finding_tells_everything_that_the_surfaces_need(tmp_path: Path) -> None:
    """SMTP text, notice, console and log are all made of this one object."""
    verdict = policy(tmp_path, HOLD).judge(transaction("t@school.example"), inspection(EXE))
    (finding,) = verdict.findings
    assert Action.QUARANTINE is verdict.action
    assert (finding.rule, finding.clause, finding.queue) == ("programs", "KCS 2.6", "it-support")
    assert finding.tell == ("it-support", "sender")
    assert finding.actions == {"t@school.example": Action.QUARANTINE}
    said = "“setup.exe” cannot go because it is a program (Windows program), says Park School."
    assert said == finding.say
    assert finding.mend == "Ask IT Support (it.support@school.example)."
    assert finding.where == "part 2 › setup.exe"
    assert f"{tmp_path / 'policy.yaml'}:12" == finding.source
    assert (verdict.explanation.policy.name, verdict.explanation.policy.version) == ("test", "1")
    assert len(verdict.explanation.policy.digest) == 64


def test_clean_mail_passes_with_the_transactions_support_id(tmp_path: Path) -> None:
    """The id finds the message in the log also when no rule fired."""
    message = transaction("t@school.example")
    verdict = policy(tmp_path, HOLD).judge(message, inspection())
    assert Action.PASS is verdict.action
    assert verdict.findings == ()
    assert message.support_id == verdict.explanation.support_id


@pytest.mark.parametrize(
    ("mode", "left"),
    [("monitor", Action.PASS), ("advise", Action.WARN), ("enforce", Action.QUARANTINE)],
)
def test_a_mode_limits_what_a_rule_does_and_keeps_what_it_wanted(tmp_path: Path, mode: str, left: Action) -> None:
    """A school climbs the ladder rule by rule, and reads on each rung what the next would do."""
    verdict = policy(tmp_path, HOLD + f"    mode: {mode}\n").judge(transaction(), inspection(EXE))
    assert left is verdict.action
    assert Action.QUARANTINE is verdict.findings[0].wanted


def test_a_rule_that_is_off_finds_nothing(tmp_path: Path) -> None:
    """Off is off: not even counted."""
    verdict = policy(tmp_path, HOLD + "    mode: off\n").judge(transaction(), inspection(EXE))
    assert verdict.findings == ()


def test_each_recipient_has_an_action_of_their_own(tmp_path: Path) -> None:
    """One may have what another may not."""
    assert pair(tmp_path, one="tag", two="quarantine") == {
        "a@one.example": Action.TAG,
        "b@two.example": Action.QUARANTINE,
    }


def test_a_refusal_needs_everybody(tmp_path: Path) -> None:
    """An SMTP reply speaks for the whole message: refusing for one would refuse for the other."""
    assert pair(tmp_path, one="reject", two="tag") == {
        "a@one.example": Action.QUARANTINE,
        "b@two.example": Action.TAG,
    }
    assert pair(tmp_path, one="reject", two="quarantine") == {
        "a@one.example": Action.QUARANTINE,
        "b@two.example": Action.QUARANTINE,
    }


def test_a_finding_that_could_not_refuse_says_that_it_held(tmp_path: Path) -> None:
    """Explanation and outcome must not disagree."""
    judge = policy(tmp_path, PAIR.replace("{one}", "reject").replace("{two}", "tag"))
    verdict = judge.judge(transaction("a@one.example", "b@two.example", login="t"), inspection(EXE))
    assert verdict.findings[0].actions == {"a@one.example": Action.QUARANTINE}
    assert Action.REJECT is verdict.findings[0].wanted
    assert verdict.refusal is None


def test_all_refused_the_first_rule_gives_the_reply(tmp_path: Path) -> None:
    """Policy order decides between equals."""
    judge = policy(tmp_path, PAIR.replace("{one}", "reject").replace("{two}", "reject"))
    verdict = judge.judge(transaction("b@two.example", "a@one.example", login="t"), inspection(EXE))
    assert {Action.REJECT} == {outcome.action for outcome in verdict.outcomes}
    assert verdict.refusal is not None
    assert (
        verdict.refusal.code,
        verdict.refusal.status,
        verdict.refusal.text,
    ) == (550, "5.7.1", "One says no.")


def test_a_seal_for_one_seals_for_all(tmp_path: Path) -> None:
    """A sealed body must exist nowhere else (KCS 1.10)."""
    assert {Action.SEAL} == set(pair(tmp_path, one="seal", two="tag").values())
    assert {Action.SEAL} == set(pair(tmp_path, one="seal", two="reject").values())


def test_a_rule_without_an_action_for_a_direction_does_not_speak_there(tmp_path: Path) -> None:
    """A rule that binds staff has nothing to say about mail from outside."""
    rules = HOLD.replace("action: quarantine", "action: {outbound: quarantine, internal: tag}")
    judge = policy(tmp_path, rules)
    assert judge.judge(transaction("t@school.example"), inspection(EXE)).findings == ()
    sent = judge.judge(transaction("t@school.example", "a@outside.example", login="h"), inspection(EXE))
    assert [outcome.action for outcome in sent.outcomes] == [Action.TAG, Action.QUARANTINE]
    assert [outcome.direction for outcome in sent.outcomes] == [Direction.INTERNAL, Direction.OUTBOUND]
    assert Direction.OUTBOUND is sent.direction


EXEMPT = """
exemptions:
  - who: "{who}"
    party: {party}
    rule: programs
    until: 2026-11-02
    approved_by: the Director of IT
"""


@pytest.mark.parametrize(
    ("who", "party", "spared"),
    [
        ("teacher@school.example", "sender", True),
        ("TEACHER@School.example", "sender", True),
        ("@school.example", "sender", True),
        ("@example", "sender", False),
        ("a@outside.example", "sender", False),
        ("a@outside.example", "recipient", True),
        ("@outside.example", "recipient", True),
        ("teacher@school.example", "recipient", False),
    ],
)
def test_an_exemption_is_for_the_one_it_names(tmp_path: Path, who: str, party: str, spared: bool) -> None:
    """An exemption that reaches further than its words is a hole."""
    judge = policy(tmp_path, HOLD + EXEMPT.replace("{who}", who).replace("{party}", party))
    verdict = judge.judge(transaction("a@outside.example", login="teacher"), inspection(EXE))
    assert (Action.PASS if spared else Action.QUARANTINE) is verdict.action
    assert len(verdict.findings) == 1
    expected = (f"{who} until 2026-11-02, approved by the Director of IT",) if spared else ()
    assert expected == verdict.findings[0].exemptions


def test_an_exemption_ends_with_its_day_at_the_school(tmp_path: Path) -> None:
    """In summer a British day ends an hour before that of the clock in the logs."""
    until = EXEMPT.replace("2026-11-02", "2026-07-15").replace("{who}", "@school.example")
    judge = policy(tmp_path, HOLD + until.replace("{party}", "sender"))
    last = transaction("a@o.example", login="t", at=datetime(2026, 7, 15, 22, 59, tzinfo=UTC))
    over = transaction("a@o.example", login="t", at=datetime(2026, 7, 15, 23, 0, tzinfo=UTC))
    assert Action.PASS is judge.judge(last, inspection(EXE)).action
    assert Action.QUARANTINE is judge.judge(over, inspection(EXE)).action


def leave(who: str, *, party: str, rule: str = "programs", source: str = "exemptions.csv:3") -> Directory:
    """A directory with one exemption, and a colleague in the group that it may be for."""
    span = Span(ends=date(2026, 11, 2))
    exemption = Exemption(
        rule=rule, who=who, party=party, span=span, approved_by="Head", reason="r", source=source
    )
    person = Person(address="teacher@school.example", roles=((Kind.STAFF, ALWAYS),), groups=frozenset({"exams"}))
    return Directory.of(people=[person], exemptions=[exemption])


@pytest.mark.parametrize(
    ("who", "party", "login", "recipient", "spared"),
    [
        ("group:exams", "sender", "teacher", "a@o.example", True),
        ("group:exams", "recipient", "teacher", "a@o.example", False),
        ("group:exams", "recipient", "", "teacher@school.example", True),
        ("group:exams", "sender", "", "teacher@school.example", False),
        ("@o.example", "recipient", "head", "a@O.example", True),
        ("@o.example", "sender", "head", "a@o.example", False),
    ],
)
def test_the_directorys_exemption_is_for_the_party_that_it_names(
    tmp_path: Path, who: str, party: str, login: str, recipient: str, spared: bool
) -> None:
    """What a colleague may send, strangers may not send to the colleague, and the other way round."""
    judge = policy(tmp_path, HOLD, directory=leave(who, party=party))
    verdict = judge.judge(transaction(recipient, login=login), inspection(EXE))
    assert (Action.PASS if spared else Action.QUARANTINE) is verdict.action
    kept = (f"{who} until 2026-11-02, approved by Head, because r",)
    assert verdict.findings[0].exemptions == (kept if spared else ())


def test_an_exemption_from_no_rule_is_told_with_its_place(tmp_path: Path) -> None:
    """A mistyped rule id would leave somebody waiting for a leave that was given."""
    judge = policy(tmp_path, HOLD, directory=leave("group:exams", party="sender", rule="program"))
    (problem,) = judge.problems
    assert str(problem) == (
        "exemptions.csv:3:1: the policy 'test' has no rule 'program', so this exemption does nothing\n"
        "    did you mean 'programs'?"
    )
    assert policy(tmp_path, HOLD, directory=leave("group:exams", party="sender")).problems == ()


ASK = """
rules:
  - id: ask
    title: Ask
    find: "true"
    action: {outbound: confirm, inbound: tag}
    queue: it-support
    say: Sure?
"""


@pytest.mark.parametrize(
    ("login", "sender", "automatic", "action"),
    [
        ("teacher", "teacher@school.example", False, Action.CONFIRM),
        ("SCHOOL\\teacher", "teacher@school.example", False, Action.QUARANTINE),
        ("scanner", "scanner@school.example", True, Action.QUARANTINE),
        ("teacher", "", False, Action.QUARANTINE),
    ],
    ids=["a-person", "a-login-without-a-mailbox", "a-machine", "a-bounce"],
)
def test_only_somebody_who_answers_is_asked(
    tmp_path: Path, login: str, sender: str, automatic: bool, action: Action
) -> None:
    """Nobody would ever answer for the others, and nobody would look: a reviewer decides."""
    message = transaction("a@o.example", login=login, sender=sender)
    verdict = policy(tmp_path, ASK).judge(message, inspection(automatic=automatic))
    assert action is verdict.action
    assert {"a@o.example": action} == verdict.findings[0].actions
    assert Action.CONFIRM is verdict.findings[0].wanted


def test_an_exemption_ends_with_its_day(tmp_path: Path) -> None:
    """By the message's own time, so that a message judged again later gets the same answer."""
    judge = policy(tmp_path, HOLD + EXEMPT.replace("{who}", "@school.example").replace("{party}", "sender"))
    last = transaction("a@o.example", login="t", at=datetime(2026, 11, 2, 23, 59, tzinfo=UTC))
    over = transaction("a@o.example", login="t", at=datetime(2026, 11, 3, 0, 0, tzinfo=UTC))
    assert Action.PASS is judge.judge(last, inspection(EXE)).action
    assert Action.QUARANTINE is judge.judge(over, inspection(EXE)).action


def test_a_forged_sender_is_not_exempt(tmp_path: Path) -> None:
    """Whoever writes an exempt colleague's address into the envelope has proved nothing."""
    judge = policy(tmp_path, HOLD + EXEMPT.replace("{who}", "head@school.example").replace("{party}", "sender"))
    forged = transaction("t@school.example", sender="head@school.example")
    assert Action.QUARANTINE is judge.judge(forged, inspection(EXE)).action


def test_several_conditions_find_together(tmp_path: Path) -> None:
    """Files and defects are different kinds of thing; a rule may look for both."""
    rules = """
        rules:
          - id: unclear
            title: Unclear
            find: ["attachments.filter(a, a.opaque)", "defects.filter(d, d.severity == 'uninspectable')"]
            action: tag
            say: "{names}"
    """
    judge = policy(tmp_path, rules)
    found = judge.judge(transaction(), inspection(attachment("a.rar", FileClass.OPAQUE), defects=["too-deep"]))
    assert [piece.kind for piece in found.findings[0].evidence] == ["attachment", "defect"]
    assert judge.judge(transaction(), inspection(defects=["boundary-long"])).findings == ()


def test_a_defect_is_told_in_words() -> None:
    """Nobody at a school knows what message-partial is."""
    verdict = load(settings()).judge(transaction(), inspection(defects=["message-partial"]))
    assert verdict.findings[0].say.startswith(
        "This message could not be checked, so the message is being held: the message is one piece of a longer one"
    )


def test_true_fires_without_evidence(tmp_path: Path) -> None:
    """A condition over the message as a whole has nothing to point at."""
    rules = """
        rules:
          - id: subject
            title: Subject
            find: message.subject.contains(limit.word)
            action: tag
            say: "{names} has a word in its subject."
    """
    verdict = policy(tmp_path, rules).judge(transaction(), inspection(subject="the secret word"))
    assert verdict.findings[0].evidence == ()
    assert verdict.findings[0].say == "This message has a word in its subject."


def test_what_a_rule_took_from_texts_is_private(tmp_path: Path) -> None:
    """A detected password must not travel in a notice."""
    rules = """
        rules:
          - id: words
            title: Words
            find: "[message.subject].filter(s, s.contains(limit.word))"
            action: tag
            say: "Found {names}."
    """
    verdict = policy(tmp_path, rules).judge(transaction(), inspection(subject="the secret"))
    (evidence,) = verdict.findings[0].evidence
    assert evidence.private
    assert verdict.findings[0].say == "Found this message."
    assert verdict.explanation.public().findings[0].evidence == ()


def test_an_evaluation_that_fails_is_an_error_and_no_pass(tmp_path: Path) -> None:
    """The gate answers such a message with a temp-fail."""
    rules = """
        rules:
          - id: division
            title: Division
            find: attachments.filter(a, 1 / a.depth > 0)
            action: tag
            say: Never.
    """
    judge = policy(tmp_path, rules)
    assert Action.PASS is judge.judge(transaction(), inspection()).action
    with pytest.raises(PolicyError, match=r"rule division, find: .*divide by zero"):
        judge.judge(transaction(), inspection(EXE))


@pytest.mark.parametrize("count", [CHUNK, CHUNK + 1, 12_000])
def test_the_last_of_very_many_files_is_found(tmp_path: Path, count: int) -> None:
    """The condition language stops after 10,000 steps; a program must not hide behind that many files."""
    many = [attachment(f"{number}.txt", FileClass.PLAIN) for number in range(count)]
    verdict = policy(tmp_path, HOLD).judge(transaction(), inspection(*many, EXE))
    assert [piece.name for piece in verdict.findings[0].evidence] == ["setup.exe"]


def test_evidence_is_bounded_and_the_rest_is_counted(tmp_path: Path) -> None:
    """A notice with 5,000 names helps nobody, and a log line with them costs."""
    many = [attachment(f"{number}.exe", FileClass.EXECUTABLE) for number in range(300)]
    finding = policy(tmp_path, HOLD).judge(transaction(), inspection(*many)).findings[0]
    assert len(finding.evidence) == 51
    assert finding.evidence[-1].details == {"count": 250}
    assert "“0.exe”, “1.exe”, “2.exe” and 297 more cannot go because they are" in finding.say


def test_lone_surrogates_from_a_header_break_nothing(tmp_path: Path) -> None:
    """Raw 8-bit headers may reach us as surrogates; the condition language knows only valid text."""
    odd = attachment("a\udcff.exe", FileClass.EXECUTABLE)
    verdict = policy(tmp_path, HOLD).judge(transaction(), inspection(odd, subject="\ud800"))
    assert Action.QUARANTINE is verdict.action
    verdict.findings[0].say.encode()


def test_the_settings_may_give_a_role_other_mailboxes(tmp_path: Path) -> None:
    """A policy is shared between schools; mailboxes are not."""
    judge = policy(tmp_path, HOLD, roles={"it-support": ["helpdesk@school.example", "ict@school.example"]})
    assert judge.mailboxes("it-support") == ("helpdesk@school.example", "ict@school.example")
    assert judge.mailboxes("dsl") == ("dsl@school.example",)
    with pytest.raises(KeyError):
        judge.mailboxes("nobody")


def test_a_recipient_has_the_roles_of_their_mailbox(tmp_path: Path) -> None:
    """A colleague who asks IT Support about a program is thanked, not told off."""
    judge = load(settings(policy="kings-college"))
    asked = judge.judge(transaction("IT.Support@school.example", login="teacher"), inspection(EXE))
    assert [finding.rule for finding in asked.findings] == ["executable-to-it-support"]
    assert asked.findings[0].say.startswith("Thank you for sending “setup.exe” to IT Support")
    assert asked.findings[0].queue == "it-support"


@pytest.mark.parametrize("name", sorted(shipped_policies()))
def test_shipped_policies_load_and_pass_their_own_tests(name: str) -> None:
    """A policy whose tests fail does not load, so a shipped one must."""
    judge = load(settings(policy=name))
    assert len(judge.document.tests) >= 15


def test_a_policy_whose_tests_fail_loads_only_when_asked_to(tmp_path: Path) -> None:
    """``gatepost policy test`` must be able to show what fails."""
    path = tmp_path / "ours.yaml"
    text = shipped_policies()["default"].read_text(encoding="utf-8")
    path.write_text(text.replace("action: quarantine", "action: tag", 1), encoding="utf-8")
    prepare(load_policy(path), settings(), tested=False)
    with pytest.raises(Exception, match="the policy's own test 'a program from outside is held"):
        prepare(load_policy(path), settings())


def test_the_directory_that_the_settings_name_is_read(tmp_path: Path) -> None:
    """Its logins say who sent a message, and its register who is exempt, until when."""
    (tmp_path / "staff.csv").write_text("address,login\nt.teacher@school.example,12345\n", encoding="utf-8")
    (tmp_path / "exemptions.csv").write_text(
        "who,rule,from,until,approved_by,reason\n"
        "t.teacher@school.example,executable-attachment,2026-09-01,2026-11-02,the Head,Robotics club\n",
        encoding="utf-8",
    )
    judge = load(settings(directory=str(tmp_path)))
    sent = judge.judge(transaction("a@outside.example", login="12345"), inspection(EXE))
    assert sent.sender.mailbox == "t.teacher@school.example"
    assert sent.action is Action.PASS
    kept = "t.teacher@school.example until 2026-11-02, approved by the Head, because Robotics club"
    assert sent.findings[0].exemptions == (kept,)
    late = transaction("a@outside.example", login="12345", at=datetime(2026, 11, 3, tzinfo=UTC))
    assert judge.judge(late, inspection(EXE)).action is Action.QUARANTINE
    received = judge.judge(transaction("t.teacher@school.example"), inspection(EXE))
    assert received.action is Action.QUARANTINE
