"""Owns the file of a new store, made once in each process: making its tables takes longer than many a test."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from gatepost_config.settings import Store
from gatepost_quarantine.sql import open_store


def new_store(path: Path) -> str:
    """Put the file of a new and empty store at ``path``, unless there is one; its URL."""
    if not path.exists():
        path.touch(0o600)
        path.write_bytes(_empty())
    return f"sqlite:///{path}"


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "quarantine.db")
        open_store(Store(url=f"sqlite:///{path}", free_floor=0), gateway="mx1.school.example").close()
        return path.read_bytes()
