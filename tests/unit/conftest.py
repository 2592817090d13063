"""Owns what the tests of single modules share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.smtp import Sink
from support.stores import new_store

from gatepost_config.settings import Store
from gatepost_quarantine.sql import SqlStore, open_store


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A listener where releases and notices arrive."""
    with Sink() as listening:
        yield listening


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """An open store, in the file that a test's own settings name too."""
    url = new_store(tmp_path / "quarantine.db")
    opened = open_store(Store(url=url, free_floor=0), gateway="mx1.school.example")
    yield opened
    opened.close()
