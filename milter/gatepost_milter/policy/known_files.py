"""Owns the finding about files that the school's lists know: the message is sealed, whatever the rules say.

No condition of a policy is asked, so that no mode, exemption or mistake in a document lets such a file by, and no
program shows it (KCS 1.10).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gatepost_config import hash_lists
from gatepost_config.errors import ConfigError
from gatepost_config.hash_lists import HashList
from gatepost_config.policy_document import PolicyDocument
from gatepost_config.settings import Settings
from gatepost_config.words import Action, Finding, Mode
from gatepost_milter.inspection.model import Attachment

KNOWN_FILE = "known-file"
"""The rule's id in explanations, metrics and the log."""

SAY = "This message is sealed. Only the roles that the policy names may open it."


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFiles:
    """The lists, and the roles that hear of a match; the first of them reviews it."""

    sums: HashList
    tell: tuple[str, ...]

    def __bool__(self) -> bool:
        return len(self.sums) > 0

    def finding(self, attachments: Iterable[Attachment], *, addresses: Sequence[str]) -> Finding | None:
        """The finding if any of these files is listed. It does not say which."""
        if not any(each.sha256 in self.sums for each in attachments if each.sha256):
            return None
        return Finding(
            rule=KNOWN_FILE,
            clause="",
            mode=Mode.ENFORCE,
            wanted=Action.SEAL,
            actions=dict.fromkeys(addresses, Action.SEAL),
            evidence=(),
            say=SAY,
            mend="",
            queue=self.tell[0],
            tell=self.tell,
        )


NONE = KnownFiles(sums=HashList(), tell=("",))


def load(settings: Settings, document: PolicyDocument) -> KnownFiles:
    """The lists that the settings name. Raises ConfigError for what cannot be read, and for unknown roles."""
    store = settings.store
    if not store.seal_hashes:
        return NONE
    strange = [each for each in store.seal_tell if each not in document.roles]
    if strange:
        message = f"store.seal_tell: the policy {document.name!r} has no role {strange[0]!r}"
        raise ConfigError(settings.problem(("store", "seal_tell"), message, f"roles: {', '.join(document.roles)}"))
    tell = tuple(store.seal_tell) or tuple(name for name, role in document.roles.items() if role.safeguarding)
    if not tell:
        message = "store.seal_tell: name the roles that hear of a match; the policy marks none as safeguarding"
        raise ConfigError(settings.problem(("store", "seal_hashes"), message))
    return KnownFiles(sums=hash_lists.load(store.seal_hashes), tell=tell)
