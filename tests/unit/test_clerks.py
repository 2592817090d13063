"""Every piece of work is done once, by a thread of ours, whoever gives it and however many there are."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gatepost_milter.clerks import Clerks


def test_all_work_is_done_once_also_when_there_are_too_few() -> None:
    """Thirty-two sessions and three clerks: some wait, nobody is forgotten, everybody gets his own answer."""
    clerks = Clerks(3)
    busy, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        with lock:
            busy -= 1
        return number

    with ThreadPoolExecutor(32) as givers:
        answers = list(givers.map(lambda number: clerks.do(lambda: work(number), otherwise=-1), range(5000)))

    assert answers == list(range(5000))
    assert most <= 3


def test_the_one_who_was_busy_last_is_asked_first() -> None:
    """A warm stack is worth more than fairness among threads that have nothing to lose."""
    clerks = Clerks(8)
    seen = {clerks.do(threading.get_ident, otherwise=0) for _ in range(3)}

    assert len(seen) == 1
    assert threading.get_ident() not in seen


def test_work_that_ends_its_thread_is_answered_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not happen; if it does, that message is temp-failed and the others are not."""
    ended = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: ended.set())
    clerks = Clerks(2)

    def end() -> int:
        raise RuntimeError("a defect of whoever gave it")

    assert clerks.do(end, otherwise=-1) == -1
    assert ended.wait(20)
    assert clerks.do(lambda: 7, otherwise=-1) == 7
