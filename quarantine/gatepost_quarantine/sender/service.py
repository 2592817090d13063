"""Owns the sender pages as a service: settings to application to uvicorn."""

from __future__ import annotations

import structlog

from gatepost_config.settings import Settings
from gatepost_quarantine.sender.web import application
from gatepost_quarantine.serving import serve
from gatepost_quarantine.sql import open_store

log = structlog.get_logger("gatepost.pages")


def main(settings: Settings) -> int:
    """Run until SIGTERM. The exit code. Raises StoreError."""
    listen = settings.sender_pages.listen
    store = open_store(settings.store, gateway=settings.gateway)
    try:
        pages = application(settings, store=store)
        log.info("listening", address=f"http://{listen}", public=settings.sender_pages.public_url)
        return serve(pages, listen=listen)
    finally:
        store.close()
