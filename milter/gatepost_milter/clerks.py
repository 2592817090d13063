"""Owns the threads on which messages are processed: Python's own, never libmilter's.

pymilter moves a session's Python state from one thread of libmilter to another. An extension that asks Python
which state belongs to its thread (PyGILState_Check or PyGILState_Ensure; CEL does) aborts the process there, or
locks it up. So libmilter's thread waits while one of ours does the work. A hand-over costs two wake-ups.
"""

from __future__ import annotations

from _thread import LockType, allocate_lock
from collections import deque
from collections.abc import Callable
from threading import Thread

Work = Callable[[], int]


class Clerks:
    """``count`` threads that take work; whoever gives it sees to it that it does not raise.

    The clerk who was busy last is asked first: his stack is still in the processor's cache. In turn, each of many
    would come to a cold one.
    """

    def __init__(self, count: int) -> None:
        self._lock = allocate_lock()
        self._waiting: deque[_Job] = deque()
        self._idle = [_Clerk() for _ in range(count)]
        for number, clerk in enumerate(self._idle):
            Thread(target=self._serve, args=(clerk,), name=f"clerk-{number}", daemon=True).start()

    def do(self, work: Work, *, otherwise: int) -> int:
        """What ``work`` returns, done by a clerk; ``otherwise`` if it does not return."""
        job = _Job(work, otherwise)
        with self._lock:
            clerk = self._idle.pop() if self._idle else None
            if clerk is None:
                self._waiting.append(job)
        if clerk is not None:
            clerk.job = job
            clerk.wake.release()
        job.done.acquire()
        return job.result

    def _serve(self, clerk: _Clerk) -> None:
        while True:
            clerk.wake.acquire()
            while clerk.job is not None:
                clerk.job.take()
                with self._lock:
                    clerk.job = self._waiting.popleft() if self._waiting else None
                    if clerk.job is None:
                        self._idle.append(clerk)


class _Clerk:
    """A thread's place: its lock opens when there is work for it."""

    __slots__ = ("job", "wake")

    def __init__(self) -> None:
        self.job: _Job | None = None
        self.wake = _closed()


class _Job:
    """A piece of work, and a lock that opens when it is done (a raw lock: an Event costs three times as much)."""

    __slots__ = ("done", "result", "work")

    def __init__(self, work: Work, otherwise: int) -> None:
        self.work = work
        self.result = otherwise
        self.done = _closed()

    def take(self) -> None:
        try:
            self.result = self.work()
        finally:
            self.done.release()


def _closed() -> LockType:
    lock = allocate_lock()
    lock.acquire()
    return lock
