"""Owns the question to a ClamAV daemon: does this message hold something that it knows? (clamd(8), INSTREAM)

The worker sends the whole message, as it came, and reads one line; it parses nothing. The daemon looks while the
inspectors do. It may only add to what is known: its silence is a defect, its "OK" proves nothing.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

from gatepost_milter.inspection.model import Defect
from gatepost_milter.spool import Spool

_SIZE = struct.Struct("!I")
_PIECE = 256 * 1024
_MOST_ANSWER = 4096
_PREFIX, _FOUND, _ERROR = "stream: ", " FOUND", " ERROR"


class Scan:
    """One message before the daemon at ``address`` (``unix:/path`` or ``HOST:PORT``), for ``seconds`` at most.

    Call ``send``, then ``finish``, and ``close`` in any case. Nothing here raises: what goes wrong is the defect.
    """

    def __init__(self, address: str, *, seconds: float) -> None:
        self._address = address
        self._until = time.monotonic() + seconds
        self._socket: socket.socket | None = None
        self._problem = ""
        self.malware: tuple[str, ...] = ()

    def send(self, content: Spool) -> None:
        """Hand the message over."""
        try:
            self._socket = self._connect()
            self._socket.sendall(b"zINSTREAM\0")
            for piece in content.chunks(_PIECE):
                self._patience()
                self._socket.sendall(_SIZE.pack(len(piece)) + piece)
            self._patience()
            self._socket.sendall(_SIZE.pack(0))
        except (BrokenPipeError, ConnectionResetError):
            self._problem = "it hung up"  # over its size limit it answers first: the answer says more
        except OSError as error:
            self._problem = _said(error)
            self.close()

    def finish(self) -> Iterator[Defect]:
        """Wait for the answer; ``malware`` then has the names. Gives the defect if there is no answer."""
        answer = b""
        try:
            while self._socket is not None and not answer.endswith(b"\0") and len(answer) < _MOST_ANSWER:
                self._patience()
                piece = self._socket.recv(_MOST_ANSWER)
                if not piece:
                    break
                answer += piece
        except OSError as error:
            self._problem = self._problem or _said(error)
        self.close()
        if not self._understand(answer):
            yield Defect(code="clamd-unavailable", detail=self._problem or "it gave no answer")

    def close(self) -> None:
        """Hang up. Safe to call twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _understand(self, answer: bytes) -> bool:
        if not answer.endswith(b"\0"):
            return False
        said = answer[:-1].decode("utf-8", "replace").strip()
        if said == f"{_PREFIX}OK":
            return True
        if said.startswith(_PREFIX) and said.endswith(_FOUND):
            name = said[len(_PREFIX) : -len(_FOUND)]
            self.malware = ("".join(letter for letter in name if letter.isprintable())[:200] or "unnamed",)
            return True
        if said.endswith(_ERROR) and "size limit" in said:
            self._problem = "the message is larger than its StreamMaxLength"
        else:
            self._problem = "it answered with something else than a result"
        return False

    def _connect(self) -> socket.socket:
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        if not self._address.startswith("unix:"):
            host, _, port = self._address.rpartition(":")
            return socket.create_connection((host.strip("[]"), int(port)), timeout=seconds)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(seconds)
            connection.connect(self._address.removeprefix("unix:"))
        except OSError:
            connection.close()
            raise
        return connection

    def _patience(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0 or self._socket is None:
            raise TimeoutError
        self._socket.settimeout(left)


def _said(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    return (error.strerror or type(error).__name__)[:200]
