"""Owns the console that these tests ask, and the browser that some of them look through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import sync_playwright
from support.console import Desk

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A console with an empty store and everybody's account."""
    made = Desk(tmp_path)
    made.people()
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """A real Chromium that may reach nothing but this machine."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    nowhere = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*options, nowhere])
        yield browser
        browser.close()
