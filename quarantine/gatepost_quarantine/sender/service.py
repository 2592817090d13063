"""Owns the sender pages as a service: settings to application to uvicorn."""

from __future__ import annotations

import structlog
import uvicorn

from gatepost_config.settings import Settings
from gatepost_quarantine.sender.web import application
from gatepost_quarantine.sql import open_store

log = structlog.get_logger("gatepost.pages")


def main(settings: Settings) -> int:
    """Run until SIGTERM. The exit code. Raises StoreError."""
    pages = settings.sender_pages
    host, _, port = pages.listen.rpartition(":")
    store = open_store(settings.store, gateway=settings.gateway)
    try:
        configured = uvicorn.Config(
            application(settings, store=store),
            host=host.strip("[]"),
            port=int(port),
            log_config=None,
            access_log=False,
            server_header=False,
            # A web server with TLS on this machine says whom it speaks for.
            proxy_headers=True,
            forwarded_allow_ips="127.0.0.1,::1",
            timeout_graceful_shutdown=10,
        )
        log.info("listening", address=f"http://{pages.listen}", public=pages.public_url)
        server = uvicorn.Server(configured)
        server.run()
        return 0 if server.started else 2
    finally:
        store.close()
