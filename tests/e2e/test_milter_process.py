"""The milter as it is run: settings, the default policy, real inspectors and store, driven over its socket."""

from __future__ import annotations

import base64
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.milters import configured, running

from gatepost_milter.demo.gateway import Process
from gatepost_milter.demo.milter_client import MilterClient, Outcome

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MEGABYTE = 1024 * 1024
HEAD = (
    b"From: a@elsewhere.example\r\nTo: b@school.example\r\nSubject: %d\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: application/octet-stream; name=data.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
)


@pytest.fixture
def milter(tmp_path: Path) -> Iterator[Process]:
    """``gatepost milter`` with two workers; its socket is ``milter.sock`` in the same folder."""
    with running(configured(tmp_path)) as process:
        yield process


def deliver(socket: Path, size: int, number: int) -> Outcome:
    """One inbound message with an attachment of so many encoded bytes."""
    data = base64.encodebytes(random.Random(number).randbytes(size * 54 // 73)).replace(b"\n", b"\r\n")
    with MilterClient(str(socket), timeout=120) as client:
        client.connect("mail.elsewhere.example", "192.0.2.1")
        client.helo("mail.elsewhere.example")
        return client.message(HEAD % number + data, sender="a@elsewhere.example", recipients=["b@school.example"])


def test_sessions_that_move_between_threads_do_not_end_a_worker(milter: Process, tmp_path: Path) -> None:
    """libmilter goes on with a large message in another thread; CEL aborts the process if it is asked there."""
    with ThreadPoolExecutor(8) as clients:
        outcomes = list(
            clients.map(lambda number: deliver(tmp_path / "milter.sock", 4 * MEGABYTE, number), range(24))
        )

    assert {outcome.disposition for outcome in outcomes} == {"accept"}
    assert not [line for line in milter.lines() if line.get("event") == "worker died"]


def test_eight_messages_of_50_megabytes_need_less_than_200(milter: Process, tmp_path: Path) -> None:
    """A staff room that sends its videos at once must not push the gateway out of memory."""
    before = peak = _memory(milter.pid)
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.03):
            peak = max(peak, _memory(milter.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(8) as clients:
            outcomes = list(
                clients.map(lambda number: deliver(tmp_path / "milter.sock", 50 * 1000 * 1000, number), range(8))
            )
    finally:
        over.set()
        watcher.join()

    assert {outcome.disposition for outcome in outcomes} == {"accept"}
    assert peak - before < 200 * MEGABYTE


def _memory(pid: int) -> int:
    """Bytes that a process and all under it hold: each page once, shared ones in proportion (PSS)."""
    total = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(_memory(int(child)) for child in (task / "children").read_text().split())
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        return total  # it ended while we looked
    return total
