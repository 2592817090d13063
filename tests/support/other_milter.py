"""Owns other people's milters: one that refuses, and a wire between Postfix and gatepost that breaks."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from pathlib import Path
from types import TracebackType

_LENGTH = struct.Struct("!I")
_NOTHING_BUT_THE_END = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200
"""SMFIP_NO*: this filter wants to see no step but the end of the message."""


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


class _Served:
    """A Unix socket server in a thread, as a context manager; ``address`` is in Postfix's words."""

    def __init__(self, path: Path, handler: type[socketserver.BaseRequestHandler]) -> None:
        self.address = f"unix:{path}"
        self.server = _Server(str(path), handler)
        path.chmod(0o666)
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def _enter(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


class RefusingMilter(_Served):
    """A filter that refuses every message at its end while ``refuses`` is set, and else lets it pass."""

    def __init__(self, path: Path) -> None:
        owner = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while packet := receive(self.request):
                    if packet[:1] == b"O":
                        send(self.request, b"O" + struct.pack("!III", 6, 0, _NOTHING_BUT_THE_END))
                    elif packet[:1] == b"E":
                        send(self.request, b"y550 5.7.1 Refused by another filter\0" if owner.refuses else b"c")

        super().__init__(path, Handler)
        self.refuses = True

    def __enter__(self) -> RefusingMilter:
        self._enter()
        return self


class BreakingWire(_Served):
    """A wire to the milter at ``target`` that breaks once, when the milter answers the end of a message.

    The answer is read, so the milter has done all it wanted to do, and then both sides are hung up on.
    """

    def __init__(self, path: Path, *, target: Path) -> None:
        owner = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.socket(socket.AF_UNIX) as milter:
                    milter.connect(str(target))
                    back = threading.Thread(target=self._back, args=(milter,), daemon=True)
                    back.start()
                    while packet := receive(self.request):
                        if packet[:1] == b"E":
                            owner.at_end.set()
                        send(milter, packet)
                    milter.shutdown(socket.SHUT_RDWR)
                    back.join()

            def _back(self, milter: socket.socket) -> None:
                while packet := receive(milter):
                    if packet[:1] in b"dartyc" and owner.at_end.is_set() and not owner.broken.is_set():
                        owner.broken.set()
                        self.request.shutdown(socket.SHUT_RDWR)
                        return
                    send(self.request, packet)

        super().__init__(path, Handler)
        self.at_end = threading.Event()
        self.broken = threading.Event()

    def __enter__(self) -> BreakingWire:
        self._enter()
        return self


def receive(source: socket.socket) -> bytes:
    """One packet of the milter protocol without its length; empty when the other side is gone."""
    head = _read(source, _LENGTH.size)
    return _read(source, _LENGTH.unpack(head)[0]) if head else b""


def send(target: socket.socket, packet: bytes) -> None:
    """One packet of the milter protocol."""
    target.sendall(_LENGTH.pack(len(packet)) + packet)


def _read(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            piece = source.recv(size - len(data))
        except OSError:
            return b""
        if not piece:
            return b""
        data += piece
    return data
