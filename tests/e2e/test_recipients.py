"""One message, several recipients: each gets what the policy says for them, and nobody is forgotten."""

from __future__ import annotations

import shutil
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mails import as_sent, clean, infected
from support.other_milter import RefusingMilter
from support.postfix import PostfixLab, postfix_lab

from gatepost_config.documents import policy_path
from gatepost_milter.demo.postfix import folder
from gatepost_quarantine.held import State

TEACHER = "t.teacher@school.example"
TECHNICIAN = "technician@school.example"
SECOND_NAME = "it.help@school.example"
ARCHIVE = "archive@school.example"
EXEMPTIONS = "\nexemptions:\n" + "".join(
    f"  - {{who: {who}, party: recipient, rule: executable-attachment, until: 2999-12-31, approved_by: Story}}\n"
    for who in (TECHNICIAN, SECOND_NAME)
)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default policy, under which two addresses may get programs."""
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(policy_path("default").read_text(encoding="utf-8") + EXEMPTIONS, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def lab(policy: Path) -> Iterator[PostfixLab]:
    """Two aliases lead to one mailbox: one may get programs, one may not."""
    aliases = {SECOND_NAME: ["box@school.example"], "projectors@school.example": ["box@school.example"]}
    with postfix_lab(logins=[TEACHER], aliases=aliases, overrides={"policy": str(policy)}) as made:
        yield made


def test_one_gets_it_and_one_does_not(lab: PostfixLab) -> None:
    """The held recipient is taken out of the envelope; the other gets the message unchanged."""
    content = infected("For two")
    lab.inbound(content, to=["one@school.example", TECHNICIAN])
    (passed,) = lab.arrives(TECHNICIAN)
    assert as_sent(passed.content) == content
    (held,) = lab.held("For two")
    assert [(each.address, each.state) for each in held.recipients] == [("one@school.example", State.HELD)]
    (notice,) = lab.arrives("one@school.example")
    assert notice.content != passed.content


def test_releasing_one_of_two_leaves_the_other_held(lab: PostfixLab) -> None:
    """A reviewer decides for each recipient."""
    content = infected("Decided one by one")
    lab.inbound(content, to=["first@school.example", "second@school.example"])
    (held,) = lab.held("Decided one by one")
    lab.arrives("first@school.example")
    lab.release(held, "first@school.example")
    lab.arrives("first@school.example", count=2)
    lab.settle()
    assert len(lab.arrives("second@school.example")) == 1  # the notice
    (held,) = lab.held("Decided one by one")
    assert held.recipients[1].state is State.HELD


def test_two_aliases_of_one_mailbox_stay_two_recipients(lab: PostfixLab) -> None:
    """Taking out the held alias must not lose the mail for the clean one (enable_original_recipient)."""
    content = infected("Two names, one mailbox")
    lab.inbound(content, to=["projectors@school.example", SECOND_NAME])
    (held,) = lab.held("Two names, one mailbox")
    assert [each.address for each in held.recipients] == ["projectors@school.example"]
    lab.mailboxes.wait(
        lambda all_: any(
            as_sent(each.content) == content for each in all_ if "box@school.example" in each.recipients
        ),
        seconds=30,
    )
    lab.settle()
    passed = [each for each in lab.mailboxes.of("box@school.example") if as_sent(each.content) == content]
    assert len(passed) == 1
    lab.release(held)
    came = lab.mailboxes.wait(
        lambda all_: (
            sum(as_sent(each.content) == content for each in all_ if "box@school.example" in each.recipients) == 2
        ),
        seconds=30,
    )
    assert came


def test_a_bcc_map_copies_what_goes_on_and_nothing_that_is_held_for_all(policy: Path) -> None:
    """No milter sees the recipients that always_bcc adds: they get what goes on for anybody."""
    with postfix_lab(overrides={"policy": str(policy)}, settings={"always_bcc": ARCHIVE}) as lab:

        def copies(content: bytes) -> int:
            lab.settle()
            return sum(as_sent(each.content) == content for each in lab.mailboxes.of(ARCHIVE))

        lab.inbound(clean("Passes"), to=["one@school.example"])
        lab.arrives("one@school.example")
        assert copies(clean("Passes")) == 1

        lab.inbound(infected("Held for all"), to=["one@school.example", "two@school.example"])
        assert lab.held("Held for all")
        assert copies(infected("Held for all")) == 0

        lab.inbound(infected("Held for one"), to=["one@school.example", TECHNICIAN])
        lab.arrives(TECHNICIAN)
        assert lab.held("Held for one")
        assert copies(infected("Held for one")) == 1


def test_a_later_milter_refuses_what_was_held_for_one(policy: Path) -> None:
    """The client is refused and tries again: the hold of the first try answers for the second."""
    home = folder()
    try:
        with (
            RefusingMilter(home / "other.sock") as other,
            postfix_lab(overrides={"policy": str(policy)}, milters_after=[other.address]) as lab,
        ):
            content = infected("Refused later")
            with pytest.raises(smtplib.SMTPResponseException) as answer:
                lab.inbound(content, to=["late@school.example", TECHNICIAN])
            assert answer.value.smtp_code == 550
            assert len(lab.held("Refused later")) == 1
            assert lab.undelivered(TECHNICIAN)
            other.refuses = False
            lab.inbound(content, to=["late@school.example", TECHNICIAN])
            assert len(lab.held("Refused later")) == 1
            (passed,) = lab.arrives(TECHNICIAN)
            assert as_sent(passed.content) == content
            lab.settle()
            assert len(lab.arrives("late@school.example")) == 1  # one notice for two tries
    finally:
        shutil.rmtree(home)
