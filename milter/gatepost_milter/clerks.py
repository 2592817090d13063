"""Owns the threads on which messages are processed: Python's own, never libmilter's.

pymilter moves a session's Python state from one thread of libmilter to another. An extension that asks Python
which state belongs to its thread (PyGILState_Check or PyGILState_Ensure; CEL does) aborts the process there, or
locks it up. So libmilter's thread waits while one of ours does the work. A hand-over costs two wake-ups.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

Work = Callable[[], int]


class Clerks:
    """``count`` threads that take work in turn; whoever gives it sees to it that it does not raise."""

    def __init__(self, count: int) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        for number in range(count):
            Thread(target=self._serve, name=f"clerk-{number}", daemon=True).start()

    def do(self, work: Work, *, otherwise: int) -> int:
        """What ``work`` returns, done by a clerk; ``otherwise`` if it does not return."""
        job = _Job(work, otherwise)
        self._jobs.put(job)
        job.done.acquire()
        return job.result

    def _serve(self) -> None:
        while True:
            self._jobs.get().take()


class _Job:
    """A piece of work, and a lock that opens when it is done (a raw lock: an Event costs three times as much)."""

    __slots__ = ("done", "result", "work")

    def __init__(self, work: Work, otherwise: int) -> None:
        self.work = work
        self.result = otherwise
        self.done = allocate_lock()
        self.done.acquire()

    def take(self) -> None:
        try:
            self.result = self.work()
        finally:
            self.done.release()
