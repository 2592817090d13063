"""The gate keeps before it answers, tells only those who may be told, and never names a Bcc recipient."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest
from support.gates import HEADERS, PARENT, TEACHER, Judge, Keeper, finding, inspection, transaction, verdict

from gatepost_config.words import Action, Direction, Explanation
from gatepost_milter import gate as gate_module
from gatepost_milter.disclosure import UNDISCLOSED
from gatepost_milter.gate import Deadlines, Gate, Step, identify
from gatepost_milter.inspection.inspectors import InspectorsBusyError
from gatepost_milter.inspection.model import Attachment, Inspection
from gatepost_milter.policy.verdict import Verdict
from gatepost_milter.replies import Answer, Disposition
from gatepost_milter.spool import Spool
from gatepost_milter.transaction import Transaction
from gatepost_quarantine.held import Notice, NoticeKind

COLLEAGUE = "colleague@school.example"
HIDDEN = "hidden@home.example"
STRANGER = "stranger@elsewhere.example"
INBOUND, INTERNAL, OUTBOUND = Direction.INBOUND, Direction.INTERNAL, Direction.OUTBOUND
HOLD = verdict({PARENT: (OUTBOUND, Action.QUARANTINE)})


def run(
    given: Verdict,
    message: Transaction | None = None,
    found: Inspection | None = None,
    keeper: Keeper | None = None,
) -> tuple[Answer, Keeper]:
    """One message through a gate whose judge has made up its mind."""
    kept = keeper or Keeper()
    seen = found or inspection(PARENT)
    gate = Gate(
        inspect=lambda content, *, deadline, hashes=False: seen,
        policy=Judge(given),
        store=kept,
        gateway="gw.school.example",
    )
    return gate.process(message or transaction(*(each.recipient for each in given.outcomes))), kept


def addressees(notices: Sequence[Notice]) -> set[tuple[NoticeKind, str]]:
    return {(notice.kind, notice.to) for notice in notices}


def test_a_clean_message_never_touches_the_store() -> None:
    """A store that cannot commit must not stop clean mail."""
    answer, kept = run(verdict({PARENT: (OUTBOUND, Action.PASS)}), keeper=Keeper(broken=True))

    assert answer.disposition is Disposition.ACCEPT
    assert (kept.held, kept.notices) == ([], [])


def test_a_store_that_cannot_commit_makes_a_hold_a_tempfail() -> None:
    """The client keeps what we cannot keep; it is never discarded."""
    found = finding("exe", {PARENT: Action.QUARANTINE})
    answer, _ = run(verdict({PARENT: (OUTBOUND, Action.QUARANTINE)}, found), keeper=Keeper(broken=True))

    assert answer.disposition is Disposition.TEMPFAIL
    assert answer.reply is not None
    assert (answer.reply.code, answer.reply.status) == (451, "4.3.0")
    assert answer.facts["detail"] == "store: disk full"


def test_a_warning_that_cannot_be_owed_is_a_tempfail_too() -> None:
    """A policy that warns must not let the message by without the warning."""
    found = finding("w", {PARENT: Action.WARN})
    answer, _ = run(verdict({PARENT: (OUTBOUND, Action.WARN)}, found), keeper=Keeper(broken=True))

    assert answer.disposition is Disposition.TEMPFAIL


def test_what_is_held_is_the_message_and_the_envelope_of_those_held() -> None:
    """A release must be able to send what was sent, to those who did not get it."""
    found = finding("exe", {PARENT: Action.QUARANTINE})
    given = verdict({PARENT: (OUTBOUND, Action.QUARANTINE), COLLEAGUE: (INTERNAL, Action.PASS)}, found)
    message = transaction(PARENT, COLLEAGUE)
    answer, kept = run(given, message)

    (held,) = kept.held
    assert kept.contents == [b"".join(message.content.chunks())]
    assert [each.address for each in held.recipients] == [PARENT]
    assert (held.sender, held.envelope.sender, held.envelope.login) == (TEACHER, TEACHER, TEACHER)
    assert (held.queue, held.queue_id, held.subject) == ("it-support", "4QUEUEID", "Trip")
    assert held.from_header == f"Teacher <{TEACHER}>"
    assert [event.held_id for event in kept.events] == [held.id]
    assert answer.delete == (f"<{PARENT}>",)


def test_a_recipient_named_twice_is_held_once() -> None:
    """RCPT may repeat an address; a release must not send the message to it twice."""
    found = finding("exe", {PARENT: Action.QUARANTINE})
    given = verdict({PARENT: (OUTBOUND, Action.QUARANTINE)}, found)
    doubled = Verdict(
        sender=given.sender,
        explanation=Explanation(
            support_id="S", policy=given.explanation.policy, outcomes=given.outcomes * 2, findings=(found,)
        ),
    )
    answer, kept = run(doubled, transaction(PARENT, PARENT))

    assert [each.address for each in kept.held[0].recipients] == [PARENT]
    assert answer.disposition is Disposition.DISCARD


def test_a_retry_joins_the_first_hold_and_owes_nothing_again() -> None:
    """If our answer was lost after the commit, the client sends again: one hold, one notice."""
    found = finding("exe", {PARENT: Action.QUARANTINE}, tell=("it-support",))
    given = verdict({PARENT: (OUTBOUND, Action.QUARANTINE)}, found)
    _, kept = run(given)
    owed = len(kept.notices)
    answer, _ = run(given, keeper=kept)

    assert answer.disposition is Disposition.DISCARD
    assert answer.facts["joined"] is True
    assert (len(kept.held), len(kept.notices)) == (1, owed)


def test_a_known_sender_is_told_of_a_hold_and_a_role_once() -> None:
    """Two findings that tell the same role make one notice to each of its mailboxes."""
    first = finding("exe", {PARENT: Action.QUARANTINE}, tell=("it-support", "sender"))
    second = finding("macro", {PARENT: Action.CONFIRM}, tell=("it-support", "dsl"))
    _, kept = run(verdict({PARENT: (OUTBOUND, Action.QUARANTINE)}, first, second))

    assert addressees(kept.notices) == {
        (NoticeKind.HELD_SENDER, TEACHER),
        (NoticeKind.ROLE, "it@school.example"),
        (NoticeKind.ROLE, "dsl@school.example"),
    }
    assert len(kept.notices) == 3
    assert {notice.held_id for notice in kept.notices} == {kept.held[0].id}
    assert len({notice.message_id for notice in kept.notices}) == 3


def test_an_unknown_sender_is_never_told() -> None:
    """A notice to an address that anybody can write into MAIL FROM would be backscatter."""
    found = finding("exe", {COLLEAGUE: Action.QUARANTINE}, tell=("sender", "recipients"))
    given = verdict({COLLEAGUE: (INBOUND, Action.QUARANTINE)}, found, sender="")
    _, kept = run(given, transaction(COLLEAGUE, sender=STRANGER, login=""))

    assert addressees(kept.notices) == {(NoticeKind.HELD_RECIPIENT, COLLEAGUE)}
    assert kept.held[0].sender == ""


@pytest.mark.parametrize("automatic", [True, False], ids=["Auto-Submitted", "null sender"])
def test_a_machine_is_never_answered(*, automatic: bool) -> None:
    """RFC 3834: an answer to an answer may go on for ever."""
    found = finding("exe", {PARENT: Action.WARN})
    given = verdict({PARENT: (OUTBOUND, Action.WARN)}, found)
    message = transaction(sender=TEACHER if automatic else "")
    _, kept = run(given, message, inspection(PARENT, automatic=automatic))

    assert kept.notices == []


def test_outside_recipients_are_never_told() -> None:
    """The school's business with its sender is not theirs, and they did not ask for mail of ours."""
    found = finding("exe", {PARENT: Action.QUARANTINE, COLLEAGUE: Action.QUARANTINE}, tell=("recipients",))
    outcomes = {PARENT: (OUTBOUND, Action.QUARANTINE), COLLEAGUE: (INTERNAL, Action.QUARANTINE)}
    _, kept = run(verdict(outcomes, found))

    assert (NoticeKind.HELD_RECIPIENT, COLLEAGUE) in addressees(kept.notices)
    assert PARENT not in {notice.to for notice in kept.notices}


def test_a_warning_goes_to_the_sender_outbound_and_to_the_recipients_inbound() -> None:
    """Whoever can do something about it is told."""
    outbound = verdict({PARENT: (OUTBOUND, Action.WARN)}, finding("w", {PARENT: Action.WARN}))
    _, kept = run(outbound)
    assert addressees(kept.notices) == {(NoticeKind.WARNING, TEACHER)}
    assert len(kept.owed) == 1

    inbound = verdict({COLLEAGUE: (INBOUND, Action.WARN)}, finding("w", {COLLEAGUE: Action.WARN}), sender="")
    _, kept = run(inbound, transaction(COLLEAGUE, sender=STRANGER, login=""))
    assert addressees(kept.notices) == {(NoticeKind.WARNING_RECIPIENT, COLLEAGUE)}


def test_a_warning_without_a_message_id_is_remembered_for_a_short_time_only() -> None:
    """Two equal mails without Message-ID a day apart are two mails, and each deserves its warning."""
    warned = verdict({PARENT: (OUTBOUND, Action.WARN)}, finding("w", {PARENT: Action.WARN}))
    for headers, lasting in ([(b"Subject", b" x")], False), ([(b"Message-ID", b" <a@b.example>")], True):
        _, kept = run(warned, transaction(PARENT, headers=headers))
        assert kept.lasting == [lasting]


def test_a_refused_message_tells_the_roles_and_leaves_the_sender_to_the_reply() -> None:
    """The SMTP reply has told the sender already."""
    found = finding("exe", {PARENT: Action.REJECT}, tell=("it-support", "sender"))
    answer, kept = run(verdict({PARENT: (OUTBOUND, Action.REJECT)}, found))

    assert answer.disposition is Disposition.REJECT
    assert addressees(kept.notices) == {(NoticeKind.ROLE, "it@school.example")}


def test_no_notice_names_a_hidden_recipient_or_private_evidence() -> None:
    """A notice may be passed on: Bcc addresses and found secrets must not be in it, in any field."""
    everyone = dict.fromkeys((PARENT, COLLEAGUE, HIDDEN), Action.QUARANTINE)
    found = finding("exe", everyone, tell=("it-support", "recipients"))
    outcomes = {
        PARENT: (OUTBOUND, Action.QUARANTINE),
        COLLEAGUE: (INTERNAL, Action.QUARANTINE),
        HIDDEN: (OUTBOUND, Action.QUARANTINE),
    }
    _, kept = run(verdict(outcomes, found), found=inspection(PARENT))

    contexts = {notice.kind: json.dumps(dict(notice.context)) for notice in kept.notices}
    assert not [kind for kind, text in contexts.items() if HIDDEN in text or "hunter2" in text]
    assert UNDISCLOSED in contexts[NoticeKind.HELD_SENDER]
    assert PARENT in contexts[NoticeKind.HELD_SENDER]
    # COLLEAGUE is not in To or Cc either: only their own notice may say that they were to get it.
    assert COLLEAGUE not in contexts[NoticeKind.HELD_SENDER]
    assert COLLEAGUE in contexts[NoticeKind.HELD_RECIPIENT]


def test_a_notice_still_shows_the_finding_when_all_its_recipients_are_hidden() -> None:
    """A sender who used Bcc only must still read why the message is held."""
    found = finding("exe", {HIDDEN: Action.QUARANTINE})
    _, kept = run(verdict({HIDDEN: (OUTBOUND, Action.QUARANTINE)}, found), found=inspection())

    (notice,) = kept.notices
    shown = Explanation.from_json(notice.context["explanation"])
    assert [each.rule for each in shown.acting()] == ["exe"]


def test_a_sealed_message_is_told_of_by_identifiers_only() -> None:
    """KCS 1.10: nothing of the content may be copied, not even its subject or a file name."""
    found = finding("abuse", {PARENT: Action.SEAL}, tell=("dsl",))
    _, kept = run(verdict({PARENT: (OUTBOUND, Action.SEAL)}, found))

    (notice,) = kept.notices
    assert (notice.kind, notice.to) == (NoticeKind.ROLE, "dsl@school.example")
    text = json.dumps(dict(notice.context))
    assert "setup.exe" not in text
    assert "Trip" not in text


def test_no_free_inspector_is_a_tempfail_and_no_defect() -> None:
    """A full house is no bug: the client comes again, and nobody is paged."""

    def busy(content: Spool, *, deadline: float, hashes: bool = False) -> Inspection:
        raise InspectorsBusyError("none in 20 s")

    gate = Gate(inspect=busy, policy=Judge(verdict({})), store=Keeper(), gateway="gw")

    assert gate.process(transaction()).disposition is Disposition.TEMPFAIL


@pytest.mark.parametrize(("second", "hashed"), [("the same", "5ha"), ("another size", ""), ("busy", "")])
def test_what_is_held_carries_hashes(second: str, hashed: str) -> None:
    """Reviewers search by hash. One that may be of another file is none; the message is held all the same."""
    store = Keeper()
    inspect = Reading(second)
    Gate(inspect=inspect, policy=Judge(HOLD), store=store, gateway="gw").process(transaction())

    assert inspect.asked == [False, True]
    assert [each["sha256"] for held in store.held for each in held.attachments] == [hashed]


def test_what_passes_is_read_once() -> None:
    """Hashing a large attachment takes longer than judging it."""
    inspect = Reading("the same")
    given = verdict({PARENT: (OUTBOUND, Action.WARN)})
    Gate(inspect=inspect, policy=Judge(given), store=Keeper(), gateway="gw").process(transaction())

    assert inspect.asked == [False]


class Reading:
    """An inspection room that finds one attachment; what it does when it is asked for hashes is given."""

    def __init__(self, second: str) -> None:
        self.asked: list[bool] = []
        self._second = second

    def __call__(self, content: Spool, *, deadline: float, hashes: bool = False) -> Inspection:
        self.asked.append(hashes)
        if hashes and self._second == "busy":
            raise InspectorsBusyError("none in 10 s")
        size = 11 if hashes and self._second == "another size" else 10
        found = Attachment(path="part 2", part="2", name="setup.exe", size=size, sha256="5ha" if hashes else "")
        return replace(inspection(), attachments=(found,))


def test_large_messages_take_turns_and_small_ones_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight large mails at once must not need eight times the memory, nor hold up a note to a parent."""
    monkeypatch.setattr(gate_module, "LARGE", 1000)
    given = verdict({PARENT: (OUTBOUND, Action.PASS)})
    inside, go_on = Event(), Event()

    def inspect(content: Spool, *, deadline: float, hashes: bool = False) -> Inspection:
        if content.size > 1000:
            inside.set()
            assert go_on.wait(20)
        return inspection()

    gate = Gate(
        inspect=inspect, policy=Judge(given), store=Keeper(), gateway="gw", deadlines=Deadlines(login=0.05)
    )
    with ThreadPoolExecutor(1) as first:
        large = first.submit(gate.process, transaction(body=b"x" * 1000))
        assert inside.wait(20)
        try:
            assert gate.process(transaction(body=b"y" * 1000)).disposition is Disposition.TEMPFAIL
            assert gate.process(transaction()).disposition is Disposition.ACCEPT
        finally:
            go_on.set()
        assert large.result().disposition is Disposition.ACCEPT
    assert gate.process(transaction(body=b"z" * 1000)).disposition is Disposition.ACCEPT


def test_a_sender_who_waits_has_the_shorter_deadline() -> None:
    """A person at a mail program waits for the answer; another server does not mind."""
    deadlines = []

    def inspect(content: Spool, *, deadline: float, hashes: bool = False) -> Inspection:
        deadlines.append(deadline)
        return inspection()

    given = verdict({PARENT: (OUTBOUND, Action.PASS)})
    gate = Gate(
        inspect=inspect, policy=Judge(given), store=Keeper(), gateway="gw", deadlines=Deadlines(login=2, other=6)
    )
    gate.process(transaction(login=TEACHER))
    gate.process(transaction(login=""))

    assert deadlines == [2, 6]


def test_the_steps_are_taken_in_order() -> None:
    """inspect, judge, hold, reply: the answer comes last."""
    steps: list[Step] = []
    given = verdict({PARENT: (OUTBOUND, Action.PASS)})
    gate = Gate(
        inspect=lambda content, *, deadline, hashes=False: inspection(),
        policy=Judge(given),
        store=Keeper(),
        gateway="gw",
    )
    gate.process(transaction(), enter=steps.append)

    assert steps == [Step.INSPECT, Step.JUDGE, Step.HOLD, Step.REPLY]


def test_the_same_message_has_the_same_key_whatever_carried_it() -> None:
    """A retry comes over another connection, under another queue id, perhaps with recipients in another order."""
    first = identify(transaction(PARENT, COLLEAGUE, queue_id="4ONE"))
    again = identify(transaction(COLLEAGUE, PARENT, queue_id="4TWO"))

    assert first == again
    assert first.has_message_id


@pytest.mark.parametrize(
    "other",
    [
        transaction(body=b"Hello!\r\n"),
        transaction(login="other@school.example"),
        transaction(sender="other@school.example"),
        transaction(COLLEAGUE),
        transaction(PARENT, COLLEAGUE),
        transaction(headers=(*HEADERS, (b"X", b" y"))),
        transaction(headers=((b"From", b" x"), *HEADERS[1:])),
    ],
    ids=["body", "login", "sender", "recipient", "more recipients", "more header", "other header"],
)
def test_another_message_has_another_key(other: Transaction) -> None:
    """If two messages shared a key, the second would be discarded as a retry: that is lost mail."""
    assert identify(other).key != identify(transaction()).key


def test_what_postfix_adds_to_a_local_submission_does_not_count() -> None:
    """A retry through sendmail(1) gets a new Message-Id, made of the queue id, and a new Date."""
    keep = HEADERS[:2]

    def local(queue_id: str, minute: int) -> Transaction:
        added = (
            (b"Date", b" Mon, 5 Jan 2026 09:%02d:00 +0000" % minute),
            (b"Message-Id", b" <20260105090000.%s@gw>" % queue_id.encode()),
        )
        return transaction(headers=(*keep, *added), queue_id=queue_id)

    first, again = identify(local("4AAAA", 1)), identify(local("4BBBB", 2))

    assert first.key == again.key
    assert not first.has_message_id


def test_the_date_counts_beside_a_message_id_of_the_client() -> None:
    """Only what Postfix added is left out; the client's own Date is part of its message."""
    later = (*HEADERS[:2], (b"Date", b" Tue, 6 Jan 2026 09:00:00 +0000"), HEADERS[3])

    assert identify(transaction(headers=later)).key != identify(transaction()).key


def test_header_and_body_cannot_be_shifted_into_each_other() -> None:
    """The pieces are hashed with their lengths: a field moved to the body is another message."""
    inside = transaction(headers=((b"A", b" 1"), (b"B", b" 2")), body=b"x")
    outside = transaction(headers=((b"A", b" 1"),), body=b"B: 2\r\n\r\nx")

    assert identify(inside).key != identify(outside).key
