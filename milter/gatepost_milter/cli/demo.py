"""Owns ``gatepost demo``: the real milter and the real courier at work on mails of every kind."""

from __future__ import annotations

import errno
import logging
import signal
import smtplib
import sys
from types import FrameType

import click
from rich.console import Console

from gatepost_config.errors import ConfigError
from gatepost_milter.cli.printed import wide_console
from gatepost_milter.demo import show
from gatepost_milter.demo.gateway import GatewayError
from gatepost_milter.demo.postfix import PostfixError
from gatepost_milter.demo.samples import samples
from gatepost_milter.demo.stage import Result, Stage, front_stage, is_end, postfix_stage

_STAGES = {"front": front_stage, "postfix": postfix_stage}


@click.command(epilog="Example: gatepost demo --once")
@click.option("--once", is_flag=True, help="Send, show, and leave: 0 if all went as the policy says, else 1.")
@click.option("--json", "json_", is_flag=True, help="Print one JSON object instead of the table; means --once.")
@click.option(
    "--mta",
    type=click.Choice(tuple(_STAGES)),
    default="front",
    show_default=True,
    help="Who asks the milter: the demo's own front, or a private Postfix (needs root).",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=2525,
    show_default=True,
    help="Where mail is taken on 127.0.0.1; 0 takes a free port.",
)
def demo(*, once: bool, json_: bool, mta: str, port: int) -> None:
    """Show gatepost at work, without a mail server.

    Starts the milter and the courier in a folder of their own, sends sample mails through them, and shows what
    became of each. Nothing leaves this machine, and nothing is left behind.
    """
    console = wide_console()
    # aiosmtpd warns of its own old names at each login; nobody who watches a demo can do anything about it.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    # A demo that is told to end must still stop what it has started.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _STAGES[mta](port) as stage:
            results = _perform(stage, quiet=json_)
            if json_:
                click.echo(show.as_json(results, mta=mta))
            else:
                show.show_table(console, results)
            if not once and not json_:
                show.show_invitation(console, stage)
                _stay(console, stage)
    except KeyboardInterrupt:
        click.echo("\nThe demo has ended.")
        return
    except smtplib.SMTPException as error:
        raise _CannotError(f"a sample could not be sent: {error}") from error
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise _CannotError(f"port {port} is in use on this machine; name another with --port") from error
    except (GatewayError, PostfixError, ConfigError) as error:
        raise _CannotError(str(error)) from error
    sys.exit(1 if any(result.wrong for result in results) else 0)


def _perform(stage: Stage, *, quiet: bool) -> tuple[Result, ...]:
    """Send every sample; progress goes to standard error, so that the JSON stays clean."""
    with click.progressbar(samples(), label="Sending", file=sys.stderr, hidden=quiet) as every:
        sent = [stage.send(sample) for sample in every]
    return stage.results(sent)


def _stay(console: Console, stage: Stage) -> None:
    """Tell every further mail until somebody interrupts, or the milter ends. Raises GatewayError."""
    milter = stage.gateway.milter
    seen = len(milter.lines())
    while milter.running():
        milter.wait_for(is_end, after=seen, seconds=1.0)
        lines = milter.lines()
        for line in filter(is_end, lines[seen:]):
            show.show_line(console, stage, line)
        seen = len(lines)
    raise GatewayError(f"the milter has ended:\n{milter.tail()}")


class _CannotError(click.ClickException):
    """The demo cannot be shown here; exit code 2."""

    exit_code = 2


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
