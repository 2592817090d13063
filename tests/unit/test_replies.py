"""An answer says what the verdict means, and no more than a stranger may read."""

from __future__ import annotations

import pytest
from support.gates import PARENT, finding, transaction, verdict

from gatepost_config.words import Action, Direction
from gatepost_milter.replies import Disposition, Event, answer, bad_address, stale_headers, tempfail, too_large

COLLEAGUE = "colleague@school.example"
INTERNAL, OUTBOUND = Direction.INTERNAL, Direction.OUTBOUND


def test_a_clean_message_is_accepted_unchanged() -> None:
    """The ordinary case touches nothing."""
    given = answer(transaction(), verdict({PARENT: (OUTBOUND, Action.PASS)}))

    assert given.disposition is Disposition.ACCEPT
    assert given.event is Event.PASSED
    assert (given.add, given.delete, given.remove, given.reply) == ((), (), (), None)


def test_a_held_recipient_is_deleted_and_the_others_get_the_message() -> None:
    """A mixed message goes on for those whom no rule concerns, by the address that Postfix gave."""
    outcomes = {PARENT: (OUTBOUND, Action.QUARANTINE), COLLEAGUE: (INTERNAL, Action.PASS)}
    given = answer(transaction(PARENT, COLLEAGUE), verdict(outcomes))

    assert given.disposition is Disposition.ACCEPT
    assert given.delete == (f"<{PARENT}>",)
    assert given.event is Event.HELD


def test_a_message_held_for_everybody_is_discarded() -> None:
    """The SMTP copy goes, for the store has it; deleting every recipient would not do."""
    outcomes = {PARENT: (OUTBOUND, Action.CONFIRM), COLLEAGUE: (INTERNAL, Action.SEAL)}
    given = answer(transaction(PARENT, COLLEAGUE), verdict(outcomes))

    assert (given.disposition, given.delete) == (Disposition.DISCARD, ())


def test_a_refusal_names_the_clause_and_the_support_id() -> None:
    """What the sender reads in the bounce is enough to ask the right question."""
    found = finding("exe", {PARENT: Action.REJECT}, reply="A program was attached.")
    given = answer(transaction(), verdict({PARENT: (OUTBOUND, Action.REJECT)}, found))

    assert given.disposition is Disposition.REJECT
    assert given.reply is not None
    assert (given.reply.code, given.reply.status) == (550, "5.7.1")
    assert given.reply.text == "A program was attached. (KCS 2.6; support id SUPPORT1)"


def test_a_reply_is_one_short_line_of_ascii_whatever_the_rule_says() -> None:
    """Many clients show 200 octets; a line break would be another reply."""
    found = finding("exe", {PARENT: Action.REJECT}, reply="Ouch – café\r\n250 OK \x1b[31m" + "long " * 100)
    given = answer(transaction(), verdict({PARENT: (OUTBOUND, Action.REJECT)}, found))

    assert given.reply is not None
    assert len(f"{given.reply.status} {given.reply.text}") <= 200
    assert given.reply.text.isascii()
    assert given.reply.text.isprintable()
    assert given.reply.text.startswith("Ouch cafe 250 OK")
    assert given.reply.text.endswith("support id SUPPORT1)")


def test_a_reject_for_some_recipients_only_is_a_defect_of_the_judge() -> None:
    """One SMTP reply speaks for the whole message, so this must never pass silently."""
    outcomes = {PARENT: (OUTBOUND, Action.REJECT), COLLEAGUE: (INTERNAL, Action.PASS)}
    with pytest.raises(ValueError, match="some recipients only"):
        answer(transaction(PARENT, COLLEAGUE), verdict(outcomes))


def test_a_verdict_for_other_recipients_is_a_defect() -> None:
    """An outcome too few would let a recipient through unjudged."""
    with pytest.raises(ValueError, match="zip"):
        answer(transaction(PARENT, COLLEAGUE), verdict({PARENT: (OUTBOUND, Action.PASS)}))


def test_a_tag_names_the_rules_on_mail_that_stays_inside() -> None:
    """Rule ids only: a header is no place for evidence."""
    found = finding("caution", {COLLEAGUE: Action.TAG})
    given = answer(transaction(COLLEAGUE), verdict({COLLEAGUE: (INTERNAL, Action.TAG)}, found))

    assert given.add == (("X-Gatepost-Tag", "caution"),)
    assert given.event is Event.TAGGED


def test_mail_that_also_goes_outside_is_never_tagged() -> None:
    """Outsiders must not read the school's rules off its mail."""
    found = finding("caution", {COLLEAGUE: Action.TAG, PARENT: Action.TAG})
    outcomes = {COLLEAGUE: (INTERNAL, Action.TAG), PARENT: (OUTBOUND, Action.TAG)}

    assert answer(transaction(COLLEAGUE, PARENT), verdict(outcomes, found)).add == ()


def test_the_tag_is_for_those_who_get_this_copy() -> None:
    """An outside recipient who is held does not get this copy, so the tag may stand."""
    found = finding("caution", {COLLEAGUE: Action.TAG, PARENT: Action.CONFIRM})
    outcomes = {COLLEAGUE: (INTERNAL, Action.TAG), PARENT: (OUTBOUND, Action.CONFIRM)}

    assert answer(transaction(COLLEAGUE, PARENT), verdict(outcomes, found)).add == (("X-Gatepost-Tag", "caution"),)


def test_forged_headers_of_ours_are_removed_from_the_last_to_the_first() -> None:
    """Postfix counts anew after each removal, so the order keeps the indexes true."""
    message = transaction(
        headers=(
            (b"X-Gatepost-Tag", b" a"),
            (b"Subject", b" s"),
            (b"x-gatepost-tag", b" b"),
            (b"X-GATEPOST-New", b" c"),
        )
    )

    assert [(each.name, each.index) for each in stale_headers(message)] == [
        ("X-GATEPOST-New", 1),
        ("x-gatepost-tag", 2),
        ("X-Gatepost-Tag", 1),
    ]


def test_troubles_have_the_codes_of_the_standards() -> None:
    """RFC 3463 and RFC 5248: a client acts on the digits."""
    codes = [
        (each.reply.code, each.reply.status)
        for each in (tempfail("S"), too_large("S"), bad_address("S"))
        if each.reply
    ]

    assert codes == [(451, "4.3.0"), (552, "5.3.4"), (553, "5.6.7")]
