"""Owns what is noted about a message once it has gone: only what some active rule of the policy asks about."""

from __future__ import annotations

from gatepost_config.words import Action, Direction
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.fact_types import People
from gatepost_milter.policy.history import History
from gatepost_milter.policy.history_facts import (
    claimed_senders,
    content_of,
    is_private,
    outside_recipients,
    own_address,
)
from gatepost_milter.policy.identity import normal_address
from gatepost_milter.policy.policy import Policy
from gatepost_milter.policy.rules import active
from gatepost_milter.policy.verdict import Verdict
from gatepost_milter.transaction import Transaction

PAIRS, COUNTS, MASS = "pairs", "counts", "mass"
_WORDS = {
    PAIRS: frozenset({"correspondents", "first_contacts"}),
    COUNTS: frozenset({"sent_today", "private_today", "private_senders"}),
    MASS: frozenset({"mass"}),
}


class Notes:
    """Notes for one policy, into one history. ``wanted`` says what is noted: what active rules ask about."""

    def __init__(self, policy: Policy, history: History) -> None:
        self._policy = policy
        self._history = history
        words = {word for each in active(policy.rules) for one in each.conditions for word in one.words}
        self.wanted = frozenset(name for name, facts in _WORDS.items() if facts & words)

    def note(self, transaction: Transaction, inspection: Inspection, verdict: Verdict) -> None:
        """Note a message that has gone; recipients for whom it was held or refused do not count."""
        if not self.wanted:
            return
        ways = [
            (normal_address(each.recipient), each.direction)
            for each in verdict.outcomes
            if not each.action.held and each.action is not Action.REJECT
        ]
        if not ways:
            return
        people, sender = self._policy.people(transaction.received_at), verdict.sender
        if sender.known:
            self._sent(sender.mailbox, outside_recipients(ways), inspection, people)
        elif not sender.via and PAIRS in self.wanted:
            day = people.at.toordinal()
            for theirs in claimed_senders(transaction, inspection):
                for ours, way in ways:
                    if way is Direction.INBOUND:
                        self._history.note_heard(own_address(ours, people), theirs, day=day)

    def _sent(self, mailbox: str, outside: list[str], inspection: Inspection, people: People) -> None:
        day = people.at.toordinal()
        if PAIRS in self.wanted and outside:
            own = own_address(mailbox, people)
            for address in outside:
                self._history.note_wrote(own, address, day=day)
        if COUNTS in self.wanted:
            private = any(is_private(each, people) for each in outside)
            self._history.note_sent(mailbox, private=private, day=day)
        if MASS in self.wanted and outside:
            self._history.note_content(mailbox, content_of(inspection), outside, day=day)
