"""Owns the policy in force as the console shows it: read again only when its file has changed."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost_config.documents import load_policy, policy_path
from gatepost_config.errors import ConfigError
from gatepost_config.policy_document import PolicyDocument
from gatepost_config.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The policy document that the settings name, or None and why it cannot be read."""

    document: PolicyDocument | None
    trouble: str = ""


class InForce:
    """Reads the document. Safe to use from many threads: two that find it changed both read it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: tuple[tuple[int, int, int], Read] | None = None

    def read(self) -> Read:
        """The document as it is now; a document with faults is none."""
        try:
            found = policy_path(self._settings.policy).stat()
            mark = (found.st_mtime_ns, found.st_size, found.st_ino)
            if self._known is not None and self._known[0] == mark:
                return self._known[1]
            read = Read(document=load_policy(self._settings.policy))
        except ConfigError as error:
            return Read(document=None, trouble=str(error))
        except OSError as error:
            return Read(document=None, trouble=f"{error.filename}: {error.strerror}")
        self._known = mark, read
        return read

    def roles(self) -> dict[str, str]:
        """The roles of the policy with their titles; none if it cannot be read."""
        document = self.read().document
        return {name: each.title for name, each in document.roles.items()} if document is not None else {}
