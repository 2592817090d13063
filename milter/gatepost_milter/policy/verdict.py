"""Owns the Verdict: one action for each recipient, and the explanation of why."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost_config.words import Action, Direction, Explanation, Finding, Outcome, Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sent the message, as far as the gateway knows (DESIGN section 2; never the From header).

    ``known`` means that ``mailbox`` was proved by a login or a trusted relay; only then is the sender ever
    told anything. For an unknown sender ``mailbox`` is empty. ``via`` is ``login``, ``relay`` or empty; a login
    that belongs to no mailbox is inside all the same, so ``via`` decides the direction and ``known`` does not.
    ``directions`` are those for which the sender is believed (a relay may be trusted for some only).
    """

    mailbox: str = ""
    known: bool = False
    via: str = ""
    directions: tuple[Direction, ...] = (Direction.OUTBOUND, Direction.INTERNAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to happen. The explanation holds one outcome for each envelope recipient, in envelope order.

    ``reject`` appears in an outcome only if every recipient's outcome is ``reject`` (one SMTP reply speaks
    for the whole message); the judge has already turned a mixed one into ``quarantine``, and spread ``seal``
    to all recipients.
    """

    sender: Sender
    explanation: Explanation

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """One outcome for each recipient."""
        return self.explanation.outcomes

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, in policy order."""
        return self.explanation.findings

    @property
    def action(self) -> Action:
        """The strictest action over all recipients."""
        return self.explanation.action

    @property
    def direction(self) -> Direction:
        """The direction to show for the whole message: outbound before internal before inbound."""
        directions = {outcome.direction for outcome in self.outcomes}
        for direction in (Direction.OUTBOUND, Direction.INTERNAL):
            if direction in directions:
                return direction
        return Direction.INBOUND

    @property
    def held(self) -> tuple[Outcome, ...]:
        """The outcomes whose recipients are held."""
        return tuple(outcome for outcome in self.outcomes if outcome.action.held)

    @property
    def refusal(self) -> Reply | None:
        """The SMTP reply of a refused message: the first rejecting finding in policy order gives it."""
        if self.action is not Action.REJECT:
            return None
        for finding in self.findings:
            if finding.action is Action.REJECT:
                return finding.reply
        return Reply()
