"""Owns ``gatepost postfix``: take gatepost out of Postfix in an emergency, put it back, and say how it stands."""

from __future__ import annotations

import getpass
import json
import os
import syslog
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from gatepost_config.documents import load_settings
from gatepost_config.errors import ConfigError
from gatepost_config.settings import DEFAULT_PATH, Settings
from gatepost_milter.bypass import DEFAULT_STATE, Bypass, BypassError, now, state_directory, trusted
from gatepost_milter.cli.configured import CannotError, config_option
from gatepost_milter.doctor import alarm, detour, gateway_facts, postconf
from gatepost_milter.doctor.postconf import PostconfError

_LONGEST = 24 * 60
"""Minutes. Whoever needs longer should think again tomorrow."""


@click.group()
def postfix() -> None:
    """Take gatepost out of Postfix in an emergency, and put it back."""


def _where(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all three commands have."""
    folder = click.Path(path_type=Path, file_okay=False)
    for option in (
        click.option("--state", type=folder, help="Folder of the record.  [default: the store's folder]"),
        click.option("--socket", help="The milter socket, if the settings cannot be read."),
        click.option(
            "--postfix-config",
            "directory",
            type=folder,
            default=postconf.DEFAULT_DIRECTORY,
            show_default=True,
            help="Folder of Postfix's main.cf and master.cf.",
        ),
        config_option,
    ):
        command = option(command)
    return command


@postfix.command(epilog="Example: gatepost postfix bypass --minutes 30")
@click.option(
    "--minutes",
    type=click.IntRange(1, _LONGEST),
    default=60,
    show_default=True,
    help="After which gatepost should be put back.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@_where
def bypass(
    *, minutes: int, yes: bool, config: Path, directory: Path, socket: str | None, state: Path | None
) -> None:
    """Take gatepost out of Postfix: from then on ALL MAIL PASSES UNEXAMINED.

    Run again, it moves the end. What was there is put on record, and `gatepost postfix resume` restores it.
    An alert (GatepostBypassActive) stays until then.
    """
    address, folder = _known(config, socket, state)
    with _plainly():
        places = detour.asked(directory.absolute(), socket=address)
        running = trusted(folder)
    if not yes:
        told = (
            f"takes it out of: {', '.join(places)}" if places else "moves the end of the bypass that is in force"
        )
        click.echo(
            f"This {told} ({directory}).\n"
            "From then on ALL MAIL PASSES UNEXAMINED: programs, exposed parents, all. What is held stays held."
        )
        click.confirm(f"Bypass gatepost for {minutes} minutes?", abort=True)
    actor = _actor()
    with _plainly():
        outcome = detour.begin(directory.absolute(), socket=address, state=folder, minutes=minutes, actor=actor)
        outcome = detour.remember_timer(
            folder, outcome, armed=alarm.arm(minutes, arguments=_resume_arguments(config, folder, directory))
        )
    done = outcome.bypass
    _log(f"bypass of gatepost {'moved' if running else 'begun'} by {actor}, until {_clock(done.until)}")
    click.secho("gatepost is out of Postfix: MAIL PASSES UNEXAMINED.", fg="red", bold=True)
    click.echo(f"To end it:  {_resume_command(config, directory, state)}")
    if done.timer:
        click.echo(f"systemd puts gatepost back at {_clock(done.until)} ({alarm.UNIT}.timer).")
    else:
        click.echo(
            f"NOTHING ends it by itself: systemd does not run here. Put gatepost back by {_clock(done.until)}; "
            "the alert stays until you do."
        )
    if not outcome.reloaded:
        click.echo("Postfix does not run; this counts from its next start.")


@postfix.command(epilog="Example: gatepost postfix resume")
@click.option("--forget", is_flag=True, help="Only drop the record; leave Postfix's configuration as it is.")
@click.option("--yes", is_flag=True, help="Do not ask, even if gatepost does not answer.")
@_where
def resume(
    *, forget: bool, yes: bool, config: Path, directory: Path, socket: str | None, state: Path | None
) -> None:
    """Put gatepost back into Postfix, exactly as it was.

    Changes nothing if somebody changed the same lines of Postfix's configuration in between, and says what to do.
    """
    address, folder = _known(config, socket, state)
    with _plainly():
        on_record = trusted(folder)
        if on_record is None:
            places = detour.asked(directory.absolute(), socket=address)
            if places:
                click.echo(f"There is no bypass to end: Postfix asks gatepost ({', '.join(places)}).")
                return
            raise CannotError(
                f"no bypass is on record in {folder}, and nothing in {directory} asks gatepost; "
                "gatepost doctor --only postfix names the command that puts it in"
            )
        if forget:
            _forget(folder, on_record, yes=yes)
            return
        problem = gateway_facts.answer(on_record.socket).problem
        if problem:
            click.echo(
                f"gatepost: {on_record.socket}: {problem}. Once it is back in Postfix, all mail waits with its "
                "senders (451) until gatepost runs.",
                err=True,
            )
            if not yes:
                click.confirm("Put it back all the same?", abort=True)
        outcome = detour.end(folder)
        alarm.disarm()
    _log(f"bypass of gatepost ended by {_actor()}; it began {_clock(on_record.since)}")
    click.echo("gatepost is back in Postfix: mail is examined.")
    if outcome is not None and not outcome.reloaded:
        click.echo("Postfix does not run; this counts from its next start.")


@postfix.command(epilog="Example: gatepost postfix status --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_where
def status(*, as_json: bool, config: Path, directory: Path, socket: str | None, state: Path | None) -> None:
    """Say whether Postfix asks gatepost, and what is on record. Exit code 1 if mail passes unexamined."""
    address, folder = _known(config, socket, state)
    with _plainly():
        places = detour.asked(directory.absolute(), socket=address)
        on_record = trusted(folder)
        changed = detour.conflicts(on_record) if on_record is not None else ()
    if as_json:
        data: dict[str, Any] = {
            "asked": list(places),
            "bypass": on_record.to_json() if on_record is not None else None,
            "changed": list(changed),
        }
        click.echo(json.dumps(data, indent=2))
    else:
        _tell_status(places, on_record, changed)
    raise click.exceptions.Exit(int(not places))


def _tell_status(places: tuple[str, ...], on_record: Bypass | None, changed: tuple[str, ...]) -> None:
    if places:
        click.echo(f"Postfix asks gatepost: {', '.join(places)}")
    else:
        click.secho("Postfix does not ask gatepost: MAIL PASSES UNEXAMINED.", fg="red", bold=True)
    if on_record is not None:
        late = "should have ended" if on_record.until < now() else "should end"
        click.echo(
            f"Bypassed since {_clock(on_record.since)} by {on_record.actor}; it {late} {_clock(on_record.until)}"
            + (" (systemd does it)." if on_record.timer else " (nothing does it by itself).")
        )
        click.echo("To end it:  gatepost postfix resume")
    for each in changed:
        click.echo(f"Changed since: {each}")


def _forget(folder: Path, on_record: Bypass, *, yes: bool) -> None:
    places = detour.asked(on_record.directory, socket=on_record.socket)
    if not places and not yes:
        click.echo("Postfix does not ask gatepost, and nothing will remind you of it: MAIL PASSES UNEXAMINED.")
        click.confirm("Forget the bypass all the same?", abort=True)
    detour.drop(folder, on_record)
    alarm.disarm()
    _log(f"record of the bypass of gatepost dropped by {_actor()}")
    click.echo("The record is gone; Postfix's configuration is as it was a moment ago.")


def _known(config: Path, socket: str | None, state: Path | None) -> tuple[str, Path]:
    """The socket and the folder of the record. At three in the morning the settings may be what is broken."""
    try:
        settings = load_settings(config)
    except ConfigError as error:
        default = str(Settings.model_fields["socket"].default)
        click.echo(f"gatepost: {error}\ngatepost: going by {socket or default} without the settings", err=True)
        return socket or default, state or DEFAULT_STATE
    return socket or settings.socket, state or state_directory(settings.store.url)


@contextmanager
def _plainly() -> Iterator[None]:
    try:
        yield
    except (BypassError, PostconfError) as error:
        raise CannotError(str(error)) from None


def _resume_arguments(config: Path, folder: Path, directory: Path) -> list[str]:
    return [
        *("resume", "--yes", "--config", str(config.absolute())),
        *("--state", str(folder.absolute()), "--postfix-config", str(directory.absolute())),
    ]


def _resume_command(config: Path, directory: Path, state: Path | None) -> str:
    words = ["gatepost postfix resume"]
    if config != DEFAULT_PATH:
        words.append(f"--config {config}")
    if directory != postconf.DEFAULT_DIRECTORY:
        words.append(f"--postfix-config {directory}")
    if state is not None:
        words.append(f"--state {state}")
    return " ".join(words)


def _actor() -> str:
    """Who does this; sudo tells who is behind root."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}"


def _log(text: str) -> None:
    """To the mail log: the store may be what is broken, and an auditor should find this all the same."""
    syslog.openlog("gatepost", 0, syslog.LOG_MAIL)
    syslog.syslog(syslog.LOG_WARNING, text)
    syslog.closelog()
