"""Owns what both corpora share: one pool of inspectors, the policies, and the table of what went wrong."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.corpus.judging import LIMITS
from support.mail import settings

from gatepost_config.documents import shipped_policies
from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.policy.policy import Policy, load

_LINES = pytest.StashKey[list[tuple[str, str]]]()


@pytest.fixture(scope="session")
def inspectors() -> Iterator[Inspectors]:
    """One pool for the whole run: starting one takes longer than most messages."""
    with closing(Inspectors(LIMITS, Path(tempfile.gettempdir()))) as pool:
        yield pool


@pytest.fixture(scope="session")
def policies() -> tuple[Policy, ...]:
    """The shipped policies that a harmless message must pass."""
    return tuple(load(settings(policy=name), tested=False) for name in shipped_policies())


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Put a line, under its family, into the table at the end of the run."""
    lines = request.config.stash.setdefault(_LINES, [])
    return lambda family, line: lines.append((family, line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table: how many of each family, then each line."""
    lines = config.stash.get(_LINES, [])
    if lines:
        terminalreporter.section("corpus")
        for family, count in Counter(family for family, _ in lines).items():
            terminalreporter.line(f"{family}: {count}")
        for family, line in lines:
            terminalreporter.line(f"  {family:14} {line}")
