"""Owns the end of a bypass by the clock: a systemd timer where systemd runs, and nothing where it does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

UNIT = "gatepost-resume"
SYSTEMD = Path("/run/systemd/system")
_PATIENCE = 10.0
_PROGRAM = "from gatepost_milter.cli import main; main(prog_name='gatepost')"


def arm(minutes: int, *, arguments: Sequence[str]) -> bool:
    """Let systemd run ``gatepost postfix`` with these arguments in so many minutes, in place of an earlier timer.

    Returns whether systemd took it; False is the caller's to tell, for then nothing ends the bypass by itself.
    """
    if not SYSTEMD.is_dir() or shutil.which("systemd-run") is None:
        return False
    disarm()
    return _run(
        "systemd-run",
        f"--unit={UNIT}",
        f"--on-active={minutes}min",
        "--timer-property=AccuracySec=1s",
        "--collect",
        "--description=put gatepost back into Postfix",
        *(sys.executable, "-c", _PROGRAM, "postfix", *arguments),
    )


def disarm() -> None:
    """Stop the timer, if there is one. The service that it starts is let be: it may be what calls this."""
    if SYSTEMD.is_dir() and shutil.which("systemctl") is not None:
        _run("systemctl", "stop", f"{UNIT}.timer")


def _run(*command: str) -> bool:
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
