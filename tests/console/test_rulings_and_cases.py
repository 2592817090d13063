"""Exemptions, blocks and cases as reviewers make them from a message."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.console import Desk, school_week
from support.quarantine import MESSAGE, held

from gatepost_quarantine.audit import Verb
from gatepost_quarantine.cases import EVERYTHING, CaseState
from gatepost_quarantine.rulings import RulingKind


def test_an_exemption_is_made_from_a_message_for_a_time_with_a_reason(desk: Desk) -> None:
    """It says whom and which rule; the message stays held; the history tells of it; it can be ended."""
    (message, *_) = school_week(desk, count=1)
    rita = desk.browser("rita")
    form = rita.get(f"/held/{message.id}/exempt").text
    assert "It is not proved who sent this" in form
    fields = {
        "rule": "executable-attachment",
        "recipient": "bursar@school.example",
        "file": message.attachments[0]["sha256"],
        "days": "7",
        "reason": "The bursar's new software",
    }
    done = rita.post(f"/held/{message.id}/exempt", fields)
    assert done.status_code == 303
    assert "still held" in rita.get(done.headers["location"]).text
    (ruling,) = desk.store.rulings(kind=RulingKind.EXEMPT)
    assert (ruling.rule, ruling.recipient, ruling.actor) == (
        "executable-attachment",
        "bursar@school.example",
        "rita",
    )
    assert timedelta(days=6.9) < ruling.expires_at - desk.clock() < timedelta(days=7)
    assert desk.store.events(message.id)[-1].verb is Verb.NOTE
    assert "The bursar&#39;s new software" in rita.get("/rulings").text
    assert rita.post("/rulings/end", {"id": ruling.id, "reason": ""}).status_code == 409
    assert rita.post("/rulings/end", {"id": ruling.id, "reason": "Installed"}).status_code == 303
    assert "The bursar&#39;s new software" not in rita.get("/rulings").text
    assert "ended by rita" in rita.get("/rulings?over=1").text


@pytest.mark.parametrize(
    "change",
    [
        {"rule": "another-rule"},
        {"rule": ""},
        {"recipient": "head@school.example"},
        {"recipient": ""},
        {"sender": "accounts@parkside.example"},
        {"file": "00"},
        {"days": "9999"},
        {"reason": "  "},
    ],
    ids=lambda change: next(iter(change.items())),
)
def test_a_ruling_can_only_say_what_the_message_offers(desk: Desk, change: dict[str, str]) -> None:
    """A form that was made up exempts nobody; nor does one that would exempt everybody."""
    (message, *_) = school_week(desk, count=1)
    fields = {"rule": "executable-attachment", "recipient": "bursar@school.example", "days": "7", "reason": "x"}
    answer = desk.browser("rita").post(f"/held/{message.id}/exempt", fields | change)
    assert answer.status_code == 409
    assert list(desk.store.rulings()) == []


def test_a_block_names_the_sender_that_the_envelope_names(desk: Desk) -> None:
    """Blocking one who only claims to be somebody harms nobody else: what matches is held, not refused."""
    message = desk.keep(held(MESSAGE))
    rita = desk.browser("rita")
    page = rita.get(f"/held/{message.id}/block").text
    assert "everybody at supplier.example" in page
    assert "Reason, which the senders of held mail read" in page
    answer = rita.post(
        f"/held/{message.id}/block", {"sender": "@supplier.example", "days": "30", "reason": "Phishing wave"}
    )
    assert answer.status_code == 303
    (block,) = desk.store.rulings(kind=RulingKind.BLOCK)
    assert block.sender == "@supplier.example"


def test_a_case_from_its_message_to_its_outcome(desk: Desk) -> None:
    """Opened, noted, another message added by its support id, closed; then nobody changes it any more."""
    first, second, *_ = school_week(desk, count=3)
    rita = desk.browser("rita")
    opened = rita.post(f"/held/{first.id}/case", {"title": "Lunch fraud", "kind": "breach", "queue": "it-support"})
    (case,) = desk.store.cases(sight=EVERYTHING)
    assert opened.headers["location"].startswith(f"/cases/{case.id}?")
    assert "Lunch fraud" in rita.get(f"/held/{first.id}").text
    rita.post(f"/cases/{case.id}/note", {"note": "Rang the caterer"})
    assert rita.post(f"/cases/{case.id}/link", {"message": "no-such-id"}).status_code == 409
    rita.post(f"/cases/{case.id}/link", {"message": second.explanation.support_id})
    page = rita.get(f"/cases/{case.id}").text
    for said in ("Rang the caterer", first.subject, second.subject, "does not expire"):
        assert said in page
    assert "until it is closed this message does not expire" in rita.get(f"/held/{first.id}").text
    assert rita.post(f"/cases/{case.id}/close", {"outcome": ""}).status_code == 409
    rita.post(f"/cases/{case.id}/close", {"outcome": "It was not them"})
    found = desk.store.case(case.id, sight=EVERYTHING)
    assert (found.case.state, found.case.outcome, found.case.held) == (
        CaseState.CLOSED,
        "It was not them",
        (first.id, second.id),
    )
    assert "does not expire" not in rita.get(f"/cases/{case.id}").text + rita.get(f"/held/{first.id}").text
    assert rita.post(f"/cases/{case.id}/note", {"note": "too late"}).status_code == 409
    assert "It was not them" in rita.get("/cases?state=closed").text


def test_a_case_that_goes_to_another_role_leaves_this_one(desk: Desk) -> None:
    """IT opens a case for the safeguarding lead, and sees it no more; so it is when a case is passed on."""
    first, second, *_ = school_week(desk, count=3)
    rita = desk.browser("rita")
    gone = rita.post(f"/held/{first.id}/case", {"title": "For the DSL", "kind": "breach", "queue": "dsl"})
    assert gone.headers["location"].startswith(f"/held/{first.id}?")
    rita.post(f"/held/{second.id}/case", {"title": "Ours", "kind": "other", "queue": "it-support"})
    (ours,) = (each for each in desk.store.cases(sight=EVERYTHING) if each.title == "Ours")
    passed = rita.post(f"/cases/{ours.id}/pass-on", {"queue": "dsl", "reason": "A child is named"})
    assert passed.headers["location"].startswith("/cases?")
    assert rita.get(f"/cases/{ours.id}").status_code == 404
    assert "A child is named" in desk.browser("sam").get(f"/cases/{ours.id}").text
