"""The record of a bypass: what root acts on must be whole, its own, and about milters only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gatepost_milter import bypass
from gatepost_milter.bypass import Bypass, BypassError, Change, File, bypass_active, forget, keep, trusted
from gatepost_milter.doctor import alarm

RECORD = Bypass(
    directory=Path("/etc/postfix"),
    since=datetime(2026, 3, 1, 3, 0, tzinfo=UTC),
    until=datetime(2026, 3, 1, 4, 0, tzinfo=UTC),
    actor="night",
    socket="/var/spool/postfix/gatepost/milter.sock",
    changes=(
        Change(
            service="", parameter="smtpd_milters", before="unix:gatepost/milter.sock, $signer", after="$signer"
        ),
    ),
    files=(File(name="main.cf", before="a" * 64, after="b" * 64, copy="main.cf.before-bypass"),),
    timer=True,
)


def test_a_record_is_kept_read_and_forgotten(tmp_path: Path) -> None:
    """What is read is what was written; readable for the daemon, which counts it in a metric."""
    assert bypass_active(tmp_path) is None
    assert trusted(tmp_path) is None
    keep(tmp_path, RECORD)
    assert bypass_active(tmp_path) == RECORD
    assert trusted(tmp_path) == RECORD
    assert (tmp_path / "bypass.json").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["bypass.json"]
    forget(tmp_path)
    forget(tmp_path)
    assert bypass_active(tmp_path) is None


def test_no_folder_means_no_bypass(tmp_path: Path) -> None:
    """A gateway that has never run."""
    assert bypass_active(tmp_path / "missing") is None
    (tmp_path / "file").write_bytes(b"")
    assert bypass_active(tmp_path / "file") is None


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b"null", b"{", b"\xff", b'{"directory": "/etc"}', b"[" * 100_000]
)
def test_a_damaged_record_is_not_taken_for_none(tmp_path: Path, raw: bytes) -> None:
    """Silence would tell the alert that all is well."""
    (tmp_path / "bypass.json").write_bytes(raw)
    with pytest.raises(BypassError, match="damaged"):
        bypass_active(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"changes": [{"service": "", "parameter": "alias_maps", "before": "x", "after": "y"}]},
        {"changes": [{"service": "", "parameter": "smtpd_milters", "before": "x\nalias_maps=y", "after": ""}]},
        {"changes": [{"service": "a\nb", "parameter": "smtpd_milters", "before": "x", "after": ""}]},
        {"files": [{"name": "../../shadow", "before": "", "after": "", "copy": "../../shadow.before-bypass"}]},
        {"files": [{"name": "main.cf", "before": "", "after": "", "copy": "/tmp/mine"}]},
        {"changes": [{"service": "", "parameter": "smtpd_milters", "before": 5, "after": ""}]},
        {"since": "2026-03-01T03:00:00"},
    ],
)
def test_a_record_that_asks_for_more_than_milters_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """The folder is gatepost's, the one who resumes is root."""
    (tmp_path / "bypass.json").write_text(json.dumps(RECORD.to_json() | change), encoding="utf-8")
    with pytest.raises(BypassError):
        trusted(tmp_path)


def test_a_record_that_others_could_have_written_is_not_acted_on(tmp_path: Path) -> None:
    """It still counts as a bypass for the metric."""
    keep(tmp_path, RECORD)
    (tmp_path / "bypass.json").chmod(0o664)
    with pytest.raises(BypassError, match="others can write"):
        trusted(tmp_path)
    assert bypass_active(tmp_path) == RECORD


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_record_of_another_user_is_not_acted_on(tmp_path: Path) -> None:
    """A taken-over gatepost must not choose Postfix's milters through root's hands."""
    keep(tmp_path, RECORD)
    os.chown(tmp_path / "bypass.json", 65534, 65534)
    with pytest.raises(BypassError, match="not written by this user"):
        trusted(tmp_path)


def test_a_link_in_the_record_s_place_is_neither_followed_nor_written_through(tmp_path: Path) -> None:
    """Another way to make root read or write something else."""
    target = tmp_path / "target"
    target.write_text(json.dumps(RECORD.to_json()), encoding="utf-8")
    (tmp_path / "bypass.json").symlink_to(target)
    with pytest.raises(BypassError, match="cannot be read"):
        trusted(tmp_path)
    keep(tmp_path, replace(RECORD, actor="day"))
    assert "night" in target.read_text(encoding="utf-8")
    assert trusted(tmp_path) == replace(RECORD, actor="day")


def test_a_pipe_in_the_record_s_place_does_not_hang(tmp_path: Path) -> None:
    """The metric is read on every scrape."""
    os.mkfifo(tmp_path / "bypass.json")
    with pytest.raises(BypassError, match="not a file"):
        bypass_active(tmp_path)


def test_a_record_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """No bypass without a record of it."""
    with pytest.raises(BypassError, match="cannot be written"):
        keep(tmp_path / "missing", RECORD)
    (tmp_path / "bypass.json").mkdir()
    with pytest.raises(BypassError, match="cannot be written"):
        keep(tmp_path, RECORD)
    assert [path.name for path in tmp_path.iterdir()] == ["bypass.json"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////var/lib/gatepost/quarantine.db", "/var/lib/gatepost"),
        ("sqlite:////srv/mail/q.db?timeout=5", "/srv/mail"),
        ("sqlite:///relative.db", "/var/lib/gatepost"),
        ("postgresql+psycopg://gatepost@db/gatepost", "/var/lib/gatepost"),
    ],
)
def test_the_record_lies_beside_the_store(url: str, expected: str) -> None:
    """Or in the usual place, where the store is a database server."""
    assert bypass.state_directory(url) == Path(expected)


def test_reading_the_record_needs_only_the_standard_library() -> None:
    """The metric's process should not load a command line for it, only ``durable`` beside it."""
    script = "import sys; old = set(sys.modules); import gatepost_milter.bypass; print(*(set(sys.modules) - old))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout
    others = {name for name in said.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    packages = {"gatepost_config", "gatepost_milter"}
    assert others - packages == {"gatepost_config.durable", "gatepost_milter.bypass"}


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemd that only writes down what it was asked."""
    for name in ("systemd-run", "systemctl"):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" >> "$0.log"\n', encoding="utf-8")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(alarm, "SYSTEMD", tmp_path)
    return tmp_path


def test_systemd_is_asked_to_end_the_bypass(systemd: Path) -> None:
    """With a program that is there and a command that it understands; an earlier timer goes first."""
    assert alarm.arm(30, arguments=["resume", "--help"])
    asked = (systemd / "systemd-run.log").read_text(encoding="utf-8").splitlines()
    assert "--on-active=30min" in asked
    assert "--unit=gatepost-resume" in asked
    assert (systemd / "systemctl.log").read_text(encoding="utf-8").split() == [
        "systemctl",
        "stop",
        "gatepost-resume.timer",
    ]
    command = asked[asked.index(sys.executable) :]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "Put gatepost back" in shown.stdout


def test_a_timer_that_systemd_refuses_is_not_claimed(systemd: Path) -> None:
    """Never pretend."""
    (systemd / "systemd-run").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    assert not alarm.arm(30, arguments=["resume"])


def test_without_systemd_there_is_no_timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is run."""
    monkeypatch.setattr(alarm, "SYSTEMD", tmp_path / "missing")
    monkeypatch.setenv("PATH", "")
    assert not alarm.arm(30, arguments=["resume"])
    alarm.disarm()
