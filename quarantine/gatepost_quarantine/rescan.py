"""Owns the second look before a release: does the policy now in force find what nobody has decided about?

A bounded child judges the message (``gatepost check --json``); nothing is parsed here. It is asked only where
the policy document is another than the one that held the message, so most releases cost nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from gatepost_config.documents import policy_digest
from gatepost_config.errors import ConfigError
from gatepost_config.settings import Settings
from gatepost_config.words import Action
from gatepost_quarantine.held import HeldMessage

_COMMAND = (sys.executable, "-I", "-m", "gatepost_milter.cli", "check", "--json")
_JSON = 16 * 1024 * 1024
_SAY = 300
_NO = 1
"""The exit code of a child that judged, and would not let the message pass."""


class RescanError(Exception):
    """The message could not be judged again; the text says why."""


class Rescan:
    """Judges held messages by the policy in force. ``command`` is for tests."""

    def __init__(self, settings: Settings, *, command: Sequence[str] = _COMMAND) -> None:
        self._settings = settings
        self._command = command

    def wanted(self, held: HeldMessage) -> bool:
        """Whether another policy is in force than the one that held it. Settings without a file have none.

        Raises RescanError.
        """
        if self._settings.path is None or not self._settings.courier.rescan:
            return False
        try:
            return policy_digest(self._settings.policy) != held.explanation.policy.digest
        except ConfigError as error:
            raise RescanError(f"the policy cannot be read: {error}") from error

    def objection(self, held: HeldMessage, content: Iterator[bytes], *, to: Collection[str]) -> str:
        """What the policy now finds that it did not when it held the message for these recipients, in a sentence.

        Empty when there is nothing. Raises RescanError, and StoreError from ``content``.
        """
        found = self._judged(held, content)
        try:
            return _objection(held, found, to)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RescanError("what the second look said makes no sense") from error

    def _judged(self, held: HeldMessage, content: Iterator[bytes]) -> Any:
        with tempfile.TemporaryFile() as message, tempfile.TemporaryFile() as output:
            for piece in content:
                message.write(piece)
            message.flush()
            message.seek(0)
            self._ask(held, message, output)
            output.seek(0)
            said = output.read(_JSON + 1)
        try:
            return json.loads(said[:_JSON])
        except (ValueError, RecursionError) as error:
            raise RescanError("what the second look said cannot be read") from error

    def _ask(self, held: HeldMessage, message: IO[bytes], output: IO[bytes]) -> None:
        try:
            done = subprocess.run(
                [*self._command, *_arguments(held, self._settings.path), "-"],
                stdin=message,
                stdout=output,
                stderr=subprocess.DEVNULL,
                env={"PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"},
                cwd=Path.cwd(),
                timeout=self._settings.courier.rescan_deadline,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RescanError("the second look took too long") from None
        except (OSError, ValueError) as error:  # ValueError: an address that no argument can hold
            raise RescanError(f"the second look could not be started: {error}") from error
        if done.returncode not in (0, _NO):
            raise RescanError("the second look gave up on it; gatepost check says why")


def _arguments(held: HeldMessage, settings: Path | None) -> list[str]:
    """Judge it in the envelope that it came in. Who was known then is known now, by whichever way."""
    envelope = held.envelope
    addresses = [each.recipient for each in held.explanation.outcomes] or [
        each.address for each in held.recipients
    ]
    return [
        f"--config={settings}",
        f"--sender={envelope.sender}",
        f"--login={envelope.login or held.sender}",
        f"--client={envelope.client_address}",
        *(f"--recipient={each}" for each in addresses),
    ]


def _objection(held: HeldMessage, found: Any, to: Collection[str]) -> str:
    # A recipient of whom nothing is said was not judged, and that is no consent: KeyError.
    now = {each: Action(found["recipients"][each]) for each in to}
    if not any(_stops(each) for each in now.values()):
        return ""
    before = {each.rule: each.action for each in held.explanation.findings}
    for each in found["findings"]:
        action = Action(each["action"])
        if _stops(action) and action.strictness > before.get(each["rule"], Action.PASS).strictness:
            clause = f" ({each['clause']})" if each["clause"] else ""
            say = "" if action is Action.SEAL else " ".join(str(each["say"]).split())[:_SAY] + " "
            return (
                f"Not sent: the policy has changed since, and its rule {each['rule']}{clause} now says "
                f"{action.value}. {say}Release it again if you insist."
            )
    return ""


def _stops(action: Action) -> bool:
    return action.strictness >= Action.CONFIRM.strictness
