"""Owns ``gatepost notice``: showing what gatepost writes, before anybody gets it."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from pathlib import Path

import click

from gatepost_config.errors import ConfigError
from gatepost_milter.cli.configured import CannotError, config_if_any_option, settings_for
from gatepost_quarantine import notices, samples


@click.group()
def notice() -> None:
    """See the mails that gatepost writes itself."""


@notice.command(epilog="Example: gatepost notice preview held-confirm --to /tmp/notices")
@click.argument("kinds", metavar="[KIND]...", nargs=-1)
@config_if_any_option
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder to write to; it is made if it is not there.",
)
def preview(kinds: tuple[str, ...], config: Path | None, folder: Path) -> None:
    """Write every kind of notice as NAME.eml, NAME.txt and NAME.html, with an index.html to open in a browser.

    The school's name, logo, addresses and templates are those of the settings; the messages are made up. A
    template that cannot be used is told with its file and line, and nothing is written.
    """
    settings = settings_for(config)
    every = {each.name: each for each in samples.samples(settings)}
    strange = [each for each in kinds if each not in every]
    if strange:
        raise CannotError(f"there is no notice {strange[0]!r}; choose from {', '.join(every)}")
    try:
        templates = samples.load(settings)
    except ConfigError as error:
        raise CannotError(str(error)) from None
    wanted = [every[each] for each in dict.fromkeys(kinds)] or list(every.values())
    links = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for sample in wanted:
            raw = notices.render(
                sample.notice,
                settings=settings,
                now=samples.NOW,
                offer=sample.offer,
                offers=sample.offers,
                templates=templates,
            )
            (folder / f"{sample.name}.eml").write_bytes(raw)
            message = message_from_bytes(raw, policy=policy.default)
            for suffix, kind in (("txt", "plain"), ("html", "html")):
                (folder / f"{sample.name}.{suffix}").write_text(_body(message, kind), encoding="utf-8")
            title = f'<a href="{sample.name}.html">{escape(sample.title)}</a>'
            links.append(f'<li>{title} (<a href="{sample.name}.txt">text</a>)</li>')
        (folder / "index.html").write_text(_INDEX.format(links="\n".join(links)), encoding="utf-8")
    except OSError as error:
        raise CannotError(f"{error.filename}: {error.strerror}") from None
    click.echo(f"{folder}: {len(wanted)} notices; open index.html")


_INDEX = """<!DOCTYPE html>
<html lang="en-GB"><head><meta charset="utf-8"><title>Notices</title></head>
<body><h1>Notices</h1><ul>
{links}
</ul></body></html>
"""


def _body(message: EmailMessage, kind: str) -> str:
    """The text or the HTML, with the logo inside where the mail has it beside."""
    body = message.get_body((kind,))
    assert isinstance(body, EmailMessage)  # noqa: S101 - a notice has both
    shown = str(body.get_content())
    for part in message.walk():
        if part.get_content_maintype() == "image":
            data = str(part.get_payload()).replace("\r", "").replace("\n", "")
            name = str(part["Content-ID"]).strip("<>")
            shown = shown.replace(f"cid:{name}", f"data:{part.get_content_type()};base64,{data}")
    return shown
