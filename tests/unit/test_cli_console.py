"""``gatepost console``: the first account, a new password, and the way back in after a lock."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatepost_config.documents import load_settings
from gatepost_milter.cli import main
from gatepost_quarantine.sql import open_review


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings with a store of their own."""
    path = tmp_path / "gatepost.yaml"
    store = {"url": f"sqlite:///{tmp_path / 'quarantine.db'}", "free_floor": 0}
    path.write_text(json.dumps({"school": {"name": "Park School", "domains": ["school.example"]}, "store": store}))
    return path


def console(config: Path, *arguments: str, password: str = "") -> Result:
    """Run ``gatepost console`` with these settings."""
    return CliRunner().invoke(main, ["console", *arguments, "--config", str(config)], input=password)


def test_accounts_are_made_changed_and_unlocked(config: Path) -> None:
    """Nothing of the password is printed or kept in clear; a second account of one name is refused."""
    made = console(
        config, "add-user", "Ann", "--role", "reviewer", "--password-file", "-", password="long enough 1\n"
    )
    assert (made.exit_code, made.output) == (0, "Ann can sign in now.\n")
    again = console(
        config, "add-user", "ANN", "--role", "admin", "--password-file", "-", password="long enough 1\n"
    )
    assert again.exit_code == 1
    store, review = open_review(load_settings(config).store, gateway="mx1")
    review.failed_sign_in("ann", lock_after=1, until=datetime.now(UTC) + timedelta(hours=1))
    locked = review.account("ann")
    assert locked is not None
    assert locked.locked_until is not None
    assert console(config, "unlock", "ann").exit_code == 0
    unlocked = review.account("ann")
    assert unlocked is not None
    assert (unlocked.locked_until, unlocked.failures, unlocked.roles) == (None, 0, frozenset({"reviewer"}))
    assert console(config, "passwd", "ann", "--password-file", "-", password="another one 22\n").exit_code == 0
    changed = review.account("ann")
    assert changed is not None
    assert changed.password != unlocked.password
    assert "long enough" not in changed.password
    store.close()


@pytest.mark.parametrize(
    ("arguments", "password", "code"),
    [
        (["add-user", "bob", "--role", "reviewer", "--password-file", "-"], "short\n", 2),
        (["add-user", "bob", "--role", "king", "--password-file", "-"], "long enough 1\n", 2),
        (["add-user", "bob", "--password-file", "-"], "long enough 1\n", 2),
        (["passwd", "nobody", "--password-file", "-"], "long enough 1\n", 1),
        (["unlock", "nobody"], "", 1),
    ],
)
def test_what_cannot_be_done_is_said(config: Path, arguments: list[str], password: str, code: int) -> None:
    """With the exit codes of every command."""
    assert console(config, *arguments, password=password).exit_code == code
