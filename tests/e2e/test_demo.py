"""The demo is the first thing that anybody sees of gatepost. It must work, and notice when something does not."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gatepost_milter.demo.samples import samples

GATEPOST = str(Path(sys.executable).with_name("gatepost"))


@pytest.mark.slow
@pytest.mark.parametrize("mta", ["front", "postfix"])
def test_every_sample_goes_as_the_policy_says(mta: str) -> None:
    """Through our own front and through Postfix: the same fates, the same reasons, the same notices."""
    shown = subprocess.run(
        [GATEPOST, "demo", "--json", "--port", "0", "--mta", mta],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    told = json.loads(shown.stdout)
    assert (told["mta"], told["as_expected"]) == (mta, True)
    fates = {mail["name"]: mail["recipients"] for mail in told["mails"]}
    assert fates == {sample.name: {to: fate.value for to, fate in sample.fates.items()} for sample in samples()}
    assert all(mail["why"] for mail in told["mails"] if set(mail["recipients"].values()) != {"delivered"})


def test_a_port_that_is_taken_is_said() -> None:
    """The usual reason why a demo does not start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shown = subprocess.run(
            [GATEPOST, "demo", "--once", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert shown.returncode == 2
    assert f"port {port} is in use" in shown.stderr


@pytest.mark.slow
def test_the_demo_stays_up_until_it_is_interrupted(tmp_path: Path) -> None:
    """It says how to send mail to it, and leaves no process and no folder behind."""
    with subprocess.Popen(
        # A shell's background job ignores SIGINT and its children inherit that, so this one asks for it back.
        ["env", "--default-signal=INT", GATEPOST, "demo", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "COLUMNS": "100"},
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "Ctrl-C" in line:
                break
        assert list(tmp_path.iterdir())
        demo.send_signal(signal.SIGINT)
        assert "ended" in demo.stdout.read()
        assert demo.wait(60) == 0
    assert list(tmp_path.iterdir()) == []
