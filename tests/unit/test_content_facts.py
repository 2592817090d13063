"""The facts about what a message says, as a policy's rules see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mail import attachment, inspection, policy, transaction

from gatepost_config.directory import ALWAYS, Approval, Directory, Kind, Person
from gatepost_config.errors import ConfigError
from gatepost_config.words import Action, Finding
from gatepost_milter.detect.pages import DetectionError
from gatepost_milter.inspection.model import Attachment, FileClass, Inspection, Text
from gatepost_milter.policy import content
from gatepost_milter.policy.rules import PolicyError
from gatepost_milter.policy.verdict import Verdict

UPNS = "K801000025001"
STAFF = Person(
    address="t@school.example",
    roles=((Kind.STAFF, ALWAYS),),
    logins=("teacher",),
    supervisors=("hod@school.example",),
)
HOD = Person(address="hod@school.example", roles=((Kind.STAFF, ALWAYS),))
PUPIL = Person(address="p@school.example", roles=((Kind.PUPIL, ALWAYS),), section="junior")
PARENT = Person(address="mum@gmail.com", roles=((Kind.PARENT, ALWAYS),))
PEOPLE = Directory.of(people=[STAFF, HOD, PUPIL, PARENT], approvals=[Approval(who="examsboard.example")])


def said(
    *texts: str,
    html: str = "",
    files: Sequence[str] = (),
    subject: str = "",
    attachments: Sequence[Attachment] = (),
) -> Inspection:
    """An inspection with these words in the message and in its files."""
    found = [Text(where=f"part {number}", text=text) for number, text in enumerate(texts, 1)]
    if html:
        found.append(Text(where="part 1.2", text=html, html=True))
    found += [Text(where=f"part 9 › {number}.csv", text=text, of_file=True) for number, text in enumerate(files)]
    return replace(inspection(*attachments, subject=subject), texts=tuple(found))


def judged(
    folder: Path,
    find: str,
    seen: Inspection,
    *recipients: str,
    login: str = "teacher",
    when: str = "",
    head: str = "",
    **others: object,
) -> Verdict:
    """The verdict of a policy with one rule."""
    rules = f"""{head}
rules:
  - id: one
    title: One
    find: {find}
    when: "{when or "true"}"
    action: tag
    say: "{{names}}: {{reasons}}"
"""
    judge = policy(folder, rules, directory=PEOPLE, **others)
    return judge.judge(transaction(*(recipients or ("mum@gmail.com",)), login=login), seen)


def only(verdict: Verdict) -> Finding:
    """The one finding that there must be."""
    (finding,) = verdict.findings
    return finding


def test_identifiers_are_told_by_kind_and_count_and_never_by_value(tmp_path: Path) -> None:
    """Evidence goes into notices, the store and the log."""
    seen = said(f"UPN {UPNS}", files=["UPN\tName\nK801000025001\tA\nP001999900123\tB\n"])
    finding = only(judged(tmp_path, "identifiers.filter(i, i.kind == 'upn' && i.count == 2)", seen))
    assert finding.say == "“UPN”: UPN: 2 different"
    assert not any(value in str(finding.to_json()) for value in ("K801000025001", "001999900123"))


def test_the_writers_own_words_are_told_from_what_they_quote(tmp_path: Path) -> None:
    """A number in the signature of somebody who is quoted was not given away by the one who answers."""
    quoted = "Thank you.\n\nOn Monday, a parent wrote:\n> Call me on 07700 900123.\n"
    assert judged(tmp_path, "own_identifiers", said(quoted)).findings == ()
    assert only(judged(tmp_path, "identifiers", said(quoted))).evidence[0].name == "mobile number"


BLANKS = st.lists(st.sampled_from([" ", "\n", "\t", "\r\n", "\xa0", "\f", "\v"]), min_size=1, max_size=4).map(
    "".join
)


@given(
    first=st.lists(st.sampled_from(["a", "b", "é", "ab"]), max_size=5),
    second=st.lists(st.sampled_from(["a", "b", "é", "ab"]), max_size=5),
    data=st.data(),
)
def test_a_letter_in_two_forms_is_read_once(first: list[str], second: list[str], data: st.DataObject) -> None:
    """As plain text and as HTML; other words, or the same letters in other words, are another letter."""
    texts = [data.draw(BLANKS) + "".join(word + data.draw(BLANKS) for word in words) for words in (first, second)]
    letter = content.Content(said(*texts), content.Detectors(), today=date(2026, 11, 2)).letter
    assert len(letter) == (1 if first == second else 2)


def test_the_schools_own_telephones_are_nobodys(tmp_path: Path) -> None:
    """The trip phone is there to be given to pupils."""
    school = {"name": "Park School", "domains": ["school.example"], "telephones": ["+44 7700 900123"]}
    seen = said("Ring the trip phone: 07700 900123.")
    assert judged(tmp_path, "own_identifiers", seen, school=school).findings == ()
    assert judged(tmp_path, "own_identifiers", seen).findings != ()


def test_an_export_is_known_by_its_name_and_by_what_stands_in_it(tmp_path: Path) -> None:
    """The name alone is enough for a file that must go another way."""
    named = said(attachments=[attachment("8012345_CTF_8019999_001.xml")])
    assert only(judged(tmp_path, "exports.filter(e, e.form == 'transfer-file')", named)).say.startswith(
        "“a statutory"
    )
    table = said(files=["UPN\tSurname\tForename\tFSM\nK801000025001\tLark\tSam\tY\n"])
    finding = only(judged(tmp_path, "exports.filter(e, e.rows == 1)", table))
    assert finding.evidence[0].details["heads"] == "upn · surname · forename · fsm"


def test_a_password_is_masked_and_may_open_what_came_with_it(tmp_path: Path) -> None:
    """The password of an encrypted file in the same message defeats the encryption."""
    text = "The password is Blue7Whale."
    finding = only(judged(tmp_path, "secrets.filter(s, s.weight >= 2)", said(text)))
    assert finding.say == "“password is ••••••••”: a password"
    assert "Blue7Whale" not in str(finding.to_json())
    assert judged(tmp_path, "secrets.filter(s, s.opens)", said(text)).findings == ()
    locked = said(text, attachments=[attachment("a.7z", FileClass.ENCRYPTED)])
    assert judged(tmp_path, "secrets.filter(s, s.opens)", locked).findings != ()


LISTS = "phrase_lists: [chain-letters, concern-contact]"


def test_phrases_are_found_by_list_and_category(tmp_path: Path) -> None:
    """What is shown is the list's own term, never the mail's text."""
    seen = said("Do not break the chain! Mrs Secret says hello.")
    finding = only(judged(tmp_path, "listed.filter(l, l.category == 'chain' && l.reached)", seen, head=LISTS))
    assert finding.say.startswith("“Chain letters and jokes”")
    assert finding.evidence[0].details["terms"] == "(do not|don't) break (the|this) chain"


def test_the_terms_of_a_private_list_stay_with_its_keepers(tmp_path: Path) -> None:
    """A notice must not tell what the safeguarding lead looks for."""
    seen = said("It is our little secret.")
    finding = only(judged(tmp_path, "listed.filter(l, l.category == 'contact')", seen, head=LISTS))
    assert finding.evidence[0].private
    assert "secret" not in finding.say


@pytest.mark.parametrize(
    ("find", "head", "message", "remedy"),
    [
        ("listed.filter(l, l.category == 'chian')", LISTS, "category is never 'chian'", "did you mean 'chain'?"),
        (
            "listed.filter(l, l.list in ['chain-letters', 'comerce'])",
            LISTS,
            "list is never 'comerce'",
            "known here",
        ),
        ("identifiers.filter(i, i.kind == 'upns')", "", "kind is never 'upns'", "did you mean 'upn'?"),
        (
            "listed",
            "phrase_lists: [chain-leters]",
            "there is no list 'chain-leters'",
            "did you mean 'chain-letters'?",
        ),
        ("listed", "phrase_lists: [lists/own.yaml]", "there is no list 'lists/own.yaml'", ""),
    ],
)
def test_a_misspelt_list_or_kind_is_an_error_at_load(
    tmp_path: Path, find: str, head: str, message: str, remedy: str
) -> None:
    """Else the rule would load, and never fire."""
    with pytest.raises(ConfigError) as error:
        judged(tmp_path, find, said("x"), head=head)
    assert message in str(error.value)
    assert remedy in str(error.value)


def test_a_schools_own_list_stands_beside_its_policy(tmp_path: Path) -> None:
    """The safeguarding lead keeps hers privately, and a change of it is seen at the next load."""
    own = tmp_path / "own.yaml"
    text = """
name: own
title: Our list
owner: dsl
version: "1"
category: ours
threshold: 1
tiers: {any: 1}
terms: [{phrase: WORD, tier: any}]
tests: [{text: a WORD here, reached: true}, {text: nothing, reached: false}]
"""
    head = "phrase_lists: [own.yaml]"
    own.write_text(text.replace("WORD", "conker"), encoding="utf-8")
    assert judged(tmp_path, "listed", said("My conker!"), head=head).findings != ()
    own.write_text(text.replace("WORD", "marbles"), encoding="utf-8")
    assert judged(tmp_path, "listed", said("My conker!"), head=head).findings == ()


def test_addresses_in_the_text_are_private_evidence(tmp_path: Path) -> None:
    """They are somebody's data: a notice only counts them."""
    seen = said("Coach list: mum@gmail.com, coach@firm.example", files=["x@sky.com\n"])
    finding = only(judged(tmp_path, "addresses.filter(a, a.parent && a.own)", seen))
    assert [(each.name, each.private) for each in finding.evidence] == [("mum@gmail.com", True)]
    assert judged(tmp_path, "'[writing].filter(w, w.parent_addresses == 1 && w.addresses == 3)'", seen).findings


CALENDAR = """BEGIN:VCALENDAR
METHOD:REQUEST
BEGIN:VEVENT
ORGANIZER:mailto:t@school.example
ATTENDEE:mailto:p@school.example
{more}DTSTART:20261103T120000Z
DESCRIPTION:https://zoom.us/j/123
END:VEVENT
END:VCALENDAR
"""


def test_a_meeting_with_one_pupil_names_its_supervisor(tmp_path: Path) -> None:
    """The directory says who supervises whom; the invitation must have them as optional."""
    find = "invitations.filter(m, m.pupils.size() == 1 && m.people == 1 && m.supervisors.size() == 0)"
    alone = said(CALENDAR.format(more=""))
    assert only(judged(tmp_path, find, alone, "p@school.example")).evidence[0].details["hours ahead"] == 24
    more = "ATTENDEE;ROLE=OPT-PARTICIPANT:mailto:hod@school.example\n"
    find = "invitations.filter(m, m.pupils.size() == 1 && m.supervisors.size() == 1 && m.sections == ['junior'])"
    assert judged(tmp_path, find, said(CALENDAR.format(more=more)), "p@school.example").findings != ()


def test_links_are_found_in_texts_html_and_invitations(tmp_path: Path) -> None:
    """A room's link mostly stands in the invitation, a program's behind a button."""
    assert "Zoom" in only(judged(tmp_path, "links", said(CALENDAR.format(more="")))).say
    button = Text(
        where="part 1", text="Click", html=True, source=lambda: '<a href="http://x.example/a.exe">Click</a>'
    )
    seen = replace(inspection(), texts=(button,))
    finding = only(judged(tmp_path, "links.filter(k, k.kind == 'program')", seen))
    assert finding.say == "“x.example”: a link to a program (.exe)"


def test_a_near_miss_of_a_partner_is_seen_on_the_way_out_and_of_the_school_on_the_way_in(tmp_path: Path) -> None:
    """A slip of the finger sends pupils' data to strangers; a look-alike sends strangers' mail to us."""
    find = "near_misses.filter(n, n.known_as == 'partner')"
    assert "is nearly examsboard.example" in only(judged(tmp_path, find, said("x"), "a@examsbaord.example")).say
    assert judged(tmp_path, find, said("x"), "a@examsboard.example").findings == ()
    seen = replace(inspection(author="Head <head@schoool.example>"))
    find = "near_misses.filter(n, n.known_as == 'school' && n.where == 'From')"
    assert judged(tmp_path, find, seen, "t@school.example", login="").findings != ()


def test_the_shape_of_the_text_is_evidence(tmp_path: Path) -> None:
    """A rule about it still shows a person what it saw."""
    finding = only(judged(tmp_path, "'[writing].filter(w, w.forwards >= 2)'", said("x", subject="FW: Fwd: joke")))
    assert "forwarded: 2" in finding.say


def test_encryption_is_told_by_strength(tmp_path: Path) -> None:
    """What falls in minutes is no protection."""
    old = attachment("a.zip", FileClass.ENCRYPTED, reason="encrypted: ZipCrypto")
    seen = said("x", attachments=[old, attachment("b.7z", FileClass.ENCRYPTED)])
    assert only(judged(tmp_path, "encrypted.filter(e, !e.strong)", seen)).evidence[0].name == "a.zip"
    assert only(judged(tmp_path, "attachments.filter(a, a.strength == 'strong')", seen)).evidence[0].name == "b.7z"
    assert judged(
        tmp_path, "attachments.filter(a, a.key_file)", said(attachments=[attachment("safe.kdbx")])
    ).findings


def test_malware_is_evidence_by_the_scanners_name(tmp_path: Path) -> None:
    """The scanner's word for it is what IT Support looks up."""
    seen = replace(inspection(), malware=("Eicar-Test-Signature",))
    assert only(judged(tmp_path, "malware", seen)).evidence[0].name == "Eicar-Test-Signature"


def test_one_letter_as_text_and_as_html_is_read_once(tmp_path: Path) -> None:
    """Nearly every mail program sends both, and detectors are what a message costs."""
    seen = said("Dear all,\nhello.", html="Dear all, hello.")
    assert len(content.Content(seen, content.Detectors(), today=transaction().received_at.date()).letter) == 1


DSL = """
rules:
  - id: text
    title: Text
    find: identifiers
    action: tag
    say: Text.
  - id: file
    title: File
    find: attachments
    action: tag
    say: File.
"""


def test_text_rules_never_act_for_the_safeguarding_lead_and_file_rules_do(tmp_path: Path) -> None:
    """Nothing may stand between a child's words and her; a program is no word."""
    judge = policy(tmp_path, DSL, directory=PEOPLE, roles={"dsl": ["lead@school.example"]})
    assert judge.document.roles["dsl"].safeguarding
    seen = said(f"UPN {UPNS}", attachments=[attachment("a.exe")])
    both = judge.judge(transaction("lead@school.example", "t@school.example", login="teacher"), seen)
    acts = {finding.rule: set(finding.actions) for finding in both.findings}
    assert acts == {"text": {"t@school.example"}, "file": {"lead@school.example", "t@school.example"}}
    hers = judge.judge(
        transaction("mum@gmail.com", login="lead@school.example", sender="lead@school.example"), seen
    )
    assert [finding.rule for finding in hers.findings] == ["file"]


def test_the_words_of_files_are_asked_for_only_if_a_rule_wants_them(tmp_path: Path) -> None:
    """Reading every document costs more than all else."""
    rules = "rules: [{id: one, title: One, find: FIND, action: tag, say: One.}]"
    assert not policy(tmp_path, rules.replace("FIND", "own_identifiers")).reads_files
    assert policy(tmp_path, rules.replace("FIND", "identifiers")).reads_files
    assert not policy(
        tmp_path, rules.replace("tag,", "tag, mode: off,").replace("FIND", "identifiers")
    ).reads_files


def test_a_text_that_cannot_be_searched_is_a_temp_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a pass: what nobody looked for may be there."""

    def fail(*_: object, **__: object) -> None:
        raise DetectionError("a set of patterns ran out of memory")

    monkeypatch.setattr("gatepost_milter.detect.credentials.find", fail)
    with pytest.raises(PolicyError, match="secrets: a set of patterns ran out of memory"):
        judged(tmp_path, "secrets", said("x"))


def test_a_text_rule_acts_on_others(tmp_path: Path) -> None:
    """A tag is a tag."""
    assert judged(tmp_path, "identifiers", said(f"UPN {UPNS}")).action is Action.TAG
