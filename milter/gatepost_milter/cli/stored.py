"""Owns what the commands about what is stored share: options, the open store, and who runs them."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gatepost_config.settings import Settings
from gatepost_milter.cli.configured import CannotError, settings_at
from gatepost_quarantine.sql import SqlStore, open_store
from gatepost_quarantine.store import StoreError

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
actor_option = click.option("--actor", default="", help="Who decides, for the record.  [default: you]")


@contextmanager
def store_at(config: Path) -> Iterator[tuple[SqlStore, Settings]]:
    """The store of these settings, and they. Raises CannotError, also for what the store cannot do meanwhile."""
    settings = settings_at(config)
    try:
        store = open_store(settings.store, gateway=settings.gateway)
        try:
            yield store, settings
        finally:
            store.close()
    except StoreError as error:
        raise CannotError(str(error)) from error


def login() -> str:
    """Who runs the command: the person behind sudo, if there is one."""
    behind = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    try:
        return behind or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
