"""Everybody can use the console: axe-core finds nothing on any page, in both widths and both themes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser as Chromium
from starlette.applications import Starlette
from support.browser import DESK, PHONE, Watched, violations, violations_in_both_widths
from support.console import WITH_PROGRAM, Desk, school_week, sealed, served
from support.quarantine import held

from gatepost_quarantine.cases import EVERYTHING, Case, CaseKind
from gatepost_quarantine.held import HeldMessage
from gatepost_quarantine.review import Mark
from gatepost_quarantine.rulings import Ruling, RulingKind

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture
def kept(desk: Desk) -> list[HeldMessage]:
    """A school's week, with everything that a page can show about a message."""
    kept = school_week(desk, count=14)
    desk.keep(sealed())
    rule = "executable-attachment"
    desk.review.mark(Mark(held_id=kept[0].id, rule=rule, actor="rita", note="", at=kept[0].received_at))
    desk.store.legal_hold(kept[4].id, actor="rita", reason="Claim of 3 May")
    desk.store.open_case(
        Case(kind=CaseKind.BREACH, title="Lunch fraud", queue="it-support", opened_by="rita", held=(kept[0].id,))
    )
    until = desk.clock().replace(year=2099)
    exempt = Ruling(
        kind=RulingKind.EXEMPT, rule="r", recipient="a@b.example", reason="x", actor="a", expires_at=until
    )
    desk.store.add_ruling(exempt)
    desk.review.choose("local:rita", "filter", "Lunches", "q=lunch")
    desk.review.doom(kept[1].id, actor="rita", reason="", due_at=until)
    return list(kept)


@pytest.fixture
def window(app: Starlette, chromium: Chromium) -> Iterator[Watched]:
    """A window in which nothing moves: axe would look at colours that are still changing."""
    with served(app) as url:
        context = chromium.new_context(reduced_motion="reduce")
        yield Watched(context, url)
        context.close()


def test_every_page_passes_axe(kept: list[HeldMessage], desk: Desk, window: Watched) -> None:
    """What is sealed, refused, doomed or empty is looked at too."""
    one, two = kept[0].id, kept[2].id
    (case,) = desk.store.cases(sight=EVERYTHING)
    pages = [
        "/queue", "/queue?tab=all&q=invoice&rule=executable-attachment", "/queue?q=nothing",
        f"/held/{one}", f"/held/{kept[1].id}", f"/held/{kept[5].id}", f"/act?verb=release&id={one}",
        f"/act?verb=deny&id={one}&id={two}", f"/act?verb=delete&id={one}", f"/act?verb=mark&id={one}",
        f"/act?verb=pass-on&id={one}", f"/act?verb=legal-hold&id={one}", f"/held/{kept[4].id}",
        f"/held/{one}/exempt", f"/held/{one}/block", f"/held/{one}/case", "/rulings?over=1", "/cases",
        f"/cases/{case.id}", "/overview", "/policy", f"/held/{one}/raw", f"/held/{one}/body",
        "/held/none",
    ]  # fmt: skip
    found = violations_in_both_widths(window.go("/sign-in"), "/sign-in")
    window.sign_in("rita")
    for path in pages:
        found += violations_in_both_widths(window.go(path), path)
    assert found == []


def test_no_table_hides_its_columns_behind_the_edge_of_a_phone(kept: list[HeldMessage], window: Watched) -> None:
    """Who waits for what, and until when, is on the page and not to the right of it."""
    window.sign_in("rita")
    window.page.set_viewport_size({"width": PHONE, "height": 800})
    for path in (f"/held/{kept[0].id}", "/rulings", "/cases", "/policy"):
        page = window.go(path)
        cells = page.locator(".cards td:not(:empty)").all()
        assert cells, path
        for cell in cells[:40]:
            box = cell.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= PHONE, (path, cell.inner_text())


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_what_is_opened_on_a_page_passes_axe(kept: list[HeldMessage], window: Watched, width: int) -> None:
    """The message itself with all that folds, each menu of tools, and the person's own menu."""
    window.page.set_viewport_size({"width": width, "height": 800})
    window.sign_in("rita")
    page = window.go(f"/held/{kept[0].id}")
    page.click("#open-body")
    page.wait_for_selector("pre.mail")
    for summary in page.locator("main details > summary").all():
        summary.click()
    found = violations(page, "open message")
    for tools in page.locator(".drop > summary").all():
        tools.click()
        found += violations(page, "tools")
    page.click(".me summary")
    found += violations(page, "menu")
    assert found == []


def test_a_trial_with_its_result_passes_axe(desk: Desk, window: Watched, tmp_path: Path) -> None:
    """A message file that is tried, one that cannot be, and a held one whose content stays unread."""
    message = desk.keep(held(WITH_PROGRAM), WITH_PROGRAM)
    file = tmp_path / "letter.eml"
    file.write_bytes(WITH_PROGRAM)
    window.sign_in("pat")
    page = window.go("/try")
    found = violations_in_both_widths(page, "/try")
    page.set_input_files("input[name=message]", file)
    page.get_by_role("button", name="Try it").click()
    page.get_by_role("heading", name="Verdict: quarantine").wait_for()
    for summary in page.locator("main details > summary").all():
        summary.click()
    found += violations_in_both_widths(page, "an uploaded message")
    file.write_bytes(b"")
    page.set_input_files("input[name=message]", file)
    page.get_by_role("button", name="Try it").click()
    page.get_by_text("Choose a message file first").wait_for()
    found += violations_in_both_widths(page, "an empty file")
    window.go(f"/held/{message.id}")
    page.get_by_role("button", name="Try it against the policy").click()
    page.get_by_role("heading", name="Verdict: quarantine").wait_for()
    found += violations_in_both_widths(page, "a held message")
    assert found == []


def test_the_accounts_pass_axe(window: Watched) -> None:
    """The page that only an admin sees."""
    window.sign_in("adm")
    assert violations_in_both_widths(window.go("/accounts"), "/accounts") == []


def test_the_look_finds_what_is_wrong(chromium: Chromium) -> None:
    """A picture without words, a dark theme that drowns a text and moves it, and a table that is too wide."""
    page = chromium.new_page()
    page.set_content(
        "<!doctype html><html lang=en><title>x</title><style>"
        "@media (prefers-color-scheme: dark) { p { color: #888; background: #777; font-weight: bold } }"
        "</style><main><h1>x</h1><p>drowned</p><img src=data:,><div style='width: 600px'>wide</div></main>"
    )
    found = violations_in_both_widths(page, "bad")
    page.close()
    expected = [
        *(f"bad, {width} px, light: image-alt" for width in (DESK, PHONE)),
        *(f"bad, {width} px: the dark theme changes more than colours" for width in (DESK, PHONE)),
        *(f"bad, {width} px, dark: color-contrast" for width in (DESK, PHONE)),
        f"bad, {PHONE} px: wider than the window",
    ]
    assert [each for each in expected if not any(said.startswith(each) for said in found)] == []
    assert len(found) == len(expected)
