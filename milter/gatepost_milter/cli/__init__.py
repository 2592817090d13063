"""Owns the command line ``gatepost``: each command lives in a module of its own and is imported when called.

Exit codes are the same for every command: 0 done, 1 the answer is no, 2 could not do it.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import version

import click

# Command name -> (module:attribute, one line of help). Kept here so that ``gatepost --help`` imports nothing.
_COMMANDS = {
    "audit": ("gatepost_milter.cli.audit:audit", "Read and check the record of who did what."),
    "block": ("gatepost_milter.cli.rulings:block", "Hold mail of a sender, or with a file, for a time."),
    "case": ("gatepost_milter.cli.case:case", "Keep a record of what a role looks into."),
    "check": ("gatepost_milter.cli.check:check", "Judge message files without a mail server."),
    "console": ("gatepost_milter.cli.console:console", "Run the review console, or add its accounts."),
    "courier": ("gatepost_milter.cli.services:courier", "Run the courier: send notices and releases."),
    "demo": ("gatepost_milter.cli.demo:demo", "Show gatepost at work, without a mail server."),
    "directory": ("gatepost_milter.cli.directory:directory", "Check the people directory, or ask it."),
    "doctor": ("gatepost_milter.cli.doctor:doctor", "Find what is wrong, and the command that mends it."),
    "exemption": ("gatepost_milter.cli.rulings:exemption", "Let mail pass a rule for a time."),
    "milter": ("gatepost_milter.cli.services:milter", "Run the milter that Postfix talks to."),
    "pages": ("gatepost_milter.cli.services:pages", "Run the pages where senders answer about held mail."),
    "notice": ("gatepost_milter.cli.notice:notice", "See the mails that gatepost writes itself."),
    "policy": ("gatepost_milter.cli.policy:policy", "List, show and test policies."),
    "postfix": (
        "gatepost_milter.cli.postfix:postfix",
        "Take gatepost out of Postfix in an emergency; put it back.",
    ),
    "quarantine": ("gatepost_milter.cli.keeping:quarantine", "Review what is held."),
    "report": ("gatepost_milter.cli.report:report", "Tell what each rule did, and what it would have done."),
    "seal": ("gatepost_milter.cli.seal:seal", "Make the key of sealed mail."),
    "simulate": ("gatepost_milter.cli.simulate:simulate", "Replay mails to see what a new policy would change."),
    "subject": ("gatepost_milter.cli.audit:subject", "Export what is held about one person."),
}


class _LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - a wrong table is our own defect
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in sorted(_COMMANDS.items())])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("gatepost"), prog_name="gatepost")
def main() -> None:
    """gatepost keeps a school's mail to the school's own email policy."""


def milter_main() -> None:
    """The entry point ``gatepost-milter``, for the service manager."""
    sys.argv[1:1] = ["milter"]
    main(prog_name="gatepost")


def courier_main() -> None:
    """The entry point ``gatepost-courier``, for the service manager."""
    sys.argv[1:1] = ["courier"]
    main(prog_name="gatepost")
