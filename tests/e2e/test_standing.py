"""Rulings and history on the milter as it is run: a command reaches both workers in two seconds, and a restart
forgets nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.milters import configured, running

from gatepost_milter.cli import main
from gatepost_milter.demo.milter_client import MilterClient, Outcome

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

POLICY = """
name: test
title: A policy
version: "1"
roles:
  it-support: {title: IT Support, mailboxes: ["it.support@{domain}"]}
rules:
  - id: first-contact
    title: First contact
    find: first_contacts.filter(c, c.recipient == recipient.address)
    action: {inbound: tag}
    say: Somebody new.
  - id: no-mail-out
    title: No mail out
    find: direction == 'outbound'
    action: {outbound: reject}
    queue: it-support
    reply: No mail out.
    say: No mail out.
    mode: MODE
"""
PASSES = 20  # messages; with two workers that share a socket, each gets some
DEADLINE = 10  # seconds; on a machine with nothing else to do it takes one


class Gateway:
    """One gateway in a folder, with its commands."""

    def __init__(self, folder: Path, *, mode: str) -> None:
        self._folder = folder
        policy = folder / "policy.yaml"
        policy.write_text(POLICY.replace("MODE", mode))
        self.config = configured(folder, policy=str(policy), history={"learn": 0})

    def command(self, *arguments: str) -> dict[str, Any]:
        result = CliRunner().invoke(main, [*arguments, "--config", str(self.config), "--json"])
        assert result.exit_code == 0, result.output
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    def send(self, *, sender: str, to: str, login: str = "") -> Outcome:
        data = f"From: {sender}\r\nTo: {to}\r\nSubject: hello\r\n\r\nHello\r\n".encode()
        with MilterClient(str(self._folder / "milter.sock"), timeout=30) as client:
            client.connect("mail.example", "192.0.2.1")
            client.helo("mail.example")
            macros = {"{auth_authen}": login} if login else {}
            return client.message(data, sender=sender, recipients=[to], mail_macros=macros)

    def sent_out(self) -> str:
        """What becomes of mail that a teacher sends to a firm."""
        return self.send(sender="t@school.example", to="a@firm.example", login="t").disposition

    def tagged(self, sender: str) -> bool:
        """Whether mail from outside is marked as a first contact."""
        outcome = self.send(sender=sender, to="t@school.example")
        assert outcome.disposition == "accept", outcome
        return any("first-contact" in value for _, value in outcome.added)


def within(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait until the condition holds for every worker. Fails when the seconds are over."""
    deadline = time.monotonic() + seconds
    while not all(condition() for _ in range(PASSES)):
        assert time.monotonic() < deadline, "waited in vain"


def test_a_ruling_reaches_every_worker_of_a_running_gateway(tmp_path: Path) -> None:
    """Somebody waits at the telephone for the exemption; a stolen account must stop at once."""
    gateway = Gateway(tmp_path, mode="enforce")
    about = ("--sender", "t@school.example", "--until", "1h", "--reason", "a test")
    with running(gateway.config):
        assert gateway.sent_out() == "reject"
        made = gateway.command("exemption", "add", "--rule", "no-mail-out", *about)
        within(DEADLINE, lambda: gateway.sent_out() == "accept")
        gateway.command("exemption", "end", str(made["id"]), "--reason", "over")
        within(DEADLINE, lambda: gateway.sent_out() == "reject")
        gateway.command("block", "add", *about)
        within(DEADLINE, lambda: gateway.sent_out() == "discard")


def test_who_is_no_stranger_is_none_after_a_restart_either(tmp_path: Path) -> None:
    """What a teacher wrote yesterday must be known today, in both workers and after a reboot."""
    gateway = Gateway(tmp_path, mode="monitor")
    with running(gateway.config):
        assert gateway.tagged("a@firm.example")
        assert gateway.sent_out() == "accept"
        within(DEADLINE, lambda: not gateway.tagged("a@firm.example"))
        assert gateway.tagged("b@firm.example")
    with running(gateway.config):
        assert not any(gateway.tagged("a@firm.example") for _ in range(PASSES))
        assert gateway.tagged("b@firm.example")
