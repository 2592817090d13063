"""The scenarios of parents, addressing and private accounts, numbered as in SCENARIOS, on both policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pytest
from support.mail import attachment, inspection, settings, transaction

from gatepost_config.directory import ALWAYS, Approval, Directory, Exemption, Group, Kind, Person, Span
from gatepost_config.words import Action, Finding
from gatepost_milter.inspection.model import Attachment
from gatepost_milter.policy.policy import Policy, load
from gatepost_milter.policy.verdict import Verdict

PARENTS = [f"parent{number}@gmail.com" for number in range(25)]
COMMITTEE = [f"officer{number}@sky.com" for number in range(6)]
SCHOOL = [
    Person(
        address="a.patel@school.example",
        name="Anita Patel",
        roles=((Kind.STAFF, ALWAYS),),
        logins=("apatel",),
        personal=("anita.patel@gmail.com",),
    ),
    Person(address="pupil@school.example", name="Sam Lark", roles=((Kind.PUPIL, ALWAYS),)),
    Person(address="mother@gmail.com", roles=((Kind.PARENT, ALWAYS),), ties=frozenset({"pupil 1"})),
    Person(address="father@outlook.com", roles=((Kind.PARENT, ALWAYS),), ties=frozenset({"pupil 1"})),
    *(
        Person(address=address, roles=((Kind.PARENT, ALWAYS),), ties=frozenset({f"pupil {address}"}))
        for address in (*PARENTS, *COMMITTEE)
    ),
]


def directory(*, agreed: bool = False, exemptions: Sequence[Exemption] = ()) -> Directory:
    """The school's people; with ``agreed`` the committee has agreed to see one another's addresses."""
    group = Group(name="Committee", agreed=True, members=frozenset(COMMITTEE))
    return Directory.of(
        people=SCHOOL,
        groups=[group] if agreed else [],
        approvals=[Approval(who="*.bulkmailer.example", purpose="bulk-mail")],
        exemptions=exemptions,
    )


@pytest.fixture(params=["default", "kings-college"], scope="module")
def judge(request: pytest.FixtureRequest) -> Policy:
    """Each shipped policy; its own tests have run elsewhere."""
    return load(settings(policy=request.param), directory=directory(), tested=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What stands in the message; ``to`` and ``cc`` are the envelope too unless ``envelope`` says otherwise."""

    to: Sequence[str]
    cc: Sequence[str] = ()
    envelope: Sequence[str] = ()
    login: str = "apatel"
    author: str = ""
    reply_to: str = ""
    files: Sequence[Attachment] = ()

    def on(self, judge: Policy) -> Verdict:
        """The verdict of a policy on it."""
        recipients = self.envelope or [*self.to, *self.cc]
        seen = inspection(*self.files, visible=self.to, copies=self.cc, author=self.author, reply_to=self.reply_to)
        return judge.judge(transaction(*recipients, login=self.login), seen)


def deciding(verdict: Verdict) -> Finding:
    """The finding that makes the verdict what it is; others may advise."""
    return verdict.explanation.acting()[0]


def only(verdict: Verdict) -> Finding:
    """The one finding that there must be."""
    (finding,) = verdict.findings
    return finding


@pytest.mark.parametrize("known", [True, False], ids=["with-a-directory", "without"])
def test_25_a_newsletter_in_bcc_goes_with_a_tip_that_names_nobody(judge: Policy, known: bool) -> None:
    """The tip is about the portal; a list of 300 parents in it would be worse than the letter."""
    parents = PARENTS if known else [f"p{number}@gmail.com" for number in range(300)]
    among = judge if known else judge.among(None)
    verdict = Mail(to=["office@school.example"], envelope=["office@school.example", *parents]).on(among)
    finding = only(verdict)
    assert (finding.rule, verdict.action) == ("use-the-portal", Action.WARN)
    assert f"“{len(parents)} addresses in Bcc”" in finding.say
    assert "portal" in finding.say + finding.mend
    assert not any(parent in str(finding.to_json()["evidence"]) + finding.say for parent in parents)


def test_26_both_parents_of_one_pupil_are_one_household(judge: Policy) -> None:
    """Also where they live apart."""
    assert Mail(to=["mother@gmail.com", "father@outlook.com"]).on(judge).findings == ()


@pytest.mark.parametrize("known", [True, False], ids=["with-a-directory", "without"])
def test_28_a_cc_list_of_25_parents_waits_for_the_sender(judge: Policy, known: bool) -> None:
    """The sender typed the addresses, so the notice may show them; it shows three and counts the rest."""
    among = judge if known else judge.among(None)
    verdict = Mail(to=["team@school.example"], cc=PARENTS).on(among)
    finding = deciding(verdict)
    assert (finding.rule, verdict.action) == ("parents-exposed", Action.CONFIRM)
    assert "25 families" in finding.say
    assert "“parent2@gmail.com” and 22 more" in finding.say
    assert len(finding.evidence) == 25
    assert {each.private for each in finding.evidence} == {False}
    assert not {each.recipient: each.action for each in verdict.outcomes}["team@school.example"].held


def test_29_a_reply_to_all_suggests_to_reply_to_one(judge: Policy) -> None:
    """Somebody else showed the addresses first; the answer shows them again."""
    verdict = Mail(to=["mother@gmail.com"], cc=PARENTS[:20]).on(judge)
    finding = deciding(verdict)
    assert (finding.rule, verdict.action) == ("parents-exposed", Action.CONFIRM)
    assert "eply to one family" in finding.mend


def test_31_a_committee_waits_the_first_time_and_not_once_it_has_agreed(judge: Policy) -> None:
    """Parents who act as officers: an agreed group of the directory, and nobody outside it."""
    assert Action.CONFIRM is Mail(to=COMMITTEE).on(judge).action
    agreed = judge.among(directory(agreed=True))
    assert Mail(to=COMMITTEE).on(agreed).findings == ()
    assert Action.CONFIRM is Mail(to=[*COMMITTEE, "mother@gmail.com"]).on(agreed).action


def test_32_a_bulk_mailer_shows_each_parent_only_himself(judge: Policy) -> None:
    """One recipient each: there is nothing to expose."""
    for parent in PARENTS[:3]:
        assert Mail(to=[parent], login="newsletter").on(judge).findings == ()
    assert Mail(to=["list-4711@in.bulkmailer.example"], login="newsletter").on(judge).findings == ()


def test_43_a_lesson_plan_to_ones_own_gmail_goes_with_advice_on_remote_access(judge: Policy) -> None:
    """No pupil's data: a reminder, not a hold."""
    verdict = Mail(to=["Anita.Patel+school@googlemail.com"], files=[attachment("lesson.docx")]).on(judge)
    finding = only(verdict)
    assert (finding.rule, verdict.action) == ("private-account-recipient", Action.WARN)
    assert finding.tell == ("sender",)
    assert "it.support@school.example" in finding.mend
    assert ("remote access" in finding.mend) or ("from home" in finding.mend)


def test_43_in_bcc_the_private_address_is_never_named(judge: Policy) -> None:
    """The notice may be passed on to somebody who got the message."""
    mail = Mail(to=["mother@gmail.com"], envelope=["mother@gmail.com", "anita.patel@gmail.com"])
    verdict = mail.on(judge)
    finding = only(verdict)
    assert {each.recipient: each.action for each in verdict.outcomes} == {
        "mother@gmail.com": Action.PASS,
        "anita.patel@gmail.com": Action.WARN,
    }
    assert "anita.patel@gmail.com" not in finding.say + finding.mend
    assert verdict.explanation.public().findings[0].evidence == ()


def test_46_a_teachers_name_from_webmail_to_a_pupil_is_marked_and_told(judge: Policy) -> None:
    """It may be impersonation. Where the policy has a safeguarding lead, a pupil is their business too."""
    mail = Mail(to=["pupil@school.example"], login="", author='"Mr A. Patel" <x9@gmail.com>')
    verdict = mail.on(judge)
    finding = only(verdict)
    assert Action.TAG is verdict.action
    assert "it-support" in finding.tell
    assert ("dsl" in finding.tell) is ("dsl" in judge.roles)
    assert finding.evidence[0].details["mailboxes"] == "a.patel@school.example"


def test_46_to_a_colleague_it_is_the_business_of_it_support_alone(judge: Policy) -> None:
    """The safeguarding lead is not to be flooded."""
    mail = Mail(to=["head@school.example"], login="", author='"Mr A. Patel" <x9@gmail.com>')
    finding = only(mail.on(judge))
    assert (finding.rule, finding.tell) == ("staff-name-from-outside", ("it-support",))


def test_47_the_teachers_own_declared_account_is_marked_as_what_it_is(judge: Policy) -> None:
    """No impersonation as far as the address tells, so nobody is alarmed."""
    mail = Mail(to=["pupil@school.example"], login="", author="Anita Patel <anita.patel@gmail.com>")
    verdict = mail.on(judge)
    finding = only(verdict)
    assert (finding.rule, verdict.action) == ("staff-private-account", Action.TAG)
    assert finding.tell == ()


def test_answers_to_school_mail_do_not_go_to_webmail(judge: Policy) -> None:
    """KCS 2.9 b: also where the account is nobody's that we know."""
    verdict = Mail(to=["coach@firm.example"], reply_to="trips77@yahoo.co.uk").on(judge)
    finding = only(verdict)
    assert (finding.rule, verdict.action) == ("private-account-reply-to", Action.CONFIRM)
    assert finding.evidence[0].where == "Reply-To"


def test_a_leave_from_the_register_spares_a_group_until_its_day(judge: Policy) -> None:
    """CLAUSES D12: the trips office may show parents to one another until the end of the month."""
    leave = Exemption(
        rule="parents-exposed",
        who="a.patel@school.example",
        span=Span(ends=date(2026, 11, 30)),
        approved_by="Bursar",
        reason="Ski trip",
    )
    among = judge.among(directory(exemptions=[leave]))
    verdict = Mail(to=PARENTS).on(among)
    assert Action.PASS is verdict.action
    assert only(verdict).exemptions == (
        "a.patel@school.example until 2026-11-30, approved by Bursar, because Ski trip",
    )
