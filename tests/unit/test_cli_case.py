"""`gatepost case`: the whole life of a case from the command line, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.quarantine import MESSAGE, chunks, held

from gatepost_config.documents import load_settings
from gatepost_milter.cli import main
from gatepost_quarantine.sql import open_store


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings with an empty store."""
    path = tmp_path / "gatepost.yaml"
    path.write_text(
        "school: {name: Example School, domains: [school.example]}\n"
        f"store: {{url: 'sqlite:///{tmp_path / 'quarantine.db'}', free_floor: 0}}\n"
    )
    return path


def run(config: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["case", command, "--config", str(config), *arguments])


def printed(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def test_a_case_from_opening_to_outcome(config: Path) -> None:
    settings = load_settings(config)
    store = open_store(settings.store, gateway=settings.gateway)
    message = held(id="k7m2xw9hqtbd3vfp")
    store.hold(message, content=chunks(MESSAGE))
    store.close()
    opened = printed(run(config, "open", "A strange \x1b[31minvoice", "--queue", "it-support", "--json"))
    name = opened["id"]
    assert (opened["state"], opened["kind"], opened["held"]) == ("open", "other", [])
    assert printed(run(config, "link", name[:4], "k7m2", "--json"))["held"] == [message.id]
    assert "its messages do not expire" in run(config, "show", name).output
    assert run(config, "note", name, "The supplier says no.", "--actor", "ann").exit_code == 0
    assert [json.loads(run(config, "list", "--held", "k7m2", "--json").output)["id"]] == [name]
    closed = printed(run(config, "close", name, "--outcome", "A false alarm.", "--actor", "bob", "--json"))
    assert (closed["state"], closed["closed_by"]) == ("closed", "bob")
    shown = run(config, "show", name[:5]).output
    for said in ("closed, other, role it-support", message.id, "ann: The supplier says no.", "A false alarm."):
        assert said in shown
    assert "\x1b" not in shown
    assert "do not expire" not in shown
    notes = printed(run(config, "show", name, "--json"))["notes"]
    assert [each["actor"] for each in notes] == ["ann"]
    assert "There are no such cases." in run(config, "list", "--state", "open").output
    assert name in run(config, "list").output


def test_what_cannot_be_is_refused_and_says_why(config: Path) -> None:
    """A role that is misspelt would keep the case from everybody; a closed case stays closed."""
    wrong = run(config, "open", "x", "--queue", "it-suport")
    assert (wrong.exit_code, "did you mean it-support?" in wrong.output) == (2, True)
    unknown = run(config, "show", "zzzz")
    assert (unknown.exit_code, "there is no case zzzz" in unknown.output) == (1, True)
    name = printed(run(config, "open", "x", "--queue", "it-support", "--json"))["id"]
    assert run(config, "link", name, "nothing").exit_code == 1
    assert run(config, "pass-on", name, "--queue", "dls").exit_code == 2
    assert run(config, "close", name, "--outcome", " ").exit_code == 1
    assert run(config, "close", name, "--outcome", "Done.").exit_code == 0
    late = run(config, "note", name, "late")
    assert (late.exit_code, "is closed" in late.output) == (1, True)
