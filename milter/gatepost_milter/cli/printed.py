"""Owns the two forms in which commands print rows: a plain table for people, indented JSON for programs."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.table import Table
from rich.text import Text


def plain_table(*headings: str) -> Table:
    """A table without frames; its first column is never folded. Headings are no markup."""
    made = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for position, heading in enumerate(headings):
        made.add_column(Text(heading), no_wrap=position == 0)
    return made


def print_json(data: Any) -> None:
    """Print data as indented JSON; what came with a message goes out escaped, or a terminal might obey it."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=True))
