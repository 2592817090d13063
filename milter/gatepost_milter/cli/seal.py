"""Owns ``gatepost seal``: making the key that sealed mail is encrypted to, for two roles who each keep a half."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gatepost_milter.cli.configured import CannotError
from gatepost_quarantine import sealing

PASSPHRASE_LENGTH = 12
"""Characters that a passphrase must have at least; four words have more."""


@click.group()
def seal() -> None:
    """Make and look at the key of sealed mail."""


@seal.command(
    "new-key", epilog="Example: gatepost seal new-key --role headteacher --role safeguarding --into /media/usb"
)
@click.option(
    "--role", "roles", multiple=True, required=True, metavar="NAME", help="Who keeps a half; to be given twice."
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="The folder for the two files; not on the gateway, or move them off it.  [default: here]",
)
def new_key(roles: tuple[str, ...], into: Path) -> None:
    """Make a key, give each of two roles a half, and print the line for the settings.

    Each role types a passphrase for its own half, so let both come to the keyboard. Sealed mail can be opened only
    with both files and both passphrases; if one is lost, what was sealed is lost. Make copies.
    """
    if len(roles) != 2 or roles[0].casefold() == roles[1].casefold():
        raise click.UsageError("give --role twice, for two different roles")
    if not all(role.replace("-", "").isalnum() for role in roles):
        raise click.UsageError("a role's name has letters, digits and hyphens only")
    paths = [into / f"seal-share-{role}.json" for role in roles]
    for path in paths:
        if path.exists():
            raise CannotError(f"{path} exists; a share is never overwritten")
    first, second = ((role, _new_passphrase(role)) for role in roles)
    made = sealing.new_key(first, second)
    for path, share in zip(paths, made.shares, strict=True):
        write_private(path, share.text.encode())
        click.echo(f"{path}: the half of {share.role}", err=True)
    click.echo(f"Key {sealing.fingerprint(made.public)}. For the settings:", err=True)
    click.echo(f"store:\n  seal_keys: [{made.public}]")


@seal.command("try", epilog="Example: gatepost seal try seal-share-headteacher.json seal-share-safeguarding.json")
@click.argument("shares", nargs=2, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def try_(shares: tuple[Path, Path]) -> None:
    """Try whether two halves and their passphrases make a key, without opening anything."""
    try:
        private = private_key(*shares)
    except sealing.SealError as error:
        raise CannotError(str(error)) from None
    click.echo(f"They open what was sealed to {sealing.public_of(private)}.")


def private_key(first: Path, second: Path) -> sealing.PrivateKey:
    """The key of two share files, asking for both passphrases. Raises SealError and CannotError."""
    pairs = []
    for path in (first, second):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CannotError(f"{path}: {error}") from error
        pairs.append((text, click.prompt(f"Passphrase for {path.name}", hide_input=True, err=True)))
    return sealing.private_key(pairs[0], pairs[1])


def write_private(path: Path, content: bytes) -> None:
    """A new file that only its owner can read. Raises CannotError, also if there is one already."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CannotError(f"{path}: {error.strerror}") from error


def _new_passphrase(role: str) -> str:
    while True:
        said: str = click.prompt(
            f"Passphrase of {role}, typed by {role}", hide_input=True, confirmation_prompt=True, err=True
        )
        if len(said) >= PASSPHRASE_LENGTH:
            return said
        click.echo(f"At least {PASSPHRASE_LENGTH} characters, please; four words will do.", err=True)
