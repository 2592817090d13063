"""Owns what is written to standard output: one line for each event, which no message content can break or forge.

JSON escapes every control and every non-ASCII character; the text format does the same for what a terminal or
a line reader would act upon. Values are never formatted into the event's word.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import structlog

from gatepost_config.settings import Log

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_TRACE_LINES = 40
_ATOMIC = 4000  # bytes; up to 4096 (PIPE_BUF) the kernel keeps the lines of several processes apart
_SHORTEST = 100  # letters of a text that are never cut
_ENCODE = json.JSONEncoder(default=str).encode


def configure(settings: Log, *, service: str) -> None:
    """Send structlog's events, and those of libraries that use ``logging``, to standard output.

    ``service`` stands in every line. Call it once in each process, before it has threads.
    """
    level = _LEVELS[settings.level]
    render = _json if settings.format == "json" else _text

    # One step instead of structlog's usual five: there is a line for every message, and steps cost more than work.
    def write(_logger: object, method: str, event: MutableMapping[str, Any]) -> bytes:
        if "exc_info" in event:
            _trace(event)
        first = {
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            "level": method,
            "service": service,
            "event": event.pop("event", ""),
        }
        return render(first, event)

    structlog.configure(
        processors=[write],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(max(level, logging.WARNING))


class _Bridge(logging.Handler):
    """Passes the records of ``logging`` on, so that every line of a service has one form."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger()
        logger.log(
            record.levelno,
            "library",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )


def _trace(event: MutableMapping[str, Any]) -> None:
    """Put the traceback of an exception, its last lines if it is long, into one value."""
    info = event.pop("exc_info")
    if info is True:
        info = sys.exc_info()
    elif isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if isinstance(info, tuple) and info[0] is not None:
        lines = "".join(traceback.format_exception(*info)).splitlines()
        event["exception"] = "\n".join(lines[-_TRACE_LINES:])


def _json(first: Mapping[str, str], event: Mapping[str, Any]) -> bytes:
    # What a caller names like one of the first four does not replace it.
    line = _ENCODE({**first, **event, **first})
    if len(line) > _ATOMIC and "exception" not in event:
        line = _shortened({**first, **event, **first})
    return line.encode()


def _shortened(values: dict[str, Any]) -> str:
    """The line with its longest texts cut, until it fits."""
    while len(line := _ENCODE(values)) > _ATOMIC:
        name = max(values, key=lambda each: len(_ENCODE(values[each])))
        text = str(values[name])
        if len(text) < _SHORTEST:
            break
        values[name] = f"{text[: len(text) // 2]}…"
    return line


def _text(first: Mapping[str, str], event: Mapping[str, Any]) -> bytes:
    words = [first["timestamp"], first["level"].upper(), first["service"], _escaped(str(first["event"]))]
    words += [f"{name}={_quoted(value)}" for name, value in event.items() if name not in first]
    return " ".join(words).encode("utf-8", "backslashreplace")


def _quoted(value: object) -> str:
    text = _escaped(str(value))
    return f'"{text}"' if not text or any(letter in text for letter in ' "=') else text


def _escaped(text: str) -> str:
    """Control, bidirectional and other unprintable characters as escapes, and the two that quoting needs."""
    return "".join(_escape(letter) if not letter.isprintable() or letter in '\\"' else letter for letter in text)


def _escape(letter: str) -> str:
    if letter in '\\"':
        return f"\\{letter}"
    return letter.encode("unicode_escape").decode("ascii")
