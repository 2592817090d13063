"""Log lines cannot be forged or broken by what a stranger writes into a message."""

from __future__ import annotations

import json
import logging
import select
from collections.abc import Callable, Iterator

import pytest
import structlog

from gatepost_config import logs
from gatepost_config.settings import Log

HOSTILE = 'x\n{"event": "forged"}\r\x1b[2J\u202e\u2028 \udcff "q" \\'


@pytest.fixture
def output(capsysbinary: pytest.CaptureFixture[bytes]) -> Iterator[Callable[[], bytes]]:
    """Gives what was written to standard output; the configuration is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capsysbinary.readouterr().out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_json_keeps_a_hostile_value_in_one_line_and_gives_it_back(output: Callable[[], bytes]) -> None:
    """A collector that splits at line ends must see one record, and the value unharmed."""
    logs.configure(Log(), service="milter")
    structlog.get_logger().info("held", sender=HOSTILE)

    (line,) = output().splitlines()
    assert line.isascii()
    record = json.loads(line)
    assert (record["event"], record["service"], record["level"]) == ("held", "milter", "info")
    assert record["sender"] == HOSTILE


def test_text_escapes_whatever_a_terminal_would_act_on(output: Callable[[], bytes]) -> None:
    """A line end, an escape sequence or a change of direction must not reach the reader's terminal."""
    logs.configure(Log(format="text"), service="milter")
    structlog.get_logger().info("held", sender=HOSTILE)

    text = output().decode()
    assert text.count("\n") == 1
    assert not [letter for letter in text.rstrip("\n") if not letter.isprintable()]
    assert r'sender="x\n{\"event\": \"forged\"}\r\x1b[2J\u202e\u2028 \udcff \"q\" \\"' in text


@pytest.mark.parametrize("letter", ["a", "\0", "é", "\U0001f389", "\udcff"])
def test_a_long_value_does_not_make_a_line_that_others_could_cut_in_two(
    output: Callable[[], bytes], letter: str
) -> None:
    """Several processes write into one pipe, and the kernel keeps them apart up to PIPE_BUF bytes only."""
    logs.configure(Log(), service="milter")
    structlog.get_logger().info("held", sender="a@example.org", message_id=letter * 100_000, detail=letter * 2000)

    (line,) = output().splitlines()
    assert len(line) < select.PIPE_BUF
    record = json.loads(line)
    assert record["sender"] == "a@example.org"
    assert record["message_id"].startswith(letter * 50)
    assert record["message_id"].endswith("…")


def test_a_caller_cannot_replace_what_every_line_begins_with(output: Callable[[], bytes]) -> None:
    """Whatever a line is about, it says itself who wrote it, when and how urgently."""
    logs.configure(Log(), service="milter")
    structlog.get_logger().info("held", service="forged", level="debug", timestamp="never")

    record = json.loads(output())
    assert (record["service"], record["level"], record["event"]) == ("milter", "info", "held")
    assert record["timestamp"].endswith("Z")


@pytest.mark.parametrize(("level", "words"), [("info", ["a", "b"]), ("error", ["b"])])
def test_the_level_decides_what_is_written(output: Callable[[], bytes], level: str, words: list[str]) -> None:
    """A quiet gateway still writes its errors."""
    logs.configure(Log.model_validate({"level": level}), service="milter")
    structlog.get_logger().info("a")
    structlog.get_logger().error("b")

    assert [json.loads(line)["event"] for line in output().splitlines()] == words


def test_libraries_speak_the_same_form(output: Callable[[], bytes]) -> None:
    """A warning of the database layer is a record like any other."""
    logs.configure(Log(), service="milter")
    logging.getLogger("sqlalchemy.pool").warning("lost %s", "connection")

    (record,) = (json.loads(line) for line in output().splitlines())
    assert (record["event"], record["logger"], record["message"]) == (
        "library",
        "sqlalchemy.pool",
        "lost connection",
    )


def test_an_exception_is_one_value_of_the_line(output: Callable[[], bytes]) -> None:
    """A traceback over many lines would be many records to a collector."""
    logs.configure(Log(), service="milter")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        structlog.get_logger().exception("failed")

    (line,) = output().splitlines()
    assert "ValueError" in json.loads(line)["exception"]
