"""Owns the forms in which commands print: tables and lines for people, JSON for programs."""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 160
"""Columns where the output is no terminal."""


def wide_console() -> Console:
    """Standard output; where it is no terminal, wide enough that tables are not folded at 80 columns."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    return console


def plain_table(*headings: str) -> Table:
    """A table without frames; its first column is never folded. Headings are no markup."""
    made = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for position, heading in enumerate(headings):
        made.add_column(Text(heading), no_wrap=position == 0)
    return made


def folding_table(*headings: str) -> Table:
    """A table without frames in which every column is folded rather than cut."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def one_line(value: object) -> str:
    """A value on one line, without what a terminal would act upon."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())


def minute(at: datetime | None) -> str:
    """The time where the server is, to the minute; empty for none."""
    return "" if at is None else at.astimezone().strftime("%d %b %Y %H:%M")


def print_json(data: Any) -> None:
    """Print data as indented JSON; what came with a message goes out escaped, or a terminal might obey it."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=True))


def print_json_line(data: Any) -> None:
    """Print data as one line of JSON, escaped likewise."""
    click.echo(json.dumps(data))
