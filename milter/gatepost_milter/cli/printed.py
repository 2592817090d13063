"""Owns the two forms in which commands print rows: a plain table for people, indented JSON for programs."""

from __future__ import annotations

import json
import os
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


def print_json(data: Any) -> None:
    """Print data as indented JSON; what came with a message goes out escaped, or a terminal might obey it."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=True))
