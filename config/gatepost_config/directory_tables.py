"""Owns reading one CSV file as administrators really have it: any usual encoding and separator, with the place
of every cell kept, so that a fault can be shown where it is.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gatepost_config.errors import ConfigError, Problem

_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One file: its head and rows as text. ``lines`` are the physical lines, for finding places in them.

    ``rows`` are (first physical line, cells). Empty rows and rows that begin with ``#`` are left out.
    """

    path: Path
    encoding: str
    separator: str
    lines: tuple[str, ...]
    head_line: int
    head: tuple[str, ...]
    rows: tuple[tuple[int, list[str]], ...]

    @property
    def separator_name(self) -> str:
        """The separator as a person calls it."""
        return _SEPARATORS[self.separator]

    def problem(self, line: int, index: int, message: str, remedy: str = "") -> Problem:
        """A fault in cell ``index`` (from 0) of the row that begins on ``line`` (from 1)."""
        line, column = self._place(line, index)
        return Problem(path=self.path, line=line, column=column, message=message, remedy=remedy)

    def _place(self, line: int, index: int) -> tuple[int, int]:
        """Line and column, both from 1, of a cell's first character; a quoted cell may span lines."""
        column = 1
        quoted = False
        for number in range(line - 1, len(self.lines)):
            for column, character in enumerate(self.lines[number], start=1):
                if index == 0:
                    return number + 1, column
                if character == '"':
                    quoted = not quoted
                elif character == self.separator and not quoted:
                    index -= 1
            if not quoted:
                return number + 1, column
        return line, 1


def read_table(path: Path) -> Table:
    """The table in ``path``. Raises ConfigError if it cannot be read as one at all: then nothing of it is used."""
    text, encoding = _decode(path)
    lines = tuple(io.StringIO(text, newline=""))
    separator = _separator(lines)
    rows = _rows(path, lines, separator)
    try:
        head_line, head = next(rows)
    except StopIteration:
        raise ConfigError(
            Problem(path, 0, 0, "the file is empty", "its first line must name the columns")
        ) from None
    return Table(
        path=path,
        encoding=encoding,
        separator=separator,
        lines=lines,
        head_line=head_line,
        head=tuple(cell.strip() for cell in head),
        rows=tuple(rows),
    )


def _decode(path: Path) -> tuple[str, str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(Problem(path, 0, 0, f"cannot be read: {error.strerror}")) from None
    tries = [("utf-8", "UTF-8"), ("cp1252", "Windows-1252")]
    for mark, codec, name in _MARKS:
        if content.startswith(mark):
            tries = [(codec, name)]
    for codec, name in tries:
        try:
            return content.decode(codec), name
        except UnicodeDecodeError:
            continue
    raise ConfigError(
        Problem(path, 0, 0, "is neither UTF-8 nor Windows-1252 text", "save it as “CSV UTF-8” and try again")
    )


def _separator(lines: tuple[str, ...]) -> str:
    """The separator that the first real line has most of, outside quotes; a comma if it has none."""
    for line in lines:
        if line.strip() and not line.startswith("#"):
            outside = "".join(line.split('"')[::2])
            return max(_SEPARATORS, key=outside.count)
    return ","


def _rows(path: Path, lines: tuple[str, ...], separator: str) -> Iterator[tuple[int, list[str]]]:
    # Strict: otherwise one lost quote would swallow the rest of the file without a word.
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ConfigError(
                Problem(
                    path,
                    line,
                    1,
                    f"the row that begins here is not CSV: {error}",
                    'a quotation mark inside a quoted cell is written twice: "Anne ""Nan"" Lee"',
                )
            ) from None
        if cells and not cells[0].startswith("#") and any(cell and not cell.isspace() for cell in cells):
            yield line, cells
