"""Owns the console as a service: settings to application to uvicorn."""

from __future__ import annotations

import structlog
from starlette.applications import Starlette

from gatepost_config.errors import ConfigError
from gatepost_config.settings import Settings
from gatepost_quarantine.console.oidc import Provider
from gatepost_quarantine.console.preview import Reader
from gatepost_quarantine.console.web import application
from gatepost_quarantine.serving import serve
from gatepost_quarantine.sql import open_review

log = structlog.get_logger()


def compose(settings: Settings, *, reader: Reader | None = None) -> Starlette:
    """The console of these settings. Raises StoreError, and ConfigError if the client secret cannot be read."""
    store, review = open_review(settings.store, gateway=settings.gateway)
    provider = None
    if settings.console.oidc is not None:
        provider = Provider(
            settings.console.oidc,
            secret=_secret(settings),
            base_url=address(settings),
            key=review.key("oidc"),
        )
    return application(settings, store=store, review=review, reader=reader or Reader(), provider=provider)


def address(settings: Settings) -> str:
    """What people type to come here."""
    return settings.console.base_url or f"http://{settings.console.listen}"


def main(settings: Settings) -> int:
    """Run until SIGTERM. The exit code. Raises StoreError and ConfigError."""
    console = compose(settings)
    log.info("listening", address=address(settings))
    return serve(console, listen=settings.console.listen)


def _secret(settings: Settings) -> str:
    oidc = settings.console.oidc
    if oidc is None:
        return ""
    try:
        return oidc.client_secret_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            settings.problem(
                ("console", "oidc", "client_secret_file"),
                f"{oidc.client_secret_file} cannot be read: {error}",
                "Make the file, readable by the user that gatepost-console runs as.",
            )
        ) from error
