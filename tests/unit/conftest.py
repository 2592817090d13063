"""Owns what the tests of single modules share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.smtp import Sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A listener where releases and notices arrive."""
    with Sink() as listening:
        yield listening
