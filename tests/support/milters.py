"""Owns ``gatepost milter`` as it runs on a mail server, with all that it needs in one folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatepost_milter.demo.gateway import Process


def configured(folder: Path, **others: object) -> Path:
    """Settings for two workers whose socket is ``milter.sock`` in the folder; ``others`` are laid over them."""
    path = folder / "gatepost.yaml"
    settings = {
        "school": {"name": "Example School", "domains": ["school.example"]},
        "gateway": "gw.school.example",
        "socket": str(folder / "milter.sock"),
        "spool": {"directory": str(folder / "spool")},
        "store": {"url": f"sqlite:///{folder}/store.db", "free_floor": 0},
        "metrics": {"listen": ""},
        "workers": 2,
        "drain": 5,
    }
    path.write_text(json.dumps(settings | others), encoding="utf-8")
    return path


@contextmanager
def running(config: Path, *, event: str = "ready") -> Iterator[Process]:
    """The milter of these settings, from the log line ``event`` on until it is stopped."""
    process = Process("milter", "--config", str(config))
    try:
        assert process.wait_for(lambda line: line.get("event") == event, seconds=30), process.tail()
        yield process
    finally:
        process.stop()
