"""``gatepost report``: the ladder's numbers, out of the log and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from gatepost_config.words import Action
from gatepost_milter.cli import main
from gatepost_milter.cli.ladder import Ladder

LONDON = ZoneInfo("Europe/London")


def line(*findings: str, at: str = "2026-11-02T10:00:00.000Z", event: str = "passed", **others: object) -> bytes:
    """A message's line, as the milter writes it."""
    record: dict[str, object] = {
        "timestamp": at,
        "level": "info",
        "service": "milter",
        "event": event,
        "direction": "inbound",
    }
    return json.dumps({**record, **({"findings": findings} if findings else {}), **others}).encode()


def ladder(*lines: bytes, **others: Any) -> Ladder:
    made = Ladder(zone=LONDON, **others)
    made.read(lines)
    return made


def test_what_a_rule_did_and_what_it_would_have_done_are_kept_apart() -> None:
    """Monitor does nothing, advise warns at most, and an exemption spares."""
    rules = ladder(
        line("tone monitor quarantine pass"),
        line("tone advise quarantine warn", "size enforce reject reject"),
        line("size enforce reject pass"),
        line("tip monitor pass pass"),
    ).rules
    tone, size = rules["tone"].all, rules["size"].all
    assert (tone.fired, tone.did, tone.would, tone.spared) == (
        2,
        {Action.WARN: 1},
        {Action.QUARANTINE: 2},
        0,
    )
    assert (size.fired, size.did, size.would, size.spared) == (2, {Action.REJECT: 1}, {}, 1)
    assert [mode.value for mode in rules["tone"].modes] == ["monitor", "advise"]
    assert (rules["tip"].all.fired, rules["tip"].all.would, rules["tip"].all.spared) == (1, {}, 0)


def test_days_are_the_schools_own() -> None:
    """In July a message at 23:30 UTC came after midnight in London; bounds are both included."""
    lines = [line("a enforce tag tag", at=f"2026-07-0{day}T23:30:00.000Z") for day in (1, 2, 3)]
    made = ladder(*lines, first=date(2026, 7, 2), last=date(2026, 7, 3))
    assert list(made.rules["a"].days) == [date(2026, 7, 2), date(2026, 7, 3)]


def test_a_message_that_joins_its_own_hold_is_no_second_one() -> None:
    """The client only tried again."""
    finding = "a enforce quarantine quarantine"
    made = ladder(line(finding, event="held", joined=False), line(finding, event="held", joined=True))
    assert (made.messages, made.again, made.rules["a"].all.fired) == (1, 1, 1)


def test_what_a_log_daemon_puts_in_front_is_passed_over() -> None:
    """RFC 3164: time, host and program; and lines of other services are none of ours."""
    made = ladder(
        b"Nov  2 10:00:00 mx1 gatepost-milter[17]: " + line("a enforce tag tag"),
        b'{"service": "courier", "event": "sent"}',
        b'{"service": "milter", "event": "worker started"}',
    )
    assert (made.messages, made.unread) == (1, 0)


@pytest.mark.parametrize(
    "raw",
    [
        b"not json",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"a":' * 100_000,
        line("two words"),
        line("a enforce nothing tag"),
        line(findings="['a enforce tag ta…"),
        line(at="yesterday"),
        line(at="2026-11-02T10:00:00"),
        line(direction="sideways"),
        line(direction=["inbound"]),
        line(timestamp=5),
        b'{"service": "milter", "event": {}}',
        line(event="passed", direction={}),
    ],
)
def test_a_line_that_says_nothing_is_counted(raw: bytes) -> None:
    """And the next one is read: a broken disk or a curious hand must not end the report."""
    made = ladder(raw, line("a enforce tag tag"))
    assert (made.messages, made.unread) == (1, 1)


@given(
    raw=st.binary(max_size=60)
    | st.text(alphabet='{}[]":,service milter event passed\\u', max_size=60).map(str.encode)
)
def test_no_line_can_stop_the_count(raw: bytes) -> None:
    """Whatever it is."""
    assert ladder(raw).messages == 0


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Run the command on a log of two days."""
    settings = tmp_path / "gatepost.yaml"
    settings.write_text("school: {name: P, domains: [school.example]}\npolicy: kings-college\n", encoding="utf-8")
    log = tmp_path / "log"
    lines = [
        line("executable-attachment enforce quarantine quarantine", event="held"),
        line("attachment-too-large monitor reject pass", at="2026-11-03T10:00:00.000Z"),
        line("old-rule enforce tag tag", event="tagged"),
        b"x" * 100_000,
    ]
    log.write_bytes(b"\n".join(lines))
    base = ["report", "--config", str(settings)]
    return lambda *arguments, **others: CliRunner().invoke(
        main, [*base, *(arguments or ("--log", str(log)))], **others
    )


def test_the_report_lists_every_rule_those_that_were_silent_too(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    """A rule that never fires is news as well; one that is gone keeps its counts."""
    shown = run().stdout
    assert "3 messages from 2026-11-02 to 2026-11-03; 1 line could not be read" in shown
    for expected in ("quarantine 1", "reject 1", "old-rule", "(gone)", "parents-exposed"):
        assert expected in shown
    data = json.loads(run("--log", str(tmp_path / "log"), "--json").stdout)
    assert data["rules"]["attachment-too-large"]["would"] == {"reject": 1}
    assert "parents-exposed" in data["silent"]
    assert data["days"]["2026-11-02"] == {"tagged": 1, "held": 1}


def test_one_rule_is_told_day_by_day(run: Callable[..., Result], tmp_path: Path) -> None:
    """What somebody looks at before the rule climbs a rung. A name that was misspelt is told."""
    result = run("--log", str(tmp_path / "log"), "--rule", "attachment-too-large")
    assert "2026-11-03" in result.stdout
    assert "2026-11-02 " not in result.stdout.partition("\n")[2]
    unknown = run("--log", str(tmp_path / "log"), "--rule", "x")
    assert "has no rule 'x'" in unknown.stderr
    assert unknown.stdout.endswith("x has not fired.\n")


def test_standard_input_is_a_log_too(run: Callable[..., Result]) -> None:
    """journalctl -o cat … | gatepost report --log -"""
    result = run("--log", "-", "--json", input=line("a enforce tag tag"))
    assert json.loads(result.stdout)["messages"] == 1


def test_the_journal_is_asked_for_the_units_own_output(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a day before, since it counts in the machine's zone. What it complains of is passed on."""
    journalctl = tmp_path / "journalctl"
    journalctl.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {tmp_path}/log\n', encoding="utf-8")
    journalctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert json.loads(run("--json", "--since", "2026-11-01").stdout)["messages"] == 3
    asked = (tmp_path / "asked").read_text(encoding="utf-8")
    assert "--unit gatepost-milter.service --output cat" in asked
    assert "--since 2026-10-31" in asked
    journalctl.write_text("#!/bin/sh\necho no permission >&2\nexit 1\n", encoding="utf-8")
    refused = run("--json")
    assert (refused.exit_code, "no permission" in refused.stderr) == (2, True)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert "give the log with --log" in run("--json").stderr


def test_help_shows_an_example() -> None:
    """Every command does."""
    assert "Example: gatepost report" in CliRunner().invoke(main, ["report", "--help"]).stdout
