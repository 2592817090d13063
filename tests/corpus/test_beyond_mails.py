"""The scenarios that are no mails with a verdict: what goes wrong around them, and where each is tried.

Most of them need a daemon, a store or a Postfix, so they are tried where those are; what needs only a message and
the policy is tried here.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.corpus.judging import inspected
from support.mail import attachment, inspection, policy, settings, transaction

from gatepost_config.words import Action
from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.inspection.model import FileClass
from gatepost_milter.policy.policy import Policy, load

HERE = "tests/corpus/test_beyond_mails.py"
TRIED: Mapping[str, tuple[str, ...]] = {
    # A scanner that is away is a defect, and the mail is held as could-not-be-inspected; a 451 would stop all mail
    # for as long as nobody mends the scanner.
    "the scanner is down": (
        "tests/unit/test_clamd.py::test_no_daemon_is_told",
        "tests/unit/test_clamd.py::test_a_daemon_that_hangs_costs_its_deadline_and_no_more",
        f"{HERE}::test_what_a_scanner_has_not_seen_is_held",
    ),
    "the disk is full before the message is stored": (
        "tests/unit/test_session.py::test_a_disk_that_is_full_is_a_tempfail",
        "tests/unit/test_gate.py::test_a_store_that_cannot_commit_makes_a_hold_a_tempfail",
        "tests/store/test_databases.py::test_a_full_database_is_a_store_error_and_leaves_nothing",
        "tests/e2e/test_troubles.py::test_a_disk_without_room_stops_holds_and_nothing_else",
    ),
    "two rules at once": (f"{HERE}::test_of_two_rules_the_stricter_decides_and_both_are_told",),
    "one recipient is exempt and another is not": (f"{HERE}::test_an_exemption_spares_one_recipient_of_two",),
    "a Message-ID that was used before": (
        "tests/unit/test_gate.py::test_another_message_has_another_key",
        "tests/store/test_contract.py::test_a_retry_joins_for_five_days_whatever_became_of_it",
    ),
    "8-bit header fields": ("tests/e2e/test_letters.py::test_eight_bit_fields_pass_unchanged",),
    "a message of 500 parts": (
        f"{HERE}::test_a_message_of_five_hundred_parts_is_looked_through",
        "tests/fuzz/test_found.py::test_parts_with_several_headers_do_not_multiply_past_the_limit",
    ),
    "a zip bomb": ("tests/unit/test_containers_zip.py::test_a_zip_bomb_ends_at_its_bound",),
    "a sender in another alphabet": ("tests/e2e/test_letters.py::test_addresses_in_other_alphabets",),
    "a group address in To, and no To at all": (
        f"{HERE}::test_parents_in_a_group_are_seen_and_without_a_field_nobody_is",
        "tests/unit/test_recipients.py::test_addresses_are_read_as_a_person_would",
    ),
    "a policy with an unknown key": ("tests/bad_config/33-unknown-key-and-unquoted-version",),
    "a reload during a transaction": (
        "tests/unit/test_daemon.py::test_twenty_reloads_under_load_lose_no_message",
        "tests/unit/test_daemon.py::test_a_broken_configuration_keeps_the_old_generation_and_says_why",
    ),
}
"""By what goes wrong: the tests that try it."""

TWO = """
rules:
  - {id: mark, title: Mark, find: attachments, action: tag, say: "{names}"}
  - id: hold
    title: Hold
    find: attachments.filter(a, a.executable)
    action: quarantine
    queue: it-support
    say: "{names}"
exemptions:
  - {who: head@school.example, party: recipient, rule: hold, until: 2026-12-24, approved_by: the Director of IT}
"""
PARENTS = [f"parent{number}@gmail.com" for number in range(4)]


@pytest.fixture(scope="module")
def kings() -> Policy:
    """King's policy, without a directory: households are guessed by domain."""
    return load(settings(policy="kings-college"), tested=False)


@pytest.mark.parametrize("tests", [pytest.param(tests, id=what) for what, tests in TRIED.items()])
def test_what_goes_wrong_is_tried_where_it_is_said(tests: tuple[str, ...], root: Path) -> None:
    """A pointer to a test that was renamed or dropped proves nothing."""
    for pointer in tests:
        path, _, name = pointer.partition("::")
        assert (root / path).exists(), pointer
        if name:
            module = ast.parse((root / path).read_text(encoding="utf-8"))
            assert name in {each.name for each in module.body if isinstance(each, ast.FunctionDef)}, pointer


def test_of_two_rules_the_stricter_decides_and_both_are_told(tmp_path: Path) -> None:
    """The strictest wins for each recipient; all findings are kept and explained."""
    program = attachment("setup.exe", FileClass.EXECUTABLE)
    verdict = policy(tmp_path, TWO).judge(transaction("teacher@school.example"), inspection(program))
    assert verdict.action is Action.QUARANTINE
    assert [finding.rule for finding in verdict.findings] == ["mark", "hold"]


def test_an_exemption_spares_one_recipient_of_two(tmp_path: Path) -> None:
    """What is clean for one goes on to that one, though the other's copy is held."""
    program = attachment("setup.exe", FileClass.EXECUTABLE)
    message = transaction("head@school.example", "teacher@school.example")
    verdict = policy(tmp_path, TWO).judge(message, inspection(program))
    assert [each.action for each in verdict.outcomes] == [Action.TAG, Action.QUARANTINE]


def test_what_a_scanner_has_not_seen_is_held(kings: Policy) -> None:
    """Never a silent pass: a reviewer sees it, and other mail waits for nobody."""
    verdict = kings.judge(transaction("teacher@school.example"), inspection(defects=["clamd-unavailable"]))
    assert verdict.action is Action.QUARANTINE
    assert [finding.rule for finding in verdict.findings] == ["could-not-be-inspected"]


def test_a_message_of_five_hundred_parts_is_looked_through(kings: Policy, inspectors: Inspectors) -> None:
    """The program in the last of them is found."""
    part = b"--b\r\nContent-Type: text/plain\r\n\r\nword\r\n"
    last = b'--b\r\nContent-Type: application/octet-stream; name="a.exe"\r\n\r\nMZ\r\n--b--\r\n'
    head = b"From: a@outside.example\r\nTo: t@school.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    verdict = kings.judge(transaction("t@school.example"), inspected(head + part * 499 + last, inspectors))
    assert verdict.action is Action.QUARANTINE


@pytest.mark.parametrize(
    ("field", "action"),
    [
        (f"To: Parents: {', '.join(PARENTS)};\r\n", Action.CONFIRM),
        ("To: undisclosed-recipients:;\r\n", Action.PASS),
        ("", Action.PASS),
    ],
    ids=["a group", "an empty group", "no field"],
)
def test_parents_in_a_group_are_seen_and_without_a_field_nobody_is(
    field: str, action: Action, kings: Policy, inspectors: Inspectors
) -> None:
    """Members of a group (RFC 5322 section 3.4) are as visible as anybody; who is only in the envelope is not."""
    mail = f"From: teacher@school.example\r\n{field}Subject: York\r\n\r\nDear all,\r\nsee you there.\r\n".encode()
    sent = transaction(*PARENTS, login="teacher", sender="teacher@school.example")
    assert kings.judge(sent, inspected(mail, inspectors, texts=True)).action is action
