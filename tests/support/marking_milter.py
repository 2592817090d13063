"""Owns the smallest filter whose work can be seen: it adds ``X-Seen: yes`` to every message.

usage: marking_milter.py SOCKET_PATH
"""

from __future__ import annotations

import sys

import Milter


class Marking(Milter.Base):
    """Adds one header field at end of message."""

    def eom(self) -> int:
        self.addheader("X-Seen", "yes")  # type: ignore[attr-defined]  # the stubs know what gatepost uses
        return int(Milter.CONTINUE)


if __name__ == "__main__":
    Milter.factory = Marking
    Milter.set_flags(Milter.ADDHDRS)  # type: ignore[attr-defined]
    Milter.runmilter("marking", f"unix:{sys.argv[1]}", timeout=60)  # type: ignore[attr-defined]
