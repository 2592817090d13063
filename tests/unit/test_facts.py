"""The catalogue of facts: every fact that is documented can be used, and says what it should."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, timedelta
from pathlib import Path
from unittest import mock

import pytest
from support.mail import attachment, inspection, policy, transaction

from gatepost_config.directory import ALWAYS, Approval, Directory, Group, Kind, Person, Span
from gatepost_milter.inspection.model import FileClass, Text
from gatepost_milter.policy.document_tests import SamplePast
from gatepost_milter.policy.fact_types import People, Type
from gatepost_milter.policy.facts import FACTS, KINDS, counted, text
from gatepost_milter.policy.standing import Memory, Standing
from gatepost_milter.policy.verdict import Sender
from gatepost_milter.transaction import Client
from gatepost_quarantine.rulings import Ruling, RulingKind

DAY = timedelta(days=1)
FIELDS = [(kind.name, field) for kind in KINDS.values() for field in kind.fields]
LISTS = {
    "Attachment": "attachments",
    "Defect": "defects",
    "Visible": "visible",
    "Household": "households",
    "PrivateAccount": "private_recipients",
    "StaffLikeness": "staff_outside",
    "Blind": "blind",
    "Correspondent": "correspondents",
    "Mass": "mass",
    "Leaver": "leavers",
    "Block": "blocks",
    "Identifier": "identifiers",
    "Export": "exports",
    "Secret": "secrets",
    "Listed": "listed",
    "Written": "addresses",
    "Invitation": "invitations",
    "NearMiss": "near_misses",
    "Link": "links",
    "Host": "hosts",
    "Encrypted": "encrypted",
    "Malware": "malware",
}
SINGLE = {
    "Sender": "sender",
    "Recipient": "recipient",
    "Message": "message",
    "Client": "client",
    "Addressing": "addressing",
    "Directory": "directory",
    "Writing": "writing",
}
PEOPLE = Directory.of(
    people=[
        Person(
            address="teacher@school.example",
            name="Anita Patel",
            roles=((Kind.STAFF, ALWAYS),),
            groups=frozenset({"hr", "exams"}),
            personal=("anita@private.example",),
        ),
        Person(address="mother@gmail.com", roles=((Kind.PARENT, ALWAYS),), ties=frozenset({"pupil 1"})),
        Person(address="left@school.example", roles=((Kind.STAFF, Span(ends=date(2026, 11, 1))),)),
    ],
    groups=[Group(address="all@school.example", size=180)],
    approvals=[Approval(who="*.board.example", purpose="exam-board")],
)
WORDS = """My password is Blue7Whale. Do not break the chain, write to a@gmail.com.
UPN K801000025001, https://zoom.us/j/1
BEGIN:VCALENDAR
BEGIN:VEVENT
ORGANIZER:mailto:teacher@school.example
END:VEVENT
END:VCALENDAR
"""
LITERALS = {
    Type.BOOL: "{} || !{}",
    Type.INT: "{} >= -1",
    Type.STRING: "{} + 'x' != ''",
    Type.STRINGS: "{}.size() >= 0",
}


def rule(find: str) -> str:
    return f"""
        phrase_lists: [chain-letters]
        rules:
          - id: fact
            title: Fact
            find: "{find}"
            action: tag
            say: Found.
    """


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=[f"{kind}.{field.name}" for kind, field in FIELDS])
def test_every_documented_field_can_be_used(tmp_path: Path, kind: str, field: object) -> None:
    """A field that is documented but does not work would be found by the first school that needs it."""
    name, kind_of = field.name, field.type  # type: ignore[attr-defined]
    condition = LITERALS[kind_of].replace("{}", f"x.{name}")
    if kind in LISTS:
        find = f"{LISTS[kind]}.filter(x, {condition})"
    else:
        find = condition.replace("x.", f"{SINGLE[kind]}.")
    login = "" if kind in ("StaffLikeness", "Correspondent") else "teacher"
    message = transaction(
        "anita@private.example",
        "left@school.example",
        "a@outlok.com",
        client=Client(login=login, address="192.0.2.1"),
    )
    seen = inspection(
        attachment("1234567_CTF_1234567_001.xml", FileClass.ENCRYPTED),
        defects=["too-deep"],
        visible=["mother@gmail.com", "stranger@gmail.com"],
        subject="s",
        author="A. Patel <a@gmail.com>",
    )
    seen = replace(seen, texts=(Text(where="part 1", text=WORDS),), malware=("Eicar",))
    block = Ruling(
        kind=RulingKind.BLOCK,
        sender="@school.example",
        reason="r",
        actor="a",
        expires_at=message.received_at + DAY,
    )
    memory = Memory(standing=Standing.of([block], UTC), past=SamplePast(alike_today=3))
    judge = policy(tmp_path, rule(find), directory=PEOPLE).remembering(memory)
    found = [each.rule for each in judge.judge(message, seen).findings if each.rule == "fact"]
    assert found == ["fact"]


@pytest.mark.parametrize("each", FileClass)
def test_every_class_has_a_fact_of_its_own(tmp_path: Path, each: FileClass) -> None:
    """And it is true for files of that class only."""
    judge = policy(tmp_path, rule(f"attachments.filter(a, a.{each.value.replace('-', '_')})"))
    others = [attachment(str(other), other) for other in FileClass if other is not each]
    seen = inspection(*others, attachment("wanted", each))
    (finding,) = judge.judge(transaction(), seen).findings
    assert [piece.name for piece in finding.evidence] == ["wanted"]


def test_the_facts_of_the_envelope_are_what_postfix_said(tmp_path: Path) -> None:
    """One condition that reads them all."""
    find = (
        "client.tls && client.login == 'teacher' && sender.known && sender.domain == 'school.example' "
        "&& recipient.domain == 'outside.example' && direction == 'outbound' && message.recipients == 1 "
        "&& message.size == 1000 && lists.friends == ['friend.example'] && limit.attachment_bytes == 100"
    )
    client = Client(login="teacher", tls_version="TLSv1.3")
    verdict = policy(tmp_path, rule(find)).judge(transaction("a@Outside.Example", client=client), inspection())
    assert len(verdict.findings) == 1


def test_the_envelope_sender_is_a_fact_but_never_a_sender(tmp_path: Path) -> None:
    """A rule may look at what was claimed; it is called what it is."""
    find = "message.envelope_sender == 'head@school.example' && !sender.known && sender.mailbox == ''"
    verdict = policy(tmp_path, rule(find)).judge(transaction(sender="head@school.example"), inspection())
    assert len(verdict.findings) == 1


@pytest.mark.parametrize(
    ("recipient", "condition"),
    [
        ("a@o.example", "sender.kinds == ['staff'] && sender.groups == ['exams', 'hr']"),
        ("mother@gmail.com", "recipient.kinds == ['parent'] && recipient.consumer && !recipient.institution"),
        ("left@school.example", "recipient.kinds == []"),
        ("entries@in.board.example", "recipient.approved && recipient.approved_for == 'exam-board'"),
        ("a@o.example", "!recipient.approved && recipient.approved_for == '' && recipient.list_size == 0"),
        ("all@school.example", "recipient.list_size == 180 && recipient.institution"),
        ("a@o.example", "directory.has_people && directory.has_parents"),
    ],
)
def test_the_directory_gives_facts_about_sender_and_recipient(
    tmp_path: Path, recipient: str, condition: str
) -> None:
    """On the day of the message: somebody who has left is nobody any more."""
    judge = policy(tmp_path, rule(condition), directory=PEOPLE)
    assert len(judge.judge(transaction(recipient, login="teacher"), inspection()).findings) == 1


def test_how_a_message_is_addressed(tmp_path: Path) -> None:
    """Spellings of one address count once, and the school's own are not outside."""
    find = (
        "addressing.to == 2 && addressing.cc == 1 && addressing.outside == 2 "
        "&& addressing.exposed_households == 0 && blind.exists(b, b.recipients == 2 && b.households == 1)"
    )
    message = transaction("a@o.example", "mother@gmail.com", "x@o.example", login="teacher")
    seen = inspection(visible=["A@o.example", "a+tag@O.example", "t@school.example"], copies=["b@o.example"])
    assert len(policy(tmp_path, rule(find), directory=PEOPLE).judge(message, seen).findings) == 1


def test_nothing_is_looked_up_that_no_condition_names(tmp_path: Path) -> None:
    """Ten thousand mails an hour do not each pay for a question that nobody asks."""
    looked: list[str] = []
    field = next(each for each in KINDS["Sender"].fields if each.name == "groups")

    def look(sender: Sender, _: People) -> list[str]:
        looked.append(sender.mailbox)
        return []

    spied = replace(field, look=look)
    kind = replace(KINDS["Sender"], fields=(*(e for e in KINDS["Sender"].fields if e is not field), spied))
    with mock.patch.dict(KINDS, {"Sender": kind}):
        policy(tmp_path, rule("sender.known"), directory=PEOPLE).judge(transaction(login="t"), inspection())
        assert looked == []
        asking = policy(tmp_path, rule("'hr' in sender.groups"), directory=PEOPLE)
        asking.judge(transaction(login="teacher"), inspection())
    assert looked == ["teacher@school.example"]


def test_a_defect_is_one_fact_however_often_it_is_seen() -> None:
    """A hostile message may hold a defect in each of its lines."""
    seen = inspection(defects=["too-deep", "bare-newline", "too-deep"])
    assert [(each.code, count) for each, count in counted(seen.defects)] == [("too-deep", 2), ("bare-newline", 1)]


def test_a_long_name_is_never_cut(tmp_path: Path) -> None:
    """What a rule looks for would stand behind the cut."""
    judge = policy(tmp_path, rule("attachments.filter(a, a.name.endsWith('.exe'))"))
    assert len(judge.judge(transaction(), inspection(attachment("x" * 100_000 + ".exe"))).findings) == 1


def test_text_is_made_valid() -> None:
    """The condition language refuses lone surrogates."""
    assert text("a\ud800b") == "a?b"


def test_names_of_facts_and_kinds_do_not_clash() -> None:
    """A word in a condition must mean one thing."""
    assert not FACTS.keys() & KINDS.keys()
    assert all(field.meaning.endswith(".") for _, field in FIELDS)
