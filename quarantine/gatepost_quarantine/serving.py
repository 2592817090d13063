"""Owns what the console and the sender pages are served with: reading a posted form, templates, and uvicorn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request

Form = Mapping[str, Sequence[str]]
"""The values of each field, in the order of the form."""

_DRAIN = 10  # seconds that open requests may take to finish at a stop
_FORM_TYPE = "application/x-www-form-urlencoded"


class FormError(Exception):
    """A posted form that is not read; the text says why, and ``status`` in HTTP."""

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status


async def read_form(request: Request, *, size: int, fields: int) -> Form:
    """A posted form of at most ``size`` bytes and ``fields`` fields; what was left empty is in it too.

    It is read no further than that. Raises FormError.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM_TYPE:
        raise FormError("A form is expected.", status=415)
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > size:
            raise FormError("The form is too large.", status=413)
    try:
        return parse_qs(content.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=fields)
    except ValueError:
        raise FormError("The form has too many fields.", status=413) from None


def refusal(error: Exception) -> tuple[str, int]:
    """The plain sentence, and the status, for what the routes themselves refuse."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    said = {404: "There is no such page.", 405: "This page does not take that."}.get(status, "This did not work.")
    return said, status


def templates(package: str) -> Environment:
    """The templates of a package: everything is escaped, and a name that is not given is an error."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def serve(application: Starlette, *, listen: str) -> int:
    """Serve on ``listen`` (``address:port``) until SIGTERM. The exit code: 2 if it could not start."""
    host, _, port = listen.rpartition(":")
    configured = uvicorn.Config(
        application,
        host=host.strip("[]"),
        port=int(port),
        log_config=None,
        access_log=False,
        server_header=False,
        # A web server with TLS on this machine says whom it speaks for.
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1,::1",
        timeout_graceful_shutdown=_DRAIN,
    )
    server = uvicorn.Server(configured)
    server.run()
    return 0 if server.started else 2
