"""Owns a Postfix with the shipped lines that nobody runs, for tests of the doctor and the bypass.

And the marking filter, for those that run one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from gatepost_milter.cli import main
from gatepost_milter.doctor import gateway_facts, postconf

PATIENCE = 20.0
MASTER = """\
smtp       inet  n  -  y  -  -  smtpd
submission inet  n  -  y  -  -  smtpd
    -o syslog_name=postfix/submission
pickup     unix  n  -  y  60 1  pickup
cleanup    unix  n  -  y  -  0  cleanup
qmgr       unix  n  -  n  300 1 qmgr
rewrite    unix  -  -  y  -  -  trivial-rewrite
smtp       unix  -  -  y  -  -  smtp
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A configuration of Postfix that nobody runs, with the shipped lines, and gatepost's settings for it."""

    home: Path

    @property
    def postfix(self) -> Path:
        return self.home / "postfix"

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def socket(self) -> str:
        return f"{self.home}/queue/gatepost/milter.sock"

    def files(self) -> dict[str, bytes]:
        """What is in Postfix's folder, byte for byte."""
        return {path.name: path.read_bytes() for path in self.postfix.iterdir()}

    def postconf(self, *arguments: str) -> str:
        """Run postconf, as an administrator would."""
        shown = postconf.run("postconf", self.postfix, *arguments)[0]
        self.cool()
        return shown

    def cool(self) -> None:
        """Make the files look old: Postfix waits two seconds before it reads one that was written just now."""
        for name in ("main.cf", "master.cf"):
            os.utime(self.postfix / name, (1_000_000_000, 1_000_000_000))

    def results(self, *names: str) -> list[dict[str, str]]:
        """What ``gatepost doctor --json`` finds."""
        arguments = ["doctor", "--json", *(word for name in names for word in ("--only", name))]
        found: list[dict[str, str]] = json.loads(self.run(*arguments).stdout)
        return found

    def run(self, *arguments: str, answer: str | None = None) -> Result:
        """Run gatepost with this site's files."""
        where = ["--config", str(self.home / "gatepost.yaml"), "--postfix-config", str(self.postfix)]
        return CliRunner().invoke(main, [*arguments, *where], input=answer)


def made_site(home: Path, root: Path) -> Site:
    """The lines of config/postfix in ``home``, pasted where the administrator is told to paste them."""
    made = Site(home)
    for name in ("postfix", "state", "queue", "data"):
        (home / name).mkdir()
    examples = root / "config" / "postfix"
    (made.postfix / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {home}/queue\ndata_directory = {home}/data\n"
        + (examples / "main.cf").read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    (made.postfix / "master.cf").write_text(
        MASTER + (examples / "master.cf").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (home / "gatepost.yaml").write_text(
        "school: {name: A School, domains: [school.example]}\n"
        f"socket: {made.socket}\n"
        f"store: {{url: 'sqlite:///{made.state}/quarantine.db'}}\n"
        f"spool: {{directory: {made.state}/spool}}\n",
        encoding="utf-8",
    )
    made.cool()
    return made


@contextmanager
def marking(path: Path, root: Path) -> Iterator[None]:
    """The marking filter, answering on ``path``."""
    running = subprocess.Popen([sys.executable, root / "tests" / "support" / "marking_milter.py", path])
    try:
        deadline = time.monotonic() + PATIENCE
        while gateway_facts.answer(str(path)).problem:
            assert running.poll() is None
            assert time.monotonic() < deadline, "the filter does not answer"
            time.sleep(0.02)  # asked again until the deadline
        path.chmod(0o666)
        yield
    finally:
        running.terminate()
        running.wait(PATIENCE)
        path.unlink(missing_ok=True)
