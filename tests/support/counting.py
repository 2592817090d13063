"""Owns processes that count: each is a life of its own, because a slot is taken for good."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gatepost_milter import metrics
from gatepost_milter.gate import FINDINGS, INSPECT_SECONDS
from gatepost_milter.session import SESSIONS

_CONTEXT = multiprocessing.get_context("forkserver")


def in_a_process(work: Callable[[], None]) -> None:
    """A process of its own: a slot is taken for good."""
    process = _CONTEXT.Process(target=work)
    process.start()
    process.join(20)
    assert process.exitcode == 0


def count_once(directory: Path, slot: str) -> None:
    metrics.attach(directory, slot)
    FINDINGS.labels(rule="exe", mode="monitor").inc()
    INSPECT_SECONDS.observe(0.02)
    SESSIONS.inc()


def count_as_many(directory: Path, slots: int) -> None:
    """Fifty lives, one after the other, in so many slots: what a worker that dies at once would make."""
    for number in range(50):
        if pid := os.fork():
            assert os.waitpid(pid, 0)[1] == 0
        else:
            count_once(directory, str(number % slots))
            os._exit(0)


def count_before_and_after_a_fork(directory: Path) -> None:
    count_once(directory, metrics.MASTER)
    if pid := os.fork():
        assert os.waitpid(pid, 0)[1] == 0
    else:
        count_once(directory, "0")
        os._exit(0)


def count_nowhere(directory: Path) -> None:
    counter = FINDINGS.labels(rule="exe", mode="monitor")
    with pytest.raises(OSError, match="missing"):
        metrics.attach(directory, "0")
    counter.inc()
    assert counter._value.get() == 1
    directory.mkdir()
    FINDINGS.labels(rule="later", mode="monitor").inc()
    assert list(directory.iterdir()) == []
