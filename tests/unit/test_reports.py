"""A report address: what somebody known sends there opens a case, in the commit of the notice to its role."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.gates import TEACHER, Judge, Keeper, finding, inspection, transaction, verdict

from gatepost_config.documents import load_policy
from gatepost_config.errors import ConfigError
from gatepost_config.words import Action, Direction
from gatepost_milter.gate import Gate
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.verdict import Verdict
from gatepost_milter.replies import Answer, Disposition
from gatepost_quarantine.cases import CaseKind
from gatepost_quarantine.held import NoticeKind

REPORT = "report-mail@school.example"
INTERNAL = Direction.INTERNAL
DELIVERED = verdict({REPORT: (INTERNAL, Action.PASS)})


def run(given: Verdict, *, found: Inspection | None = None, keeper: Keeper | None = None) -> tuple[Answer, Keeper]:
    """One message through a gate that knows a report address of the safeguarding lead."""
    kept = keeper or Keeper()
    seen = found or replace(inspection(REPORT), subject="Fwd: a worrying letter", message_id="<fwd@pc.example>")
    gate = Gate(
        inspect=lambda content, *, deadline, hashes=False: seen,
        policy=Judge(given, report_addresses={REPORT: "dsl"}),
        store=kept,
        gateway="gw.school.example",
    )
    message = transaction(*(each.recipient.upper() for each in given.outcomes))
    if given.held:
        message = transaction(*(each.recipient for each in given.outcomes))
    return gate.process(message), kept


def test_a_reported_mail_is_delivered_and_opens_a_case_for_its_role() -> None:
    """The role is told at once, with what it needs to find the mail, and nothing is held back."""
    answer, kept = run(DELIVERED)
    assert answer.disposition is Disposition.ACCEPT
    (case,) = kept.cases
    assert (case.kind, case.queue, case.opened_by) == (CaseKind.REPORT, "dsl", TEACHER)
    assert (case.title, case.reference, case.held) == ("Fwd: a worrying letter", "<fwd@pc.example>", ())
    (told,) = kept.notices
    assert (told.kind, told.to) == (NoticeKind.REPORT, "dsl@school.example")
    assert any(case.id in line for line in told.context["lines"])
    assert case.id in told.context["closing"]
    assert answer.facts["cases"] == [case.id]


def test_a_reported_mail_that_is_held_belongs_to_its_case() -> None:
    """Whoever reports a virus sends a virus: the rule acts, and the report arrives all the same."""
    held = verdict({REPORT: (INTERNAL, Action.QUARANTINE)}, finding("exe", {REPORT: Action.QUARANTINE}))
    answer, kept = run(held)
    assert answer.disposition is Disposition.DISCARD
    (case,) = kept.cases
    assert case.held == (kept.held[0].id,)


def test_of_a_sealed_mail_nothing_is_told() -> None:
    sealed = verdict({REPORT: (INTERNAL, Action.SEAL)}, finding("known", {REPORT: Action.SEAL}))
    _answer, kept = run(sealed)
    (case,) = kept.cases
    assert case.title == "A mail that was reported"
    assert "worrying" not in repr(kept.notices)


def test_nobody_from_outside_and_no_machine_opens_a_case() -> None:
    """Else a robot could open ten thousand in a night."""
    outside = verdict({REPORT: (Direction.INBOUND, Action.PASS)}, sender="")
    automatic = replace(inspection(REPORT), automatic=True)
    for given, found in ((outside, None), (DELIVERED, automatic)):
        answer, kept = run(given, found=found)
        assert answer.disposition is Disposition.ACCEPT
        assert (kept.cases, kept.notices) == ([], [])


def test_a_retry_opens_no_second_case_and_a_store_that_is_away_keeps_the_mail_with_the_client() -> None:
    keeper = Keeper()
    for _ in range(2):
        run(DELIVERED, keeper=keeper)
    assert len(keeper.cases) == len(keeper.notices) == 1
    answer, _kept = run(DELIVERED, keeper=Keeper(broken=True))
    assert answer.disposition is Disposition.TEMPFAIL


@pytest.mark.parametrize(("role", "good"), [("dsl", True), ("dls", False)])
def test_a_policy_names_its_report_addresses(tmp_path: Path, role: str, good: bool) -> None:
    """A role that is misspelt would open cases that nobody may see."""
    document = tmp_path / "mine.yaml"
    document.write_text(
        "name: mine\ntitle: Mine\nversion: '1'\nroles:\n"
        "  dsl: {title: the DSL, mailboxes: ['dsl@{domain}']}\n"
        f"  report-mail: {{title: Reports, mailboxes: ['report-mail@{{domain}}'], opens_case_for: {role}}}\n"
        "rules:\n"
        "  - {id: some-rule, title: A rule, find: 'false', action: pass, say: Nothing.}\n"
    )
    if good:
        assert load_policy(document).roles["report-mail"].opens_case_for == "dsl"
        return
    with pytest.raises(ConfigError, match=r"mine.yaml:6.*there is no role 'dls'"):
        load_policy(document)
