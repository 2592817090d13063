"""Owns a private gateway: the real milter and the real courier as processes, with settings in a folder of its own.

The demo shows it, and the end-to-end tests are told on it. What it logs is read line by line, so that whoever
sent a message can wait for what the gateway says about it.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_START_DEADLINE = 30.0
"""Seconds that the milter may take until its socket answers."""
_STOP_DEADLINE = 20.0
"""Seconds that a process may take to end after SIGTERM before it is killed."""

Line = Mapping[str, Any]


CONSOLE_PORT = 8025


class GatewayError(Exception):
    """A process of the gateway did not start or ended; the text holds the last that it said."""


class Process:
    """One ``gatepost`` command that runs, and its log lines; what is not JSON becomes ``{"event": …}``."""

    def __init__(self, *arguments: str) -> None:
        self.name = arguments[0]
        self._said = threading.Condition()
        self._lines: list[Line] = []
        self._process = subprocess.Popen(
            [_gatepost(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"log-{self.name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id of the master."""
        return self._process.pid

    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def lines(self) -> tuple[Line, ...]:
        """Every log line so far."""
        with self._said:
            return tuple(self._lines)

    def wait_for(self, wanted: Callable[[Line], bool], *, after: int = 0, seconds: float) -> Line | None:
        """The first line from number ``after`` on that is wanted; None when the time is over before."""
        deadline = time.monotonic() + seconds
        with self._said:
            while True:
                for line in self._lines[after:]:
                    if wanted(line):
                        return line
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._said.wait(left)

    def tail(self, count: int = 20) -> str:
        """The last lines, for an error text."""
        return "\n".join(
            str(line["event"]) if set(line) == {"event"} else json.dumps(dict(line), ensure_ascii=False)
            for line in self.lines()[-count:]
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the master."""
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """The exit status, once the process has ended. Raises subprocess.TimeoutExpired."""
        return self._process.wait(seconds)

    def stop(self) -> None:
        """Ask the process to end, and insist after a while."""
        if self.running():
            self._process.terminate()
        try:
            self._process.wait(_STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_STOP_DEADLINE)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()

    def _read(self) -> None:
        stdout = self._process.stdout
        if stdout is None:
            return
        for raw in stdout:
            line = _parse(raw.decode("utf-8", errors="replace").rstrip("\n"))
            with self._said:
                self._lines.append(line)
                self._said.notify_all()


class Gateway:
    """Milter and courier with their settings under ``home``; a context manager that starts and stops both.

    ``inbound`` and ``outbound`` are the loopback ports to which the courier releases. ``overrides`` are settings
    that are laid over the private ones, section by section.
    """

    def __init__(
        self,
        home: Path,
        *,
        domains: Sequence[str],
        inbound: int,
        outbound: int,
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        self.home = home
        self.config = home / "gatepost.yaml"
        self.socket = home / "milter.sock"
        spool = home / "in-flight"
        spool.mkdir(mode=0o700, exist_ok=True)
        private: dict[str, Any] = {
            "school": {"name": "Example School", "domains": list(domains)},
            "gateway": f"gateway.{domains[0]}",
            "socket": str(self.socket),
            "socket_mode": "666",
            "drain": 10,
            "spool": {"directory": str(spool)},
            "store": {"url": f"sqlite:///{home / 'quarantine.db'}", "free_floor": 0},
            "courier": {
                "inbound": f"127.0.0.1:{inbound}",
                "outbound": f"127.0.0.1:{outbound}",
                "poll": 0.1,
                "retry": [0.5],
            },
            "metrics": {"listen": ""},
            "console": {"listen": f"127.0.0.1:{_console_port()}"},
            "log": {"format": "json"},
        }
        # Every JSON text is a YAML text.
        settings = _laid_over(private, overrides or {})
        self.config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        self.console_url = f"http://{settings['console']['listen']}"
        self.milter: Process
        self.courier: Process
        self.console: Process | None = None

    def start_milter(self) -> None:
        """Start the milter and wait until its socket answers. Raises GatewayError."""
        self.milter = Process("milter", "--config", str(self.config))
        deadline = time.monotonic() + _START_DEADLINE
        while not self._answers():
            if not self.milter.running() or time.monotonic() > deadline:
                self.milter.stop()
                raise GatewayError(f"the milter did not start:\n{self.milter.tail()}")
            time.sleep(0.02)  # nothing tells us; the deadline above bounds the asking

    def start_courier(self) -> None:
        """Start the courier; what it owes is kept until it runs, so nobody needs to wait."""
        self.courier = Process("courier", "--config", str(self.config))

    def start_console(self, *, name: str, password: str) -> bool:
        """Make a reviewer's account and start the console; False if its parts are not installed here."""
        secret = self.home / "console-password"
        secret.write_text(password + "\n", encoding="utf-8")
        made = self.run("console", "add-user", name, "--role", "reviewer", "--password-file", str(secret))
        secret.unlink()
        if made.returncode != 0:
            return False
        self.console = Process("console", "--config", str(self.config))
        host, _, port = self.console_url.removeprefix("http://").rpartition(":")
        deadline = time.monotonic() + _START_DEADLINE
        while not _takes_calls(host, int(port)):
            if not self.console.running() or time.monotonic() > deadline:
                return False
            time.sleep(0.05)  # nothing tells us; the deadline above bounds the asking
        return True

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a ``gatepost`` command that takes ``--config``, and give what it printed."""
        return subprocess.run(
            [_gatepost(), *arguments, "--config", str(self.config)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __enter__(self) -> Gateway:
        self.start_milter()
        self.start_courier()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console is not None:
            self.console.stop()
        self.courier.stop()
        self.milter.stop()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return True


def _console_port() -> int:
    """The console's usual port; if somebody has it already, any free one."""
    for port in (CONSOLE_PORT, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as probe:
                return int(probe.getsockname()[1])
        except OSError:
            continue
    raise GatewayError("no port of this machine is free")


def _takes_calls(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _gatepost() -> str:
    """The command that belongs to this interpreter, and else the one on PATH."""
    beside = Path(sys.executable).with_name("gatepost")
    found = str(beside) if beside.exists() else shutil.which("gatepost")
    if found is None:
        raise GatewayError("the command gatepost is not installed beside this Python")
    return found


def _parse(line: str) -> Line:
    try:
        parsed = json.loads(line)
    except ValueError:
        return {"event": line}
    return parsed if isinstance(parsed, dict) else {"event": line}


def _laid_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over``; sections are laid over each other, everything else is replaced."""
    laid = dict(base)
    for name, value in over.items():
        below = laid.get(name)
        laid[name] = (
            _laid_over(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return laid
