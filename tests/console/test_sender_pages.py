"""The sender pages: a link shows, a form acts once, and nothing else does anything."""

from __future__ import annotations

import json
import socket
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import expect
from support.browser import DESK, PHONE, violations
from support.console import served
from support.quarantine import Clock, finding
from support.senders import ANNA, LETTER, Counter, exposed, waiting

from gatepost_config.words import Action, Evidence
from gatepost_milter.demo.gateway import Process
from gatepost_quarantine.audit import Verb
from gatepost_quarantine.held import Choice, HeldMessage, State
from gatepost_quarantine.sender.turnstile import Turnstile
from gatepost_quarantine.sender.web import application
from gatepost_quarantine.store import StoreError

OPEN = "Do you want this message to be sent?"


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    """Pages with an empty store."""
    made = Counter(tmp_path)
    yield made
    made.store.close()


def test_a_link_shows_why_to_whom_and_what_can_be_done(counter: Counter) -> None:
    """Everything to decide on, and nothing that is private."""
    secret = Evidence(kind="text", name="hunter2", where="part 1", private=True)
    shown = Evidence(kind="household", name="Berg and Cole", where="To")
    page = counter.client.get(counter.link(counter.keep(waiting(exposed(evidence=(secret, shown))))))
    assert page.status_code == 200
    why = (OPEN, "To and Cc show the addresses of 2 families", "Berg and Cole", "KCS 2.10c")
    what = (ANNA, "Trip to York", "Send it anyway", "Withdraw it", "Ask a reviewer", "27 November 2026")
    assert [said for said in (*why, *what) if said not in page.text] == []
    assert "hunter2" not in page.text


def test_a_hundred_prefetches_change_nothing(counter: Counter) -> None:
    """Link scanners open what they find, with GET and HEAD, before anybody reads the mail."""
    message = counter.keep(waiting())
    path = counter.link(message)
    before = counter.store.events(message.id)
    for _ in range(50):
        assert counter.client.get(path, headers={"purpose": "prefetch"}).status_code == 200
        assert counter.client.head(path).status_code == 200
    assert counter.states(message) == [State.HELD, State.HELD]
    assert counter.store.events(message.id) == before
    assert counter.store.answers([message.id]) == {}


def test_sending_needs_a_reason_and_is_done_once(counter: Counter) -> None:
    """A double click, a second window and the back button all end at the same page."""
    message = counter.keep(waiting())
    path = counter.link(message)
    refused = counter.answer(path, "send", "  \n ")
    assert refused.status_code == 422
    assert "Please say why" in refused.text
    assert counter.states(message) == [State.HELD, State.HELD]
    for choice, reason in (("send", "They all agreed."), ("send", "Again."), ("withdraw", "Or not?"), ("ask", "")):
        done = counter.answer(path, choice, reason)
        assert (done.status_code, done.headers["location"]) == (303, path.removeprefix("/"))
    page = counter.client.get(path)
    assert "You sent this message anyway" in page.text
    assert "They all agreed." in page.text
    assert "<form" not in page.text
    assert [each.to for each in counter.store.claim(worker="test", lease=60) if hasattr(each, "to")] != []
    assert sum(each.verb is Verb.CONFIRM for each in counter.store.events(message.id)) == 2
    assert counter.store.counts().owed == 2


def test_withdrawing_and_asking(counter: Counter) -> None:
    """Neither needs a reason; who asks still waits, and reviewers find the request."""
    gone, asked = counter.keep(waiting()), counter.keep(waiting())
    counter.answer(counter.link(gone), "withdraw")
    counter.answer(counter.link(asked), "ask", "May I?\r\nPlease.")
    assert counter.states(gone) == [State.WITHDRAWN, State.WITHDRAWN]
    assert counter.states(asked) == [State.HELD, State.HELD]
    assert "You withdrew this message" in counter.client.get(counter.link(gone)).text
    assert "You asked a reviewer" in counter.client.get(counter.link(asked)).text
    assert [each.reason for each in counter.store.requests()] == ["May I? Please."]


def test_who_may_not_send_is_not_offered_it(counter: Counter) -> None:
    """And a form made up by hand does nothing."""
    program = finding([ANNA], actions={ANNA: Action.QUARANTINE})
    message = counter.keep(waiting(exposed(), program, action=Action.QUARANTINE))
    path = counter.link(message)
    page = counter.client.get(path)
    assert "A reviewer decides about this message" in page.text
    assert "Send it anyway" not in page.text
    counter.answer(path, "send", "I insist.")
    assert counter.states(message) == [State.HELD, State.HELD]
    assert counter.store.answers([message.id]) == {}


def test_after_a_reviewer_the_page_says_what_became_of_it(counter: Counter) -> None:
    """And takes no answer any more."""
    message = counter.keep(waiting())
    counter.store.release(message.id, recipients=[ANNA], actor="rita")
    counter.store.deny(message.id, actor="rita", reason="for the record only")
    path = counter.link(message)
    counter.answer(path, "withdraw")
    page = counter.client.get(path)
    assert "This message has been decided about" in page.text
    assert "is on its way" in page.text
    assert "will not be delivered" in page.text
    assert "for the record only" not in page.text
    assert "<form" not in page.text


def test_a_wrong_an_old_and_a_gone_link_look_and_last_the_same(counter: Counter) -> None:
    """Nobody learns from the answer, or from its time, whether a message is there."""
    message, sealed = counter.keep(waiting()), counter.keep(waiting(exposed(override="sender"), sender=""))
    good, never = counter.link(message), counter.link(waiting())
    claimless = counter.link(sealed)
    changed = good[:-1] + ("A" if good[-1] != "A" else "B")
    wrong = {"changed": changed, "never": never, "made up": "/" + "x" * 150, "nobody's": claimless}
    pages = {name: counter.client.get(path) for name, path in wrong.items()}
    counter.clock.move(days=8)
    pages["old"] = counter.client.get(good)
    pages["old form"] = counter.answer(good, "send", "late")
    assert {each.status_code for each in pages.values()} == {404}
    assert len({each.text for each in pages.values()}) == 1
    assert "Trip to York" not in pages["old"].text
    assert counter.states(message) == [State.HELD, State.HELD]
    open_to_all = Turnstile(burst=1e9, rate=1e9)
    client = type(counter.client)(application(counter.settings, store=counter.store, turnstile=open_to_all))
    took: dict[str, list[float]] = {never: [], "/" + "x" * len(never): []}
    for _ in range(40):
        for path, times in took.items():
            began = time.perf_counter()
            client.get(path)
            times.append(time.perf_counter() - began)
    # By turns, and the quickest quarter of each: a machine that is busy with other things is no difference.
    quick = [statistics.median(sorted(times)[:10]) for times in took.values()]
    assert max(quick) < 1.5 * min(quick)


def test_every_answer_is_guarded(counter: Counter) -> None:
    """No cookie, no script, no referrer, no copy in a cache; also on errors."""
    path = counter.link(counter.keep(waiting()))
    answers = [
        counter.client.get(path),
        counter.answer(path, "dance"),
        counter.answer(path, "ask"),
        counter.client.get("/wrong"),
        counter.client.get("/no/such/page"),
        counter.client.put(path),
        counter.client.post(path, content=b"{}", headers={"content-type": "application/json"}),
        counter.client.post(path, data={"reason": "x" * 20_000}),
        counter.client.post(path, data={f"f{number}": "x" for number in range(20)}),
    ]
    assert [each.status_code for each in answers] == [200, 422, 303, 404, 404, 405, 415, 413, 413]
    for each in answers:
        assert "set-cookie" not in each.headers
        assert each.headers["referrer-policy"] == "no-referrer"
        assert each.headers["cache-control"] == "no-store"
        policy = each.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script" not in policy
        assert "<script" not in each.text
    assert counter.client.get("/static/pages.css").status_code == 200


def test_hostile_words_stay_words(counter: Counter) -> None:
    """Subject, addresses and reason come from people, and are shown as they are."""
    message = counter.keep(waiting(subject="<script>alert(1)</script>\u202egnp.exe"))
    path = counter.link(message)
    counter.answer(path, "ask", '"><img src=x onerror=alert(2)>')
    page = counter.client.get(path).text
    assert "<script>" not in page
    assert "<img" not in page
    assert "\u202e" not in page


def test_one_address_cannot_ask_for_ever(counter: Counter) -> None:
    """Guessing costs more than reading; after a while it goes on."""
    now = [0.0]
    turnstile = Turnstile(burst=60, rate=1, clock=lambda: now[0])
    client = type(counter.client)(application(counter.settings, store=counter.store, turnstile=turnstile))
    answers = [client.get("/wrong").status_code for _ in range(5)]
    assert answers == [404, 404, 404, 429, 429]
    now[0] = 10.0
    assert client.get("/wrong").status_code == 404


def test_a_public_address_with_a_path(tmp_path: Path) -> None:
    """Whether the web server in front keeps the path or takes it off."""
    counter = Counter(tmp_path, path="/held/mail")
    message = counter.keep(waiting())
    for prefix in ("", "/held/mail"):
        assert OPEN in counter.client.get(prefix + counter.link(message)).text
        assert counter.client.get(f"{prefix}/static/pages.css").status_code == 200
    counter.store.close()


def test_a_store_that_is_away_is_said_kindly(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost, and nothing is shown of the trouble."""
    path = counter.link(counter.keep(waiting()))

    def away(_held_id: str) -> HeldMessage:
        raise StoreError("server closed the connection")

    monkeypatch.setattr(counter.store, "get", away)
    answer = counter.client.get(path)
    assert answer.status_code == 503
    assert "closed" not in answer.text


# In a real browser


@pytest.mark.slow
@pytest.mark.e2e
def test_by_keyboard_and_without_script(counter: Counter, chromium: Chromium) -> None:
    """From the link to the end, with Tab and Enter alone, where scripts are off; two windows agree."""
    message, other = counter.keep(waiting()), counter.keep(waiting())
    with served(counter.app) as url:
        context = chromium.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False)
        first, second = context.new_page(), context.new_page()
        for window in (first, second):
            window.goto(url + counter.link(message))
        keys = first.keyboard
        first.get_by_role("textbox").focus()
        keys.press("Tab")
        expect(first.get_by_role("button", name="Send it anyway")).to_be_focused()
        keys.press("Enter")
        expect(first.get_by_role("alert")).to_contain_text("Please say why")
        expect(first.get_by_role("textbox")).to_be_focused()
        keys.type("They all agreed at the meeting.")
        keys.press("Tab")
        keys.press("Enter")
        expect(first.get_by_role("heading", level=1)).to_have_text("You sent this message anyway")
        second.get_by_role("button", name="Withdraw it").click()
        expect(second.get_by_role("heading", level=1)).to_have_text("You sent this message anyway")
        first.goto(url + counter.link(other))
        first.get_by_role("button", name="Ask a reviewer").click()
        expect(first.get_by_role("heading", level=1)).to_have_text("You asked a reviewer")
        context.close()
    assert counter.states(message) == [State.RELEASING, State.RELEASING]
    assert counter.store.answers([message.id])[message.id].reason == "They all agreed at the meeting."
    assert counter.store.answers([other.id])[other.id].choice is Choice.ASK


@pytest.mark.slow
@pytest.mark.e2e
def test_everybody_can_use_it(counter: Counter, chromium: Chromium) -> None:
    """axe finds nothing in any state of the page, in both widths and themes; nothing is scrolled sideways."""
    many = tuple(f"parent.number.{number}@a-rather-long-domain.example" for number in range(40))
    long = exposed(many, evidence=tuple(Evidence(kind="household", name=each, where="To") for each in many))
    cases = {
        "open": counter.keep(waiting(long, addresses=many, subject="Trip to York: " + "a long subject " * 8)),
        "reviewer": counter.keep(waiting(exposed(override="reviewer"))),
        "sent": counter.keep(waiting()),
        "denied": counter.keep(waiting()),
    }
    counter.answer(counter.link(cases["sent"]), "send", "They agreed.")
    counter.store.deny(cases["denied"].id, actor="rita")
    paths = {name: counter.link(each) for name, each in cases.items()} | {"wrong": "/nothing"}
    found: list[str] = []
    small: list[str] = []
    with served(counter.app) as url:
        page = chromium.new_page(reduced_motion="reduce")
        for name, path in paths.items():
            page.goto(url + path)
            if name == "reviewer":
                page.get_by_role("button", name="Withdraw it").focus()
            for width in (DESK, PHONE):
                page.set_viewport_size({"width": width, "height": 844})
                found += violations(page, f"{name}, {width} px")
                boxes = [each.bounding_box() for each in page.get_by_role("button").all()]
                small += [f"{name}, {width} px: {box}" for box in boxes if box is None or box["height"] < 44]
        page.close()
    assert found == []
    assert small == []


@pytest.mark.slow
@pytest.mark.e2e
def test_the_service_answers_and_ends(tmp_path: Path) -> None:
    """``gatepost pages`` as the service manager runs it; its log has no token in it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    counter = Counter(tmp_path)
    message = counter.keep(waiting(received_at=datetime.now(UTC)))
    link = counter.link(message)
    document = {
        "school": {"name": "Park School", "domains": ["school.example"]},
        "gateway": "mx1.school.example",
        "store": {"url": counter.settings.store.url, "free_floor": 0},
        "sender_pages": {"listen": place, "public_url": "https://mail.school.example"},
    }
    (tmp_path / "gatepost.yaml").write_text(json.dumps(document), encoding="utf-8")
    service = Process("pages", "--config", str(tmp_path / "gatepost.yaml"))
    try:
        assert service.wait_for(lambda line: line["event"] == "listening", seconds=30), service.tail()
        with httpx2.Client(base_url=f"http://{place}", transport=httpx2.HTTPTransport(retries=8)) as client:
            assert OPEN in client.get(link).text
            assert client.post(link, data={"choice": "withdraw"}).status_code == 303
    finally:
        service.stop()
    assert counter.states(message) == [State.WITHDRAWN, State.WITHDRAWN]
    assert link[1:] not in service.tail(1000)
    counter.store.close()


def test_the_letter_is_not_in_the_page(counter: Counter) -> None:
    """What the message says is shown to nobody here: the link may be passed on."""
    page = counter.client.get(counter.link(counter.keep(waiting())))
    assert LETTER.rpartition(b"\r\n\r\n")[2].strip().decode() not in page.text


def test_the_clock_of_the_page_is_the_schools(tmp_path: Path) -> None:
    """In summer an hour later than UTC."""
    clock = Clock()
    counter = Counter(tmp_path, clock=clock)
    clock.now = clock.now.replace(month=7)
    message = counter.keep(waiting(received_at=clock.now))
    assert "20 July 2026, 10:00" in counter.client.get(counter.link(message)).text
    counter.store.close()
