"""Owns a real browser's window on pages of ours: what it asks for, what fails in it, and what axe-core finds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Dialog, Page, Request
from support.console import PASSWORD

AXE = (Path(__file__).parents[1] / "console" / "vendor" / "axe.min.js").read_text(encoding="utf-8")

DESK, PHONE = 1280, 390
"""Widths that every page is looked at in, in CSS pixels."""

_LOOK = """async only => {
    const found = await axe.run(document, {iframes: false, preload: false, ...only});
    const page = document.documentElement;
    return {
        looked: found.passes.length,
        wrong: found.violations.map(each => `${each.id}: ${each.help}: ${each.nodes[0].html.slice(0, 200)}`),
        wide: page.scrollWidth > page.clientWidth,
        shape: [...document.querySelectorAll("*")].map(each => {
            const style = getComputedStyle(each), box = each.getBoundingClientRect();
            return [
                each.tagName, each.attributes.length, style.display, style.visibility, style.opacity,
                style.fontSize, style.fontWeight, style.textDecorationLine, box.x, box.y, box.width, box.height,
            ].join(" ");
        }).join("\\n"),
    };
}"""
"""What axe finds, and how the page is laid out, without its colours.

Only what is wrong crosses over: a whole result is so large that telling it takes longer than finding it. Nor are
style sheets fetched again for axe (``preload``): no rule that runs here reads them.
"""

_COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}


class Watched:
    """A browser window that remembers what it asked for, what failed, and every dialogue that a script opened."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.asked: list[str] = []
        self.stopped: list[str] = []
        self.errors: list[str] = []
        self.dialogues: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(45_000)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", self._failed)
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", self._opened)

    def go(self, path: str) -> Page:
        """Open a page of the console."""
        self.page.goto(self.url + path)
        return self.page

    def sign_in(self, name: str) -> None:
        """Sign in with the keyboard."""
        self.go("/sign-in").locator("input[name=name]:focus").wait_for()
        self.page.keyboard.type(name)
        self.page.keyboard.press("Tab")
        self.page.keyboard.type(PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(re.compile(r"/(queue|overview)$"))

    def outside(self) -> list[str]:
        """What the browser asked of anybody but the console, and the policy did not stop within the browser."""
        left = [each for each in self.asked if each not in self.stopped]
        return [each for each in left if not each.startswith((self.url, "about:"))]

    def _opened(self, dialogue: Dialog) -> None:
        self.dialogues.append(dialogue.message)
        dialogue.dismiss()

    def _failed(self, request: Request) -> None:
        # Chromium reports what the page's policy forbids as a request, too; it is made up, and never sent.
        if "csp" in (request.failure or "").lower():
            self.stopped.append(request.url)


def violations(page: Page, where: str) -> list[str]:
    """What axe finds on the page as it stands, in both themes, and whether it is wider than its window.

    In the dark theme only the rules about colour run: that it changes nothing else is looked at as well.
    """
    # Evaluated by the debugger, which our own policy does not bind.
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    page.emulate_media(reduced_motion="reduce")  # or axe would look at colours that are half-way to others
    light = _look(page, {})
    page.emulate_media(color_scheme="dark")
    dark = _look(page, _COLOURS)
    page.emulate_media(color_scheme="light")
    found = [f"{where}, light: {each}" for each in light["wrong"]]
    found += [f"{where}, dark: {each}" for each in dark["wrong"]]
    if light["wide"]:
        found.append(f"{where}: wider than the window")
    if dark["shape"] != light["shape"]:
        found.append(f"{where}: the dark theme changes more than colours")
    return found


def violations_in_both_widths(page: Page, where: str) -> list[str]:
    """What ``violations`` finds on a large screen and on a phone, without opening the page a second time."""
    found = []
    for width in (DESK, PHONE):
        page.set_viewport_size({"width": width, "height": 800})
        found += violations(page, f"{where}, {width} px")
    return found


def _look(page: Page, only: dict[str, list[str]]) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(_LOOK, only)
    assert found["looked"], "axe looked at nothing"
    return found
