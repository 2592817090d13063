"""Owns the bytes of held messages: cut into pieces, each compressed with a checksum of its own.

The pieces of a sealed message are encrypted after that; nothing here can read those again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import zstandard
from sqlalchemy import Connection, select, update

from gatepost_quarantine.sealing import Sealer
from gatepost_quarantine.sql.database import Database
from gatepost_quarantine.sql.schema import chunk, message
from gatepost_quarantine.sql.statements import insertion
from gatepost_quarantine.store import NotFoundError, SealedError, StoreError

PIECE = 512 * 1024
"""Bytes of a piece before compression."""

READY = 24 * 1024 * 1024
"""Compressed bytes that are made ready before the transaction starts; a larger message is finished inside it."""

_LEVEL = 1
_CHUNK = insertion(chunk)


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece: its place, its bytes before compression, and the compressed bytes."""

    position: int
    size: int
    data: bytes


class Pieces:
    """A message's pieces. Compression is done ahead, outside the transaction, as far as ``READY`` allows."""

    def __init__(self, content: Iterable[bytes], *, sealer: Sealer | None = None) -> None:
        self._rest = _compressed(content)
        if sealer is not None:
            self._rest = _sealed(self._rest, sealer)
        self._ready: list[Piece] = []
        waiting = 0
        for piece in self._rest:
            self._ready.append(piece)
            waiting += len(piece.data)
            if waiting >= READY:
                break

    def keep(self, connection: Connection, held_id: str) -> int:
        """Insert every piece. The number of bytes before compression."""
        size = 0
        for pieces in (self._ready, self._rest):
            for piece in pieces:
                size += piece.size
                row = {"message_id": held_id, "position": piece.position, "size": piece.size, "data": piece.data}
                _CHUNK.run(connection, row)
        return size


def read(database: Database, held_id: str) -> Iterator[bytes]:
    """The bytes in pieces; no connection is kept between them.

    Raises NotFoundError if there are none, SealedError if they are encrypted, StoreError if they are not whole.
    """
    with database.read() as connection:
        columns = (message.c.size, message.c.stored, message.c.seal)
        row = connection.execute(select(*columns).where(message.c.id == held_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no held message {held_id}")
    if not row.stored:
        raise NotFoundError(f"the bytes of {held_id} have been deleted")
    if row.seal:
        raise SealedError(f"{held_id} is sealed")
    expand = zstandard.ZstdDecompressor().decompress
    position, size = 0, 0
    while size < row.size:
        wanted = select(chunk.c.data).where(chunk.c.message_id == held_id, chunk.c.position == position)
        with database.read() as connection:
            data = connection.execute(wanted).scalar_one_or_none()
        if data is None:
            raise StoreError(f"{held_id} is not whole: piece {position} is missing")
        try:
            piece = expand(data, max_output_size=PIECE)
        except zstandard.ZstdError as error:
            raise StoreError(f"{held_id} is damaged in piece {position}: {error}") from error
        size += len(piece)
        position += 1
        yield piece
    if size != row.size:
        raise StoreError(f"{held_id} is not whole: {size:,} of {row.size:,} bytes")


def seal(connection: Connection, held_id: str, sealer: Sealer, *, size: int) -> None:
    """Encrypt what is kept in clear, in place. Raises StoreError if it is not whole: ``size`` bytes."""
    this = chunk.c.message_id == held_id
    places = connection.execute(
        select(chunk.c.position, chunk.c.size).where(this).order_by(chunk.c.position)
    ).all()
    if [each.position for each in places] != list(range(len(places))) or sum(each.size for each in places) != size:
        raise StoreError(f"{held_id} is not whole, so it cannot be sealed")

    def clear() -> Iterator[bytes]:
        for each in places:
            yield connection.execute(
                select(chunk.c.data).where(this, chunk.c.position == each.position)
            ).scalar_one()

    for position, data in enumerate(sealer.pieces(clear())):
        if position < len(places):
            here = (this, chunk.c.position == position)
            connection.execute(update(chunk).where(*here).values(data=data))
        else:
            _CHUNK.run(connection, {"message_id": held_id, "position": position, "size": 0, "data": data})


def read_sealed(database: Database, held_id: str) -> Iterator[bytes]:
    """The pieces of a sealed message as they are kept: encrypted, in order."""
    position = 0
    while True:
        wanted = select(chunk.c.data).where(chunk.c.message_id == held_id, chunk.c.position == position)
        with database.read() as connection:
            data = connection.execute(wanted).scalar_one_or_none()
        if data is None:
            return
        position += 1
        yield data


def expanded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of opened pieces."""
    expand = zstandard.ZstdDecompressor().decompress
    for piece in pieces:
        if piece:
            yield expand(piece, max_output_size=PIECE)


def _sealed(pieces: Iterable[Piece], sealer: Sealer) -> Iterator[Piece]:
    sizes: list[int] = []

    def compressed() -> Iterator[bytes]:
        for piece in pieces:
            sizes.append(piece.size)
            yield piece.data

    # A message without bytes has one piece too: that which says that it ends here.
    for position, data in enumerate(sealer.pieces(compressed())):
        yield Piece(position, sizes[position] if sizes else 0, data)


def _compressed(content: Iterable[bytes]) -> Iterator[Piece]:
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    for position, data in enumerate(_pieces(content)):
        yield Piece(position, len(data), compressor.compress(data))


def _pieces(content: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of ``PIECE`` bytes, whatever sizes they come in."""
    waiting = bytearray()
    for data in content:
        waiting += data
        while len(waiting) >= PIECE:
            yield bytes(waiting[:PIECE])
            del waiting[:PIECE]
    if waiting:
        yield bytes(waiting)
