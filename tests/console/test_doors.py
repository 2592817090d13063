"""Every route for every role: who gets in, who does not, and what is never found by those who may not see it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.console import ROLES, Desk, safeguarding, sealed
from support.quarantine import MESSAGE, held

from gatepost_config.documents import load_policy
from gatepost_quarantine.cases import EVERYTHING, CaseFile
from gatepost_quarantine.console.guard import CSP, FRAME_CSP
from gatepost_quarantine.console.rights import Right
from gatepost_quarantine.console.web import DOORS, Door
from gatepost_quarantine.held import State
from gatepost_quarantine.rulings import Ruling, RulingKind

DIGEST = "1" * 64
LETTER = b"From: a@b.example\r\nSubject: x\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n"

# What each role gets for an ordinary, a confidential and a sealed message at a door that asks for this right.
_NEVER_SEALED = (Right.READ, Right.DOWNLOAD, Right.EXEMPT, Right.BLOCK, Right.TRY)
_REVIEWER = (*_NEVER_SEALED[:4], Right.LIST, Right.NOTE, Right.DELETE, Right.CASE_WORK)
ALLOWED = {
    "vic": {"ordinary": {Right.LIST}},
    "rita": {"ordinary": set(_REVIEWER)},
    "sam": {"confidential": set(_REVIEWER)},
    "pat": {"ordinary": {Right.LIST, Right.TRY}},
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
    kinds = {
        "ordinary": held(LETTER, attachments=({"name": "a.exe", "sha256": DIGEST},)),
        "confidential": safeguarding(),
        "sealed": sealed(),
    }
    for message in kinds.values():
        desk.keep(message, LETTER if message.size == len(LETTER) else MESSAGE)
    browser = desk.browser(name)
    for door in doors_of_messages():
        for kind, message in kinds.items():
            path = door.path.replace("{held_id}", message.id).replace("{index:int}", "0")
            fields = {"note": "a note", "sha256": DIGEST}
            answer = browser.get(path) if door.method == "GET" else browser.post(path, fields)
            seen = "ordinary" if kind == "sealed" else kind
            allowed = door.right in ALLOWED[name].get(seen, set())
            if kind == "sealed" and door.right in _NEVER_SEALED:
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


# What is about no held message: who gets in at all.
_ANYWHERE = {
    Right.OVERVIEW: set(ROLES),
    Right.POLICY: set(ROLES),
    Right.ACCOUNTS: {"adm"},
    Right.RULINGS: {"rita", "sam", "pat", "aud", "both"},
    Right.END_RULING: {"rita", "sam", "pat", "both"},
    Right.CASES: {"rita", "sam", "aud", "both"},
    Right.CASE_WORK: {"rita", "sam", "both"},
    Right.TRY: {"pat", "adm"},
    Right.LIST: set(ROLES) - {"adm"},
    Right.DELETE: {"rita", "sam", "both"},
    Right.SIGNED_IN: set(ROLES),
}


@pytest.mark.parametrize("name", ROLES)
def test_every_other_door_opens_only_to_the_roles_that_have_its_right(desk: Desk, name: str) -> None:
    """Whoever gets in may still be told that there is no such thing; whoever does not is told nothing else."""
    browser = desk.browser(name)
    for door in DOORS:
        if door.right is None or "{held_id}" in door.path or door.path == "/sign-out":
            continue
        path = door.path.replace("{case_id}", "nothing")
        answer = browser.get(path) if door.method == "GET" else browser.post(path, {})
        assert (answer.status_code == 403) == (name not in _ANYWHERE[door.right]), (door, answer.text)


def test_a_case_is_seen_by_its_role_alone(desk: Desk) -> None:
    """Object references: a case of safeguarding is not there for IT, whatever its id is used for."""
    message = desk.keep(safeguarding())
    sam, rita = desk.browser("sam"), desk.browser("rita")
    sam.post(f"/held/{message.id}/case", {"title": "Concern 7", "kind": "breach", "queue": "dsl"})
    (case,) = desk.store.cases(sight=EVERYTHING)
    ordinary = desk.keep(held())
    assert "Concern 7" in sam.get("/cases").text
    assert "Concern 7" not in rita.get("/cases").text
    assert rita.get(f"/cases/{case.id}").status_code == 404
    for verb in ("note", "link", "pass-on", "close"):
        fields = {"note": "x", "message": ordinary.id, "queue": "it-support", "outcome": "x"}
        assert rita.post(f"/cases/{case.id}/{verb}", fields).status_code == 404, verb
    assert rita.post(f"/held/{ordinary.id}/case/link", {"case": case.id}).status_code == 404
    assert "Concern 7" not in rita.get(f"/held/{ordinary.id}/case").text
    assert desk.store.case(case.id, sight=EVERYTHING) == CaseFile(case=case, notes=())


def test_an_exemption_from_a_safeguarding_rule_is_seen_by_safeguarding_alone(desk: Desk) -> None:
    """Its recipient and its reason would tell IT about a child; nor can IT end it."""
    rule = next(
        each for each in load_policy("kings-college").rules if each.queue in desk.settings.console.safeguarding
    )
    ruling = Ruling(
        kind=RulingKind.EXEMPT,
        rule=rule.id,
        recipient="counsellor@school.example",
        reason="Agreed with the DSL",
        actor="sam",
        expires_at=desk.clock() + timedelta(days=30),
    )
    desk.store.add_ruling(ruling)
    sam, rita = desk.browser("sam"), desk.browser("rita")
    assert "counsellor@" in sam.get("/rulings").text
    assert "counsellor@" not in rita.get("/rulings").text
    assert rita.post("/rulings/end", {"id": ruling.id, "reason": "x"}).status_code == 404
    assert sam.post("/rulings/end", {"id": ruling.id, "reason": "No longer"}).status_code == 303
    assert list(desk.store.rulings()) == []
    desk.store.close()
