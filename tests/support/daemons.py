"""Owns a real daemon for tests: libmilter, master and workers as they are, behind them a gate that is scripted.

The gate does what a header field of the message asks for (``X-Do: raise``), and tags what it accepts with the
name of its generation, so that a test sees which one answered.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gatepost_config import logs, settings
from gatepost_config.errors import ConfigError, Problem
from gatepost_config.words import PolicyRef, Reply
from gatepost_milter import daemon
from gatepost_milter.demo.milter_client import MilterClient, Outcome
from gatepost_milter.gate import Step
from gatepost_milter.replies import TAG_HEADER, Answer, Disposition, Event
from gatepost_milter.scrape import Sources
from gatepost_milter.transaction import Transaction
from gatepost_quarantine.store import Counts, StoreError

MESSAGE = b"From: a@example.org\r\nSubject: hello\r\n\r\nHello\r\n"
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["support.daemons"])
_DEADLINE = 20.0  # seconds

# Starting a process also asks after all others that were started; two threads that ask after one at once read its
# exit code once, and one of them takes it for 255. So one thread at a time starts and asks.
_PROCESSES = threading.Lock()


class ScriptedGate:
    """Accepts, or does what the message asks for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def process(self, transaction: Transaction, *, enter: Callable[[Step], None]) -> Answer:
        enter(Step.JUDGE)
        match transaction.header(b"X-Do"):
            case b"raise":
                raise RuntimeError("a bug in the judge")
            case b"reject":
                reply = Reply(code=550, status="5.7.1", text="100% no")
                return Answer(disposition=Disposition.REJECT, event=Event.REFUSED, reply=reply)
            case b"size":
                size = f"{transaction.content.size} {sum(map(len, transaction.content.chunks()))}"
                return Answer(disposition=Disposition.ACCEPT, event=Event.PASSED, add=((TAG_HEADER, size),))
        return Answer(disposition=Disposition.ACCEPT, event=Event.TAGGED, add=((TAG_HEADER, self._name),))


def load(config: Path) -> daemon.Plan:
    """The plan that ``config`` (JSON) describes; ``broken`` in it is a fault of the configuration."""
    data = json.loads(config.read_text())
    if data.get("broken"):
        raise ConfigError(Problem(config, 3, 7, data["broken"], "mend it"))
    return daemon.Plan(
        address=data["address"],
        mode=0o660,
        workers=data["workers"],
        drain=data["drain"],
        spool=settings.Spool(directory=config.parent, memory=64 * 1024, limit=64 * 1024 * 1024),
        open_gate=partial(_open_gate, data),
        sources=_sources(data),
    )


def _sources(data: dict[str, Any]) -> Sources:
    return Sources(
        listen=data.get("metrics", ""),
        policy=PolicyRef(name=data["name"], version="1", digest="0" * 64),
        counts=partial(_counts, data.get("store", "")),
        bypassed=lambda: False,
        queues=("it-support",),
    )


def _counts(fault: str) -> Counts:
    """A store with one mail held for the safeguarding lead, or one that fails or hangs."""
    if fault == "broken":
        raise StoreError("no such table")
    if fault == "hangs":
        time.sleep(_DEADLINE)
    return Counts(
        unreviewed=1,
        oldest_unreviewed=60.0,
        owed=2,
        oldest_owed=5.0,
        free=1000,
        floor=100,
        unreviewed_by_queue={"dsl": 1},
        owed_by_kind={"release": 2, "notice": 0},
    )


@contextmanager
def _open_gate(data: dict[str, Any]) -> Iterator[ScriptedGate]:
    if data.get("cannot_start"):
        raise OSError(data["cannot_start"])
    yield ScriptedGate(data["name"])


def _run(config: str, log: str) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.environ["NOTIFY_SOCKET"] = json.loads(Path(config).read_text()).get("notify", "")
    logs.configure(settings.Log(), service="milter")
    sys.exit(daemon.run(partial(load, Path(config))))


class Daemon:
    """One daemon in a folder of its own. ``plan`` holds what its configuration says; ``write`` puts it there."""

    def __init__(self, home: Path, **plan: Any) -> None:
        self.home = home
        self.socket = home / "milter.sock"
        self.plan = {"address": str(self.socket), "workers": 2, "drain": 20.0, "name": "first", **plan}
        self._log = home / "log"
        self.write()
        self._process = _CONTEXT.Process(target=_run, args=(str(home / "plan.json"), str(self._log)))
        self._code: int | None = None
        with _PROCESSES:
            self._process.start()

    def write(self, **plan: Any) -> None:
        """Write the configuration, changed where ``plan`` says so."""
        self.plan |= plan
        (self.home / "plan.json").write_text(json.dumps(self.plan))

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """The log lines so far, only those of one event if it is given."""
        if not self._log.exists():
            return []
        complete = self._log.read_text().rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in complete if line.startswith("{")]
        return [line for line in found if not event or line["event"] == event]

    def wait_for(self, event: str, *, count: int = 1) -> dict[str, Any]:
        """The ``count``-th line of this event, once it is there."""
        until(lambda: len(self.lines(event)) >= count, f"{event} × {count}")
        return self.lines(event)[count - 1]

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def scrape(self, *, number: int = 1) -> dict[str, float]:
        """What Prometheus would read; ``number`` counts the addresses at which metrics were served so far."""
        address = self.wait_for("metrics are served", count=number)["address"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=_DEADLINE) as answer:
            return samples(answer.read().decode())

    def client(self) -> MilterClient:
        """A connection, past HELO."""
        opened = MilterClient(str(self.socket), timeout=_DEADLINE)
        opened.connect("client.example.org", "192.0.2.1")
        opened.helo("client.example.org")
        return opened

    def wait(self) -> int:
        """The exit code, once the daemon has ended."""
        assert self._ended(_DEADLINE), "the daemon has not ended"
        assert self._code is not None
        return self._code

    def _ended(self, seconds: float) -> bool:
        """Whether the process has ended, at the latest in so many seconds; its exit code is known then."""
        if self._code is None and multiprocessing.connection.wait([self._process.sentinel], seconds):
            with _PROCESSES:
                self._code = self._process.exitcode
        return self._code is not None

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        for patience in (1, _DEADLINE):
            if not self._ended(0):
                self.signal(signal.SIGTERM)
                self._ended(patience)
        assert self._ended(0)
        with _PROCESSES:
            self._process.close()


def until(condition: Callable[[], bool], what: str, *, seconds: float = _DEADLINE) -> None:
    """Wait for a condition, and fail when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


def samples(page: str) -> dict[str, float]:
    """The series of a scrape, as ``name{label="value"}``, labels sorted, and their values."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def begin(client: MilterClient) -> None:
    """Go half-way through a message."""
    client.mail("<a@example.org>")
    client.rcpt("<b@school.example>")
    client.header("Subject", " half")
    client.end_of_header()
    client.body(b"half a body\r\n")


def end(client: MilterClient) -> Outcome:
    """Go the other half."""
    client.body(b"the other half\r\n")
    return client.end_of_message(macros={"i": "4QUEUE"})


def whole(client: MilterClient, do: str = "") -> Outcome:
    """A message from beginning to end."""
    content = f"X-Do: {do}\r\n".encode() + MESSAGE if do else MESSAGE
    return client.message(content, sender="a@example.org", recipients=["b@school.example"])


def answered_by(outcome: Outcome) -> str:
    """The name of the generation that accepted."""
    assert outcome.disposition == "accept", outcome
    ((name, value),) = outcome.added
    assert name == TAG_HEADER
    return value.strip()
