"""Owns the commands that run a service until it is told to stop: ``milter``, ``courier`` and ``pages``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from gatepost_config import logs
from gatepost_config.documents import load_settings
from gatepost_config.errors import ConfigError
from gatepost_config.settings import Settings
from gatepost_milter.cli.configured import CannotError, config_option
from gatepost_quarantine.store import StoreError


@click.command(epilog="Example: gatepost milter --config /etc/gatepost/gatepost.yaml")
@config_option
def milter(config: Path) -> None:
    """Run the milter that Postfix talks to, until SIGTERM.

    SIGTERM ends it when all sessions have ended; a second one ends it at once. SIGHUP loads settings and policy
    again: new workers take over, and if anything is wrong the old ones stay in force and the log says why.
    """
    # Here, because every other command must work on a machine without libmilter.
    from gatepost_milter import compose, daemon

    try:
        logs.configure(load_settings(config).log, service="milter")
        code = compose.serve(config)
    except (ConfigError, StoreError, daemon.ListenError) as error:
        raise CannotError(str(error)) from error
    sys.exit(code)


@click.command(epilog="Example: gatepost courier --config /etc/gatepost/gatepost.yaml")
@config_option
def courier(config: Path) -> None:
    """Run the courier, which sends what is owed: notices and released messages.

    SIGTERM ends it after the present mail. SIGHUP loads settings and templates again; bad ones change nothing.
    """
    from gatepost_quarantine.courier import main as run_courier

    try:
        logs.configure(load_settings(config).log, service="courier")
        code = run_courier(partial(load_settings, config))
    except (ConfigError, StoreError) as error:
        raise CannotError(str(error)) from error
    sys.exit(code)


@click.command(epilog="Example: gatepost pages --config /etc/gatepost/gatepost.yaml")
@config_option
def pages(config: Path) -> None:
    """Run the sender pages, where people answer about mail of theirs that is held, until SIGTERM.

    They listen where sender_pages.listen says, and need no log-in: the link in a notice opens one message.
    """
    # Here, because every other command must work on a machine without the parts of a web application.
    try:
        from gatepost_quarantine.sender.service import main as run_pages
    except ImportError as error:
        raise CannotError(f"the pages need a part that is not installed: {error}; use gatepost[console]") from None
    serve(config, run_pages, service="pages")


def serve(config: Path, run: Callable[[Settings], int], *, service: str) -> NoReturn:
    """Run a web application with these settings, logging as ``service``, and end with its exit code.

    Raises CannotError if the settings or the store cannot be used.
    """
    try:
        settings = load_settings(config)
        logs.configure(settings.log, service=service)
        code = run(settings)
    except (ConfigError, StoreError) as error:
        raise CannotError(str(error)) from error
    sys.exit(code)
