"""Owns copies of the store, and finding out whether what it holds is whole."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select, text

from gatepost_config import durable
from gatepost_quarantine.audit import Event, Verb, verify
from gatepost_quarantine.sql import chain, chunks
from gatepost_quarantine.sql.base import Base
from gatepost_quarantine.sql.schema import chain_head, chunk, message
from gatepost_quarantine.store import ConflictError, StoreError

_PAGE = 500


class Copying(Base):
    """Backup and integrity, as a part of the store."""

    def backup(self, path: Path, *, actor: str) -> int:
        """Copy the whole store to a new file while it is in use; the copy's bytes. Only for SQLite.

        The copy is one moment of the store, readable by its owner only, and checked before this returns. Sealed
        mail is as sealed in it as in the store. Raises ConflictError on PostgreSQL, whose own tools do this, and
        StoreError if there is a file already or the copy fails; a copy that failed is removed.
        """
        if not self._database.on_sqlite:
            raise ConflictError("this store is on PostgreSQL; use pg_dump or its continuous archiving")
        with self._database.write() as connection:
            chain.append(connection, self._gateway, [Event(verb=Verb.BACKUP, actor=actor, at=self._clock())])
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error
        try:
            self._copy(path)
        except (OSError, sqlite3.Error) as error:
            path.unlink(missing_ok=True)
            raise StoreError(f"{path}: {error}") from error
        return path.stat().st_size

    def damage(self) -> Iterator[str]:
        """Everything that is not whole, a sentence each: the file, message bytes, audit chains. Reads it all."""
        if self._database.on_sqlite:
            with self._database.read() as connection:
                for said in connection.execute(text("PRAGMA integrity_check")).scalars():
                    if said != "ok":
                        yield f"database: {said}"
        yield from self._damaged_messages()
        with self._database.read() as connection:
            gateways = connection.execute(select(chain_head.c.gateway)).scalars().all()
        for gateway in gateways:
            wrong = verify(chain.read(self._database, gateway))
            if wrong:
                yield f"audit: {wrong}"

    def _damaged_messages(self) -> Iterator[str]:
        after = ""
        while True:
            page = select(message.c.id, message.c.size, message.c.seal).where(
                message.c.stored, message.c.id > after
            )
            with self._database.read() as connection:
                rows = connection.execute(page.order_by(message.c.id).limit(_PAGE)).all()
            if not rows:
                return
            for row in rows:
                try:
                    if row.seal:
                        self._check_sealed(row.id, row.size)
                    else:
                        for _piece in chunks.read(self._database, row.id):
                            pass
                except StoreError as error:
                    yield str(error)
            after = rows[-1].id

    def _check_sealed(self, held_id: str, size: int) -> None:
        """Without its key nobody can tell more about a sealed message than whether pieces are missing."""
        mine = chunk.c.message_id == held_id
        with self._database.read() as connection:
            kept, many, last = connection.execute(
                select(func.coalesce(func.sum(chunk.c.size), 0), func.count(), func.max(chunk.c.position)).where(
                    mine
                )
            ).one()
        if kept != size or many != (last if last is not None else -1) + 1:
            raise StoreError(f"{held_id} is sealed and not whole: {kept:,} of {size:,} bytes")

    def _copy(self, path: Path) -> None:
        source = sqlite3.connect(f"file:{self._database.path}?mode=ro", uri=True)
        copy = sqlite3.connect(path)
        try:
            # One step: a snapshot of the write-ahead log, so nobody waits and nothing is half there.
            source.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode = DELETE")
            said = copy.execute("PRAGMA integrity_check").fetchone()[0]
        finally:
            copy.close()
            source.close()
        if said != "ok":
            raise sqlite3.DatabaseError(f"the copy is damaged: {said}")
        durable.sync(path)
