"""Owns how commands come by settings and a policy, and how they say that they could not."""

from __future__ import annotations

from pathlib import Path

import click

from gatepost_config.documents import load_policy, load_settings
from gatepost_config.errors import ConfigError
from gatepost_config.policy_document import PolicyDocument
from gatepost_config.settings import DEFAULT_PATH, School, Settings

EXAMPLE_DOMAIN = "school.example"
"""The domain of a school that has no settings yet (RFC 2606 keeps it free)."""

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    show_default=True,
    help="Settings file.",
)
"""``config`` of the commands that cannot do without settings: see ``settings_at``."""

config_if_any_option = click.option(
    "--config", type=click.Path(path_type=Path), help=f"Settings file.  [default: {DEFAULT_PATH}]"
)
"""``config``, or None, of the commands that can: see ``settings_for``."""


class CannotError(click.ClickException):
    """The command could not do it: one or more plain sentences on standard error, exit code 2."""

    exit_code = 2


def settings_for(config: Path | None) -> Settings:
    """The settings in ``config``, or in the usual place; without any, those of an example school, with a warning.

    Raises CannotError with every problem of a file that is there but cannot be used.
    """
    if config is None and not DEFAULT_PATH.exists():
        click.echo(f"gatepost: no settings in {DEFAULT_PATH}; judging as for {EXAMPLE_DOMAIN}", err=True)
        return Settings(school=School(name="Example School", domains=[EXAMPLE_DOMAIN]))
    return settings_at(config or DEFAULT_PATH)


def settings_at(config: Path) -> Settings:
    """The settings in ``config``. Raises CannotError with every problem of them."""
    try:
        return load_settings(config)
    except ConfigError as error:
        raise CannotError(str(error)) from None


def document_named(name: str) -> PolicyDocument:
    """The policy document of that name or path, read and checked but not compiled. Raises CannotError."""
    try:
        return load_policy(name)
    except ConfigError as error:
        raise CannotError(str(error)) from None


def with_policy(settings: Settings, policy: str | None) -> Settings:
    """The settings with another policy, by name or by path from the current folder. Raises CannotError."""
    if policy is None:
        return settings
    return settings.model_copy(update={"policy": policy})


def with_directory(settings: Settings, folder: Path | None) -> Settings:
    """The settings with another people directory, by a path from the current folder."""
    return settings if folder is None else settings.model_copy(update={"directory": folder})
