"""Owns the property that is worked out when it is first asked for, and once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

Value = TypeVar("Value")


class once(Generic[Value]):  # noqa: N801 - it reads as ``property`` does
    """``functools.cached_property`` as it is from Python 3.12 on: without a lock.

    Before, there is one lock for each property of a class, so that a thread which searches a long letter keeps all
    others from looking at theirs. What is asked here belongs to one message, and one thread has it.
    """

    def __init__(self, find: Callable[[Any], Value]) -> None:
        self._find = find
        self.__doc__ = find.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, thing: None, owner: type) -> once[Value]: ...
    @overload
    def __get__(self, thing: object, owner: type) -> Value: ...
    def __get__(self, thing: object | None, owner: type) -> once[Value] | Value:
        if thing is None:
            return self
        value = thing.__dict__[self._name] = self._find(thing)
        return value
