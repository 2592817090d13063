"""Owns what stands between messages as the judge reads it: exemptions and blocks, indexed, and the past.

The exemptions of the policy document and those that somebody made while mail flows are one thing here. All of it
is frozen; whoever follows the store puts a new ``Standing`` in the place of the old one, so judging takes no lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo

from gatepost_config.addresses import domain_of, normalise
from gatepost_config.policy_document import Exemption, PolicyDocument, Rule
from gatepost_config.words import Action, Direction, Evidence
from gatepost_milter.inspection.model import Attachment
from gatepost_milter.policy.past import NO_PAST, Past
from gatepost_milter.policy.texts import harmless
from gatepost_quarantine.rulings import Ruling, RulingKind

PLACE_LENGTH = 400
"""Characters of the way to an attachment, as evidence shows it."""

BLOCKED = "blocked-for-a-time"
"""The rule that enforces blocks where a policy document has none of its own that reads them."""


_READS_BLOCKS = re.compile(r"\s*blocks\s*(\.|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Somebody in every spelling that counts as theirs: the address itself, and their main one."""

    addresses: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()

    @staticmethod
    def of(*addresses: str) -> Party:
        """Whoever has these addresses; nobody for none."""
        given = [each for each in addresses if each]
        return Party(
            addresses=frozenset(normalise(each) for each in given),
            domains=frozenset(f"@{domain_of(each)}" for each in given),
        )

    def is_(self, who: str) -> bool:
        """Whether ``who``, as ``normal_who`` gives it, names them."""
        return who in (self.domains if who.startswith("@") else self.addresses)


def normal_who(who: str) -> str:
    """A mailbox or ``@domain`` in the form in which parties are compared."""
    return f"@{domain_of(who)}" if who.startswith("@") else normalise(who)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leave:
    """Leave from one rule until ``ends``, for a proved sender, a recipient or a file; empty does not narrow."""

    ends: datetime
    words: str
    sender: str = ""
    recipient: str = ""
    sha256: str = ""

    def covers(self, sender: Party, recipient: Party, at: datetime) -> bool:
        if at >= self.ends or (self.sender and not sender.is_(self.sender)):
            return False
        return not self.recipient or recipient.is_(self.recipient)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemptions:
    """Who is spared which rule's action. A finding is made and explained all the same."""

    leaves: Mapping[str, tuple[_Leave, ...]] = field(default_factory=dict)

    @staticmethod
    def of_document(exemptions: Iterable[Exemption], zone: tzinfo) -> Exemptions:
        """Those that the policy document has; each ends with its last day in ``zone``."""
        leaves = []
        for each in exemptions:
            words = exempt_text(each.who, each.until, each.approved_by, each.reason)
            who = normal_who(each.who)
            of_sender = each.party == "sender"
            leave = _Leave(
                ends=_end_of(each.until, zone),
                words=words,
                sender=who if of_sender else "",
                recipient="" if of_sender else who,
            )
            leaves.append((each.rule, leave))
        return Exemptions(leaves=_by_rule(leaves))

    @staticmethod
    def of_rulings(rulings: Iterable[Ruling], zone: tzinfo) -> Exemptions:
        """Those that somebody made while mail flows."""
        leaves = [
            (
                each.rule,
                _Leave(
                    ends=each.expires_at,
                    words=exempt_text(each.about, each.expires_at.astimezone(zone), each.actor, each.reason),
                    sender=normal_who(each.sender) if each.sender else "",
                    recipient=normal_who(each.recipient) if each.recipient else "",
                    sha256=each.sha256.lower(),
                ),
            )
            for each in rulings
            if each.kind is RulingKind.EXEMPT
        ]
        return Exemptions(leaves=_by_rule(leaves))

    def spare(
        self,
        rule: str,
        *,
        sender: Party,
        recipient: Party,
        at: datetime,
        found: Sequence[Evidence],
        attachments: Sequence[Attachment],
    ) -> str:
        """What spares this recipient, or the proved sender, the rule's action, in words; empty if nothing does.

        Leave for files holds only if all that was found is these files, or inside them.
        """
        files = []
        for leave in self.leaves.get(rule, ()):
            if not leave.covers(sender, recipient, at):
                continue
            if not leave.sha256:
                return leave.words
            files.append(leave)
        if files and _are_all(found, attachments, frozenset(each.sha256 for each in files)):
            return "; ".join(each.words for each in files)
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block that concerns the message at hand; ``recipients`` are those for whom it does."""

    about: str
    reason: str
    by: str
    until: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The rulings in force. ``names_files`` says whether any of them is about a file's SHA-256."""

    exemptions: Exemptions = field(default_factory=Exemptions)
    blocks: tuple[Ruling, ...] = ()
    names_files: bool = False

    @staticmethod
    def of(rulings: Sequence[Ruling], zone: tzinfo) -> Standing:
        """These rulings, indexed. Times are shown in ``zone``."""
        return Standing(
            exemptions=Exemptions.of_rulings(rulings, zone),
            blocks=tuple(each for each in rulings if each.kind is RulingKind.BLOCK),
            names_files=any(each.sha256 for each in rulings),
        )

    def blocking(
        self,
        *,
        senders: Party,
        recipients: Mapping[str, Party],
        attachments: Sequence[Attachment],
        at: datetime,
        zone: tzinfo,
    ) -> list[Block]:
        """The blocks that concern a message: its senders, proved or claimed, its files and its recipients."""
        found = []
        for each in self.blocks:
            if not each.in_force(at) or (each.sender and not senders.is_(normal_who(each.sender))):
                continue
            if each.sha256 and all(one.sha256 != each.sha256.lower() for one in attachments):
                continue
            who = normal_who(each.recipient) if each.recipient else ""
            concerned = tuple(address for address, party in recipients.items() if not who or party.is_(who))
            if concerned:
                until = _shown(each.expires_at.astimezone(zone))
                found.append(
                    Block(about=each.about, reason=each.reason, by=each.actor, until=until, recipients=concerned)
                )
        return found


@dataclass(slots=True, kw_only=True)
class Memory:
    """What the judge remembers between messages. Its fields are replaced whole, never changed in place."""

    standing: Standing = field(default_factory=Standing)
    past: Past = NO_PAST


def with_blocks(document: PolicyDocument) -> PolicyDocument:
    """The document, with a rule that enforces blocks unless one of its own reads them, in whatever mode.

    A block must hold under every policy: somebody who types ``gatepost block add`` believes that it does.
    """
    # Only what begins with the fact surely finds it: the word may stand in a text, too.
    if any(_READS_BLOCKS.match(find) for rule in document.rules for find in rule.find):
        return document
    roles = list(document.roles)
    queue = "it-support" if "it-support" in roles else next(iter(roles), "")
    rule = Rule(
        id=BLOCKED,
        title="Mail of a sender, to a recipient or with a file that somebody has blocked for a time",
        find=("blocks.filter(b, recipient.address in b.recipients)",),
        action=dict.fromkeys(Direction, Action.QUARANTINE),
        queue=queue,
        tell=["sender"],
        say="This message was held because mail of {names} is blocked: {reasons}.",
        mend="Ask whoever made the block to end it; it ends by itself at the time that is named.",
    )
    return document.model_copy(update={"rules": [*document.rules, rule]})


def exempt_text(who: str, until: date | None, approved_by: str, reason: str = "") -> str:
    """An exemption in words: for whom, until when, by whom and why. A time of day is shown where there is one."""
    why = f", because {reason}" if reason else ""
    return f"{who} until {_shown(until) if until else 'further notice'}, approved by {approved_by}{why}"


def _shown(until: date) -> str:
    return until.strftime("%Y-%m-%d %H:%M") if isinstance(until, datetime) else until.isoformat()


def _end_of(day: date, zone: tzinfo) -> datetime:
    """The first moment after the day."""
    last = min(day, date.max - timedelta(days=2))  # a day that has a day after it in every time zone
    return datetime.combine(last + timedelta(days=1), time(0), zone)


def _by_rule(leaves: Iterable[tuple[str, _Leave]]) -> Mapping[str, tuple[_Leave, ...]]:
    found: dict[str, tuple[_Leave, ...]] = {}
    for rule, leave in leaves:
        found[rule] = (*found.get(rule, ()), leave)
    return found


def _are_all(found: Sequence[Evidence], attachments: Sequence[Attachment], allowed: frozenset[str]) -> bool:
    """Whether all evidence is files of these SHA-256, or inside a MIME part that is such a file in every reading.

    A name may look like a way into another file, and one part may be read in two ways; so it is not enough that
    an allowed file stands at the same place.
    """
    whole: dict[str, bool] = {}
    for each in attachments:
        if each.depth == 0:
            whole[each.part] = whole.get(each.part, True) and each.sha256 in allowed
    cleared: dict[str, bool] = {}
    for each in attachments:
        where = harmless(each.path, length=PLACE_LENGTH)
        fine = each.sha256 in allowed or whole.get(each.part, False)
        cleared[where] = cleared.get(where, True) and fine
    return bool(found) and all(each.kind == "attachment" and cleared.get(each.where, False) for each in found)
