"""Every route for every role: who gets in, who does not, and what is never found by those who may not see it."""

from __future__ import annotations

import pytest
from support.console import ROLES, Desk, safeguarding, sealed
from support.quarantine import MESSAGE, held

from gatepost_quarantine.console.guard import CSP, FRAME_CSP
from gatepost_quarantine.console.rights import Right
from gatepost_quarantine.console.web import DOORS, Door
from gatepost_quarantine.held import State

LETTER = b"From: a@b.example\r\nSubject: x\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n"

# What each role gets for an ordinary, a confidential and a sealed message at a door that asks for this right.
_REVIEWER = (Right.LIST, Right.READ, Right.DOWNLOAD, Right.NOTE, Right.DELETE)
ALLOWED = {
    "vic": {"ordinary": {Right.LIST}},
    "rita": {"ordinary": set(_REVIEWER)},
    "sam": {"confidential": set(_REVIEWER)},
    "pat": {"ordinary": {Right.LIST}},
    "aud": {"ordinary": {Right.LIST}},
    "adm": {},
    "both": {"ordinary": {Right.LIST}, "confidential": set(_REVIEWER)},
}


def doors_of_messages() -> list[Door]:
    """The doors whose path names a message."""
    return [door for door in DOORS if "{held_id}" in door.path]


@pytest.mark.slow
@pytest.mark.parametrize("name", ROLES)
def test_every_door_of_a_message_opens_only_to_those_who_may(desk: Desk, name: str) -> None:
    """Ordinary staff do not even learn that a confidential message exists: for them it is not there."""
    kinds = {"ordinary": held(LETTER), "confidential": safeguarding(), "sealed": sealed()}
    for message in kinds.values():
        desk.keep(message, LETTER if message.size == len(LETTER) else MESSAGE)
    browser = desk.browser(name)
    for door in doors_of_messages():
        for kind, message in kinds.items():
            path = door.path.replace("{held_id}", message.id).replace("{index:int}", "0")
            answer = browser.get(path) if door.method == "GET" else browser.post(path, {"note": "a note"})
            seen = "ordinary" if kind == "sealed" else kind
            allowed = door.right in ALLOWED[name].get(seen, set())
            if kind == "sealed" and door.right in (Right.READ, Right.DOWNLOAD):
                allowed = False
            if allowed:
                assert answer.status_code not in (401, 403, 404) or kind != "ordinary", (door, kind, answer.text)
            else:
                assert answer.status_code in (403, 404), (door, kind, answer.text)
            if not ALLOWED[name].get(seen):
                assert message.subject not in answer.text


@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.method} {door.path}")
def test_no_door_but_the_sign_in_opens_to_strangers(desk: Desk, door: Door) -> None:
    """And every answer, whatever it is, carries the security headers."""
    message = desk.keep(held())
    path = door.path.replace("{held_id}", message.id).replace("{index:int}", "0")
    browser = desk.browser()
    answer = browser.get(path) if door.method == "GET" else browser.post(path, {})
    if door.right is None:
        assert door.path.startswith("/sign-in")
    else:
        assert answer.status_code in (303, 401)
        assert "Invoice" not in answer.text
    assert answer.headers["content-security-policy"] == CSP
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


def test_our_policy_allows_no_inline_script_and_no_other_site() -> None:
    """The words that would undo it are not in it."""
    assert "default-src 'none'" in CSP
    for forbidden in ("unsafe", "http:", "https:", "data:", "*"):
        assert forbidden not in CSP
        assert forbidden not in FRAME_CSP
    assert "sandbox" in FRAME_CSP
    assert "allow-" not in FRAME_CSP


def test_a_message_in_html_has_a_policy_of_its_own(desk: Desk) -> None:
    """Nothing loads, nothing runs, and only our own pages may show it in a frame."""
    message = desk.keep(held(LETTER), LETTER)
    answer = desk.browser("rita").get(f"/held/{message.id}/html/0")
    assert answer.headers["content-security-policy"] == FRAME_CSP
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"


def test_the_console_answers_only_to_its_own_name(desk: Desk) -> None:
    """A page elsewhere whose name is pointed at this machine gets nothing (DNS rebinding)."""
    assert desk.browser("rita").get("/queue", host="evil.example").status_code == 421


def test_queue_search_counts_and_neighbours_leave_out_what_is_not_yours(desk: Desk) -> None:
    """A number or a neighbour would tell that something is there."""
    desk.keep(safeguarding())
    ordinary = desk.keep(held())
    rita, sam = desk.browser("rita"), desk.browser("sam")
    for path in (
        "/queue",
        "/queue?q=concern",
        "/queue?tab=all",
        "/queue?rule=child-at-risk",
        "/queue/news?since=0",
    ):
        assert "Concern" not in rita.get(path).text
        assert "child-at-risk" not in rita.get(path).text.replace("rule=child-at-risk", "").replace(
            "Rule: Child at risk", ""
        )
    assert "1 waits" in rita.get("/queue").text
    assert "Concern" in sam.get("/queue").text
    assert "Invoice" not in sam.get("/queue?tab=all").text
    assert "Child at risk" not in rita.get("/overview").text
    assert "Child at risk" in sam.get("/overview").text
    detail = rita.get(f"/held/{ordinary.id}").text
    assert 'id="after"' not in detail
    assert 'id="before"' not in detail
    assert rita.get("/queue?go=1&q=SAF-001").status_code == 200


def test_a_sealed_message_shows_its_frame_only(desk: Desk) -> None:
    """Nobody sees whom it is from or what it is called, wherever it appears."""
    message = desk.keep(sealed())
    rita = desk.browser("rita")
    pages = [
        rita.get("/queue"),
        rita.get(f"/held/{message.id}"),
        rita.get(f"/act?verb=deny&id={message.id}"),
        rita.post("/act", {"verb": "release", "id": message.id}),
        rita.get(f"/held/{message.id}/raw"),
        rita.get(f"/held/{message.id}/body"),
    ]
    assert "Sealed message" in pages[1].text
    for page in pages:
        assert "Never to be shown" not in page.text
        assert "secret.example" not in page.text
        assert "head@school.example" not in page.text
    assert desk.store.get(message.id).recipients[0].state is State.HELD


def test_private_evidence_is_for_those_who_may_read_the_message(desk: Desk) -> None:
    """A viewer sees which rule held it, not the words that it found."""
    message = desk.keep(safeguarding())
    assert "not safe at home" in desk.browser("sam").get(f"/held/{message.id}").text
    account = desk.review.account("sam")
    assert account is not None
    assert desk.browser("rita").get(f"/held/{message.id}").status_code == 404


def test_an_account_for_one_queue_sees_that_queue(desk: Desk) -> None:
    """The bursar's office reviews invoices, and nothing else."""
    bursar = desk.keep(held(queue="bursar", explanation=held().explanation.__class__.from_json({
        **held().explanation.to_json(), "findings": [], "support_id": "BUR-1",
    })))  # fmt: skip
    other = desk.keep(held(b"other", subject="For IT"), b"other")
    account = desk.review.account("rita")
    assert account is not None
    limited = type(account)(
        name="rita", title="Rita", password=account.password, roles=account.roles, queues=frozenset({"bursar"})
    )
    desk.review.keep_account(limited, actor="root", what="limited")
    rita = desk.browser("rita")
    assert rita.get(f"/held/{bursar.id}").status_code == 200
    assert rita.get(f"/held/{other.id}").status_code == 404
    assert "For IT" not in rita.get("/queue").text


@pytest.mark.parametrize(
    "path", ["/held/nothing", "/held/..%2f..%2fetc%2fpasswd", "/held/%00", "/queue?after=x-y"]
)
def test_an_address_that_makes_no_sense_is_no_error_of_ours(desk: Desk, path: str) -> None:
    """People edit addresses."""
    assert desk.browser("rita").get(path).status_code in (200, 404)
