"""Owns the console that these tests ask, and the browser that some of them look through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import sync_playwright
from starlette.applications import Starlette
from support.console import Desk

from gatepost_config.documents import load_settings
from gatepost_quarantine.console.web import application

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A console with an empty store and everybody's account."""
    made = Desk(tmp_path)
    made.people()
    yield made
    made.store.close()


@pytest.fixture
def app(desk: Desk, tmp_path: Path) -> Starlette:
    """The console of a school whose settings are a file, as the child needs them."""
    file = tmp_path / "gatepost.yaml"
    file.write_text(
        "school: {name: Park School, domains: [school.example]}\npolicy: kings-college\n"
        f"store: {{url: 'sqlite:///{tmp_path / 'quarantine.db'}', free_floor: 0}}\n"
    )
    settings = load_settings(file)
    return application(settings, store=desk.store, review=desk.review, reader=desk.reader)


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
