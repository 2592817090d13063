"""Owns what is written to standard output: one line for each event, which no message content can break or forge.

JSON escapes every control and every non-ASCII character; the text format does the same for what a terminal or
a line reader would act upon. Values are never formatted into the event's word.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import MutableMapping
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
_ENCODE = json.JSONEncoder(default=str).encode


def configure(settings: Log, *, service: str) -> None:
    """Send structlog's events, and those of libraries that use ``logging``, to standard output.

    ``service`` stands in every line. Call it once in each process, before it has threads.
    """
    level = _LEVELS[settings.level]
    render = _json if settings.format == "json" else _text

    def name_service(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            name_service,
            _trace,
            render,
        ],
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


def _trace(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The traceback of an exception, its last lines if it is long, as one value."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    elif isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if isinstance(info, tuple) and info[0] is not None:
        lines = "".join(traceback.format_exception(*info)).splitlines()
        event["exception"] = "\n".join(lines[-_TRACE_LINES:])
    return event


def _json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
    first = {name: event.pop(name, "") for name in ("timestamp", "level", "service", "event")}
    return _ENCODE({**first, **event}).encode()


def _text(_logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
    time, level = event.pop("timestamp", ""), event.pop("level", "")
    word, service = event.pop("event", ""), event.pop("service", "")
    words = [str(time), str(level).upper(), str(service), _escaped(str(word))]
    words += [f"{name}={_quoted(value)}" for name, value in event.items()]
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
