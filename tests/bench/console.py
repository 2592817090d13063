"""How long the console's pages take with very many held messages, for people with different sights.

    python tests/bench/console.py [--messages 100000] [--url postgresql+psycopg://…]

One ordinary and one confidential message are copied in the database itself, one confidential in twenty, over two
weeks. Each page is asked five times; the best, the median and the worst are printed in milliseconds (aim: 150).
Without a URL a new SQLite file is filled; a database at a URL must be empty.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqlalchemy import Connection, inspect, text
from support.console import Desk, safeguarding
from support.quarantine import held

_STEP = 12_000_000
"""Microseconds between two messages."""

_NEW = {
    "id": "'m'||{i}",
    "message_id": "'m'||{i}",
    "support_id": "'s'||{i}",
    "queue_id": "'Q'||{i}",
    "received_at": f"received_at-{{i}}*{_STEP}",
    "place": f"place-{{i}}*{_STEP}*1024",
    "search_text": "'message number '||{i}||' about lunch person'||({i}%900)||'@school.example rule-'||({i}%4)",
}
_TABLES = (("message", "id"), ("recipient", "message_id"), ("message_rule", "message_id"),
           ("message_reviewer", "message_id"))  # fmt: skip


def multiply(connection: Connection, held_id: str, *, first: int, last: int, every: int, rules: int) -> None:
    """Copy one message and what belongs to it, with every number from ``first`` to ``last`` in steps."""
    numbers = (
        f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL "  # noqa: S608
        f"SELECT i+{every} FROM n WHERE i+{every}<={last})"
    )
    for table, key in _TABLES:
        names = [each["name"] for each in inspect(connection).get_columns(table)]
        new = {name: what.format(i="CAST(n.i AS BIGINT)") for name, what in _NEW.items()}
        if table == "message_rule":
            new["rule"] = f"rule||'-'||(n.i%{rules})"
        values = ",".join(new.get(name, name) for name in names)
        # Table and column names cannot be parameters; these are our own.
        copied = (
            f"INSERT INTO {table}({','.join(names)}) {numbers} "  # noqa: S608
            f"SELECT {values} FROM {table}, n WHERE {key} = :id"
        )
        connection.execute(text(copied), {"id": held_id})


def fill(desk: Desk, count: int) -> str:
    """Hold ``count`` messages, one in twenty confidential; the id of an ordinary one."""
    ordinary = desk.keep(held(received_at=datetime.now(UTC)))
    confidential = desk.keep(safeguarding(received_at=datetime.now(UTC)))
    with desk.store._database.write() as connection:
        for rest in range(1, 20):
            multiply(connection, ordinary.id, first=rest, last=count, every=20, rules=12)
        multiply(connection, confidential.id, first=20, last=count, every=20, rules=3)
        # What the store would have counted with each hold.
        connection.execute(text("DELETE FROM rule_day"))
        connection.execute(text(
            "INSERT INTO rule_day (day, rule, direction, queues, held) "
            "SELECT r.received_at / 86400000000, r.rule, 'inbound', w.queue, count(*) FROM message_rule r "
            "JOIN message_reviewer w ON w.message_id = r.message_id GROUP BY 1, 2, 3, 4"
        ))  # fmt: skip
    with desk.store._database.unbound() as connection:
        connection.execute(text("ANALYZE"))
    return ordinary.id


def main() -> None:
    """Fill a new store and print a line for each page and reader."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--url", default="")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder), url=chosen.url)
        desk.people()
        rita = desk.review.account("rita")
        assert rita is not None
        office = replace(
            rita, name="dora", queues=frozenset({"dsl"}), roles=frozenset({"reviewer", "safeguarding"})
        )
        desk.review.keep_account(office, actor="test", what="made")
        held_id = fill(desk, chosen.messages)
        for name in ("rita", "sam", "both", "dora"):
            browser = desk.browser(name)
            for path in (
                "/queue", "/queue?sort=newest", "/queue?tab=all", "/queue?tab=released", "/queue?tab=refused",
                "/queue?rule=executable-attachment-3", "/queue?queue=dsl", "/queue?since=24h",
                "/queue?q=number+77777", "/queue?q=message+number", "/queue?q=person33@", "/queue?q=zz-nothing",
                f"/held/{held_id}", "/queue/news?since=0", "/overview", "/policy",
            ):  # fmt: skip
                times = []
                for _ in range(5):
                    began = time.perf_counter()
                    assert browser.get(path).status_code in (200, 404), path
                    times.append((time.perf_counter() - began) * 1000)
                print(f"{min(times):7.0f} {statistics.median(times):7.0f} {max(times):7.0f}  {name:5} {path}")
        desk.store.close()


if __name__ == "__main__":
    main()
