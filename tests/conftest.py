"""Owns what every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A property that is slow to try on a busy machine has not failed.
settings.register_profile("gatepost", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gatepost")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top folder of the source tree."""
    return Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Commands print for no terminal in particular; the test runner's workers are told the width of its own."""
    os.environ.pop("COLUMNS", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--rewrite-golden`` writes expected files anew; the difference is then read before it is kept."""
    parser.addoption("--rewrite-golden", action="store_true", help="write the expected files of golden tests anew")
