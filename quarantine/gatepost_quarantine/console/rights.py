"""Owns who may do what: a right for each verb, held by roles, for ordinary and for confidential messages apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from gatepost_config.words import Action
from gatepost_quarantine.review import Item, Sight


class Role(StrEnum):
    """What somebody is to the console."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    SAFEGUARDING = "safeguarding"
    POLICY_EDITOR = "policy-editor"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Right(StrEnum):
    """One thing that can be done. Those below ``LIST`` are about a message and ask for its category too."""

    SIGNED_IN = "signed-in"
    OVERVIEW = "overview"
    POLICY = "policy"
    ACCOUNTS = "accounts"
    LIST = "list"
    HISTORY = "history"
    READ = "read"
    DOWNLOAD = "download"
    RELEASE = "release"
    DENY = "deny"
    DELETE = "delete"
    MARK = "mark"
    PASS_ON = "pass-on"  # noqa: S105 - a verb, not a secret
    LEGAL_HOLD = "legal-hold"
    END_LEGAL_HOLD = "end-legal-hold"
    NOTE = "note"
    EXEMPT = "exempt"
    BLOCK = "block"
    RULINGS = "rulings"
    END_RULING = "end-ruling"
    CASES = "cases"
    CASE_WORK = "case-work"
    TRY = "try"


_REVIEWS = frozenset({
    Right.LIST, Right.HISTORY, Right.READ, Right.DOWNLOAD, Right.RELEASE, Right.DENY, Right.DELETE, Right.MARK,
    Right.PASS_ON, Right.LEGAL_HOLD, Right.END_LEGAL_HOLD, Right.NOTE, Right.EXEMPT, Right.BLOCK, Right.CASES,
    Right.CASE_WORK,
})  # fmt: skip

VERB_LABELS = {
    Right.RELEASE: "Release",
    Right.DENY: "Deny",
    Right.DELETE: "Delete",
    Right.PASS_ON: "Pass on",
    Right.MARK: "Mark as false alarm",
    Right.LEGAL_HOLD: "Legal hold",
    Right.END_LEGAL_HOLD: "End legal hold",
}
"""The decisions about a message, in the order of their buttons."""

_LOOKS = frozenset({Right.OVERVIEW, Right.POLICY})

_EVERYWHERE: dict[Role, frozenset[Right]] = {
    Role.VIEWER: _LOOKS,
    Role.REVIEWER: _LOOKS | {Right.RULINGS, Right.END_RULING},
    Role.SAFEGUARDING: _LOOKS | {Right.RULINGS, Right.END_RULING},
    Role.POLICY_EDITOR: _LOOKS | {Right.RULINGS, Right.END_RULING, Right.TRY},
    Role.AUDITOR: _LOOKS | {Right.RULINGS},
    Role.ADMIN: _LOOKS | {Right.ACCOUNTS, Right.TRY},
}

_ORDINARY: dict[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.LIST}),
    Role.REVIEWER: _REVIEWS,
    Role.POLICY_EDITOR: frozenset({Right.LIST, Right.MARK, Right.TRY}),
    Role.AUDITOR: frozenset({Right.LIST, Right.HISTORY, Right.CASES}),
}

_CONFIDENTIAL: dict[Role, frozenset[Right]] = {Role.SAFEGUARDING: _REVIEWS}

_NOT_WHEN_SEALED = frozenset({
    Right.READ, Right.DOWNLOAD, Right.RELEASE, Right.MARK, Right.EXEMPT, Right.BLOCK, Right.TRY,
})  # fmt: skip
"""A sealed message is opened by its role pair alone, with its key, outside this program (KCS 1.10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is signed in. ``queues`` restricts to what these roles review; empty does not."""

    name: str
    title: str
    roles: frozenset[Role]
    queues: frozenset[str]
    safeguarding: frozenset[str]

    def may(self, right: Right) -> bool:
        """Whether the person has the right at all, for any message."""
        if right is Right.SIGNED_IN:
            return True
        tables = (_EVERYWHERE, _ORDINARY, _CONFIDENTIAL)
        return any(right in table.get(role, ()) for table in tables for role in self.roles)

    def may_with(self, right: Right, item: Item) -> bool:
        """Whether the person has the right for this message."""
        if right in _NOT_WHEN_SEALED and is_sealed(item):
            return False
        return self.may_about(right, item.queues)

    def may_about(self, right: Right, reviewed_by: Collection[str]) -> bool:
        """Whether the person has the right for what these roles review: a message, or a case."""
        if self.queues and not self.queues.intersection(reviewed_by):
            return False
        table = _CONFIDENTIAL if self.safeguarding.intersection(reviewed_by) else _ORDINARY
        return any(right in table.get(role, ()) for role in self.roles)

    def is_confidential(self, item: Item) -> bool:
        """Whether a safeguarding role reviews the message."""
        return bool(self.safeguarding.intersection(item.queues))

    @property
    def sight(self) -> Sight:
        """Which messages the person may see."""
        return Sight(
            ordinary=any(Right.LIST in _ORDINARY.get(role, ()) for role in self.roles),
            confidential=any(Right.LIST in _CONFIDENTIAL.get(role, ()) for role in self.roles),
            safeguarding=self.safeguarding,
            queues=self.queues,
        )


def is_sealed(item: Item) -> bool:
    """Whether the message is sealed: of such a message only the frame is shown, to anybody."""
    return any(each.action is Action.SEAL for each in item.held.recipients)


def known_roles(words: Iterable[str]) -> frozenset[Role]:
    """The roles among the words; what is not a role gives nothing."""
    return frozenset(Role(each) for each in words if each in set(Role))
