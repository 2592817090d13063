"""The property that is worked out once."""

from __future__ import annotations

import threading

from gatepost_milter.detect.once import once


class Counted:
    """Counts how often its number is worked out."""

    def __init__(self) -> None:
        self.asked = 0
        self.start = threading.Barrier(2)

    @once
    def number(self) -> int:
        """Some number."""
        self.asked += 1
        return self.asked

    @once
    def met(self) -> bool:
        """Whether two threads are here at the same time, each for an object of its own."""
        return self.start.wait(timeout=10) in (0, 1)


def test_it_is_worked_out_when_it_is_first_asked_for_and_once() -> None:
    counted = Counted()
    assert counted.asked == 0
    assert (counted.number, counted.number, counted.asked) == (1, 1, 1)
    assert Counted.number.__doc__ == "Some number."


def test_one_message_does_not_wait_for_another() -> None:
    """A lock for the property would keep all small mail waiting while one thread searches a long letter."""
    one, other = Counted(), Counted()
    other.start = one.start
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(other.met))
    thread.start()
    answers.append(one.met)
    thread.join()
    assert answers == [True, True]
