"""Coming in: passwords, the brake on guessing, sessions that end on the server, and forms of other sites."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support.console import PASSWORD, Browser, Desk
from support.quarantine import Clock, held

from gatepost_quarantine.audit import Verb


@pytest.fixture
def clock() -> Clock:
    """A clock that the test moves."""
    return Clock()


@pytest.fixture
def timed(tmp_path: Path, clock: Clock) -> Desk:
    """A console whose clock the test moves."""
    desk = Desk(tmp_path, clock=clock, lock_after=3, lock_minutes=15, idle_minutes=60, session_hours=2.5)
    desk.people()
    return desk


def test_everything_asks_for_a_sign_in_first_and_then_goes_on(desk: Desk) -> None:
    """A link in a notice leads to its message, also for somebody who is not signed in yet."""
    browser = desk.browser()
    asked = browser.get("/queue?q=invoice")
    assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=%2Fqueue%3Fq%3Dinvoice")
    answer = browser.post("/sign-in", {"name": "RITA", "password": PASSWORD, "next": "/queue?q=invoice"})
    assert answer.headers["location"] == "/queue?q=invoice"
    assert browser.get("/queue?q=invoice").status_code == 200


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"])
def test_nobody_is_sent_to_another_site_after_the_sign_in(desk: Desk, target: str) -> None:
    """An open redirect would lend our name to a phishing page."""
    answer = desk.browser().post("/sign-in", {"name": "rita", "password": PASSWORD, "next": target})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_wrong_name_and_a_wrong_password_look_alike(desk: Desk) -> None:
    """Names of accounts are not to be found out by trying."""
    texts = []
    for name in ("rita", "nobody-at-all"):
        answer = desk.browser().sign_in(name, "not the password")
        assert answer.status_code == 403
        texts.append(answer.text.split("<main")[1].replace(name, "NAME"))
        texts[-1] = texts[-1].split("<form")[0]
    assert texts[0] == texts[1]
    assert "The name or the password is wrong." in texts[0]


def test_an_account_locks_and_opens_again_by_time_or_by_an_administrator(timed: Desk, clock: Clock) -> None:
    """Also the right password does not open a locked account, or guessing would go on."""
    browser = timed.browser()
    for _ in range(3):
        assert browser.sign_in("rita", "wrong wrong wrong").status_code == 403
    locked = browser.sign_in("rita")
    assert locked.status_code == 403
    assert "locked for a while" in locked.text
    clock.move(minutes=16)
    assert browser.sign_in("rita").status_code == 303

    for _ in range(3):
        timed.browser().sign_in("vic", "wrong wrong wrong")
    administrator = timed.browser("adm")
    assert "Locked" in administrator.get("/accounts").text
    assert administrator.post("/accounts/unlock", {"name": "vic"}).status_code == 303
    assert timed.browser().sign_in("vic").status_code == 303
    verbs = [each.event.verb for each in timed.store.chain("mx1.school.example")]
    assert verbs.count(Verb.SIGN_IN_REFUSED) == 7


@pytest.mark.slow
def test_an_address_that_guesses_names_has_to_wait(timed: Desk, clock: Clock) -> None:
    """Otherwise one password could be tried on every account without locking any."""
    browser = timed.browser()
    for place in range(20):
        assert "wrong" in browser.sign_in(f"name{place}", "Password123456").text
    refused = browser.sign_in("rita")
    assert "Too many wrong passwords from here" in refused.text
    clock.move(minutes=11)
    assert browser.sign_in("rita").status_code == 303


@pytest.mark.parametrize(("move", "ends"), [({"minutes": 59}, False), ({"minutes": 61}, True)])
def test_a_session_ends_when_it_is_not_used(timed: Desk, clock: Clock, move: dict[str, float], ends: bool) -> None:
    """What a page asks by itself does not count as use."""
    browser = timed.browser("rita")
    clock.move(**move)
    assert browser.get("/queue/news").status_code == (401 if ends else 200)
    clock.move(minutes=2)
    assert browser.get("/queue").status_code == 303


def test_a_session_ends_for_good_after_its_hours(timed: Desk, clock: Clock) -> None:
    """However busy somebody is."""
    browser = timed.browser("rita")
    for _ in range(4):
        clock.now += timedelta(minutes=31)
        assert browser.get("/overview").status_code == 200
    clock.now += timedelta(minutes=31)
    assert browser.get("/overview").status_code == 303


def test_signing_out_ends_the_session_on_the_server(desk: Desk) -> None:
    """A cookie that was copied is worth nothing afterwards."""
    browser = desk.browser("rita")
    cookie = browser.client.cookies["gatepost"]
    assert browser.post("/sign-out", {}).status_code == 303
    thief = Browser(desk.app)
    thief.client.cookies.set("gatepost", cookie)
    assert thief.get("/queue").status_code == 303


def test_a_changed_account_is_signed_out_everywhere(desk: Desk) -> None:
    """A password is changed because somebody may have it."""
    browser = desk.browser("rita")
    account = desk.review.account("rita")
    assert account is not None
    desk.review.keep_account(account, actor="root", what="new password")
    assert browser.get("/queue").status_code == 303


def test_the_token_and_the_password_are_not_in_the_store(desk: Desk, tmp_path: Path) -> None:
    """Who reads the database cannot sign in with what is in it."""
    browser = desk.browser("rita")
    token = browser.client.cookies["gatepost"]
    desk.store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("quarantine.db*"))
    assert token.encode() not in content
    assert PASSWORD.encode() not in content
    assert b"$argon2id$" in content


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_a_form_of_another_site_does_nothing(desk: Desk, site: str) -> None:
    """Even with the right token: the browser says where the form stands."""
    message = desk.keep(held())
    browser = desk.browser("rita")
    answer = browser.post("/act", {"verb": "deny", "id": message.id, "reason": "x"}, site=site)
    assert answer.status_code == 403
    assert desk.store.get(message.id).recipients[0].state.value == "held"


@pytest.mark.parametrize("csrf", ["", "x", "A" * 32])
def test_a_form_without_our_token_does_nothing(desk: Desk, csrf: str) -> None:
    """Even where the browser does not say where the form stands."""
    message = desk.keep(held())
    browser = desk.browser("rita")
    answer = browser.post("/act", {"verb": "deny", "id": message.id, "reason": "x"}, csrf=csrf)
    assert answer.status_code == 403
    assert browser.post("/sign-in", {"name": "rita", "password": PASSWORD}, csrf=csrf).status_code == 403
    assert desk.store.get(message.id).recipients[0].state.value == "held"


def test_the_session_cookie_is_out_of_reach_for_scripts_and_bound_to_tls(tmp_path: Path) -> None:
    """``__Host-`` makes the browser hold it to TLS, to this host and to every path of it."""
    desk = Desk(tmp_path, base_url="https://gatepost.school.example")
    desk.people()
    browser = Browser(desk.app)
    browser.client.base_url = "https://gatepost.school.example"
    cookies = browser.sign_in("rita").headers.get_list("set-cookie")
    (session,) = [each for each in cookies if each.startswith("__Host-gatepost=")]
    assert {"httponly", "secure", "samesite=lax", "path=/"} <= {
        each.strip().lower() for each in session.split(";")
    }
