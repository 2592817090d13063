"""The ceiling: a pymilter filter of two workers that takes every step of a message and does nothing with it.

usage: nothing.py SOCKET_PATH
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import Milter
import milter

WORKERS = 2


class Nothing(Milter.Base):
    """Sees what gatepost sees (envelope, header fields, body) and accepts."""

    @Milter.noreply
    def envfrom(self, _sender: str, *_parameters: str) -> int:
        return int(Milter.CONTINUE)

    @Milter.noreply
    def envrcpt(self, _recipient: str, *_parameters: str) -> int:
        return int(Milter.CONTINUE)

    @Milter.noreply
    @Milter.decode("bytes")
    def header(self, _name: str, _value: bytes) -> int:
        return int(Milter.CONTINUE)

    @Milter.noreply
    def body(self, _chunk: bytes) -> int:
        return int(Milter.CONTINUE)

    def eom(self) -> int:
        return int(Milter.ACCEPT)


def _serve() -> None:
    milter.set_envfrom_callback(lambda ctx, *values: ctx.getpriv().envfrom_bytes(*values))
    milter.set_envrcpt_callback(lambda ctx, *values: ctx.getpriv().envrcpt_bytes(*values))
    milter.set_header_callback(lambda ctx, name, value: ctx.getpriv().header_bytes(name, value))
    milter.set_body_callback(lambda ctx, chunk: ctx.getpriv().body(chunk))
    milter.set_eom_callback(lambda ctx: ctx.getpriv().eom())
    milter.set_abort_callback(lambda ctx: ctx.getpriv().abort())
    milter.set_close_callback(Milter.close_callback)
    milter.main()


def main(path: str) -> int:
    """Open the socket, fork the workers, and wait to be ended."""
    Milter.factory = Nothing
    milter.setconn(f"unix:{path}")
    milter.register("nothing", negotiate=Milter.negotiate_callback)
    descriptors = Path("/proc/self/fd")
    before = set(descriptors.iterdir())
    milter.opensocket(True)
    for entry in set(descriptors.iterdir()) - before:
        if entry.is_symlink() and str(entry.readlink()).startswith("socket:"):
            os.set_blocking(int(entry.name), False)
    children = []
    for _ in range(WORKERS):
        child = os.fork()
        if child == 0:
            _serve()
            os._exit(0)
        children.append(child)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return 0


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    sys.exit(main(sys.argv[1]))
