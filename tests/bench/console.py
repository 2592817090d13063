"""How long the console's pages take with very many held messages: ``python tests/bench/console.py [COUNT]``.

One held message is copied in the database itself; then each page is asked four times and the best time is printed.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.console import Desk
from support.quarantine import held

_NEW = {
    "id": "'m'||printf('%015d',i)",
    "message_id": "'m'||printf('%015d',i)",
    "support_id": "'s'||i",
    "queue_id": "'Q'||i",
    "received_at": "received_at-i*10000000",
    "place": "place-i*10000000",
    "search_text": "'message number '||i||' about lunch person'||(i%900)||'@school.example rule-'||(i%4)",
    "rule": "'rule-'||(i%4)",
}


def multiply(path: Path, held_id: str, count: int) -> None:
    """Copy one message and what belongs to it ``count`` times, ten seconds apart."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for table, key in (
            ("message", "id"),
            ("recipient", "message_id"),
            ("message_rule", "message_id"),
            ("message_reviewer", "message_id"),
        ):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            values = ",".join(_NEW.get(name, name) for name in names)
            numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{count})"  # noqa: S608
            copied = f"SELECT {values} FROM {table}, n WHERE {key} = ?"  # noqa: S608
            # Table and column names cannot be parameters; these are our own.
            statement = f"{numbers} INSERT INTO {table}({','.join(names)}) {copied}"
            connection.execute(statement, (held_id,))
    connection.close()


def main(count: int) -> None:
    """Fill a new store and print a line for each page."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        desk.people()
        browser = desk.browser("rita")
        message = desk.keep(held(received_at=datetime.now(UTC)))
        multiply(Path(folder) / "quarantine.db", message.id, count)
        for path in (
            "/queue", "/queue?tab=all", "/queue?tab=released", "/queue?rule=rule-3", "/queue?q=number+77777",
            "/queue?q=person33@", "/queue?q=nothing-like-it", f"/held/{message.id}", "/queue/news?since=0",
            "/overview",
        ):  # fmt: skip
            times = []
            for _ in range(4):
                began = time.perf_counter()
                assert browser.get(path).status_code == 200, path
                times.append(time.perf_counter() - began)
            print(f"{min(times) * 1000:7.0f} ms  {path}")
        desk.store.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
