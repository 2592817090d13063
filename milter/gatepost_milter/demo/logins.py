"""Owns the login server of a private Postfix: it answers AUTH PLAIN over Dovecot's auth protocol.

It exists so that logins in the demo and in the tests are real SASL logins, which reach the milter as
``{auth_authen}``, without a second server to install. Every listed login has the same password. It must never
serve a mail server that is reachable from anywhere but this machine.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import socketserver
import threading
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

PASSWORD = "gatepost-demo"  # noqa: S105 - the demo's own, shown to whoever runs it

_GREETING = "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t{connection}\nCOOKIE\t{cookie}\nDONE\n"


class LoginServer:
    """Listens on the Unix socket ``path``; ``logins`` are the names that exist. Use it as a context manager."""

    def __init__(self, path: Path, *, logins: Collection[str]) -> None:
        self.path = path
        self._server = _Server(str(path), _Connection)
        self._server.logins = frozenset(logins)
        path.chmod(0o666)
        self._thread = threading.Thread(target=self._server.serve_forever, name="logins", daemon=True)

    def __enter__(self) -> LoginServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.path.unlink(missing_ok=True)


class _Server(socketserver.ThreadingUnixStreamServer):
    # Every smtpd connects as it starts, and one that finds the queue full ends; the library waits for five.
    request_queue_size = 1024
    daemon_threads = True
    block_on_close = False
    logins: frozenset[str] = frozenset()


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        greeting = _GREETING.format(connection=threading.get_ident() % 2**31, cookie=secrets.token_hex(16))
        self.wfile.write(greeting.encode())
        for line in self.rfile:
            verb, *fields = line.decode("utf-8", errors="replace").rstrip("\n").split("\t")
            if verb == "AUTH" and len(fields) >= 2:
                self._auth(fields[0], fields[2:])
            elif verb == "CONT" and len(fields) == 2:
                self._judge(fields[0], fields[1])

    def _auth(self, request: str, parameters: list[str]) -> None:
        """The initial response is last and may hold anything; without one the client is asked for it."""
        response = next((each.removeprefix("resp=") for each in parameters if each.startswith("resp=")), None)
        if response is None:
            self._say("CONT", request, "")
        else:
            self._judge(request, response)

    def _judge(self, request: str, response: str) -> None:
        """RFC 4616: authorisation identity, login and password, with NUL between them."""
        try:
            _, login, password = base64.b64decode(response, validate=True).decode().split("\0")
        except (binascii.Error, ValueError):
            self._say("FAIL", request, "reason=malformed")
            return
        if login in self.server.logins and hmac.compare_digest(password.encode(), PASSWORD.encode()):
            self._say("OK", request, f"user={login}")
        else:
            self._say("FAIL", request, f"user={login}")

    def _say(self, *words: str) -> None:
        self.wfile.write(("\t".join(words) + "\n").encode())
