"""Owns the condition of every end-to-end story: a Postfix that can run; and the site that nobody runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.site import Site, made_site

from gatepost_milter.demo.postfix import why_not


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the stories, and skip them with the reason where no Postfix can run."""
    reason = why_not()
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def site(tmp_path: Path, root: Path) -> Site:
    """The lines of config/postfix, pasted where the administrator is told to paste them."""
    return made_site(tmp_path, root)
