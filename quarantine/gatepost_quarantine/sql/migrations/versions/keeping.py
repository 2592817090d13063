"""Sealed bodies, legal hold, reminders, lists and searches that stay fast, an audit that can lose its names."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_PERSONAL = ("salt", "actor", "recipient", "reason", "details")


def upgrade() -> None:
    """Add the columns and their indexes, fill them for what is there, and make the search index."""
    _messages()
    _lists()
    _search()
    _audit()


def _messages() -> None:
    op.add_column("message", sa.Column("seal", sa.Text, nullable=False, server_default=""))
    op.add_column("message", sa.Column("legal_hold", sa.Text, nullable=False, server_default=""))
    op.add_column("message", sa.Column("reminded", sa.Integer, nullable=False, server_default="0"))
    op.add_column("message", sa.Column("place", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(
        "UPDATE message SET place = received_at * 1024 + numbered.number FROM ("
        "SELECT id, row_number() OVER (PARTITION BY received_at ORDER BY id) - 1 AS number FROM message"
        ") AS numbered WHERE numbered.id = message.id"
    )
    op.create_index("message_place", "message", ["place"])
    op.create_index(
        "message_stored",
        "message",
        ["received_at"],
        sqlite_where=sa.text("stored"),
        postgresql_where=sa.text("stored"),
    )


def _lists() -> None:
    """The time of the message beside what lists filter by, so that an index gives them in order."""
    for table in ("recipient", "message_rule"):
        op.add_column(table, sa.Column("received_at", sa.BigInteger, nullable=False, server_default="0"))
        op.execute(
            f"UPDATE {table} SET received_at = "  # noqa: S608 - names of ours
            f"(SELECT received_at FROM message WHERE message.id = {table}.message_id)"
        )
    op.drop_index("recipient_state", "recipient")
    op.create_index("recipient_state", "recipient", ["state", "received_at", "message_id"])
    op.drop_index("message_rule_rule", "message_rule")
    op.create_index("message_rule_rule", "message_rule", ["rule", "received_at", "message_id"])


def _search() -> None:
    if _on_postgresql():
        op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        op.create_index(
            "message_search",
            "message",
            ["search_text"],
            postgresql_using="gin",
            postgresql_ops={"search_text": "gin_trgm_ops"},
        )
        return
    op.execute(
        "CREATE VIRTUAL TABLE message_search USING fts5"
        "(search_text, content = 'message', content_rowid = 'place', tokenize = 'trigram case_sensitive 1')"
    )
    op.execute("INSERT INTO message_search (rowid, search_text) SELECT place, search_text FROM message")
    add = "INSERT INTO message_search (rowid, search_text) VALUES (new.place, new.search_text);"
    remove = (
        "INSERT INTO message_search (message_search, rowid, search_text) "
        "VALUES ('delete', old.place, old.search_text);"
    )
    for name, when, what in (
        ("added", "AFTER INSERT", add),
        ("removed", "AFTER DELETE", remove),
        ("changed", "AFTER UPDATE OF search_text, place", f"{remove} {add}"),
    ):
        op.execute(f"CREATE TRIGGER message_search_{name} {when} ON message BEGIN {what} END")


def _audit() -> None:
    for name in ("segment", "salt", "commitment"):
        op.add_column("event", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("chain_head", sa.Column("segment", sa.Text, nullable=False, server_default=""))
    op.create_index("event_segment", "event", ["gateway", "segment", "seq"])
    _let_names_be_erased()


def _let_names_be_erased() -> None:
    """An event may lose its personal fields, all at once, if the chain holds a commitment to them."""
    kept = ("gateway", "seq", "at", "verb", "held_id", "previous", "digest", "segment", "commitment")
    # JSON of nothing, so that the row still reads as an event.
    erased = {name: "'{}'" if name == "details" else "''" for name in _PERSONAL}
    if _on_postgresql():
        allowed = " AND ".join(
            ["OLD.commitment <> ''"]
            + [f"NEW.{name} = OLD.{name}" for name in kept]
            + [f"NEW.{name} = {value}" for name, value in erased.items()]
        )
        op.execute("DROP TRIGGER event_append_only ON event")
        op.execute(
            "CREATE TRIGGER event_append_only BEFORE DELETE OR TRUNCATE ON event "
            "FOR EACH STATEMENT EXECUTE FUNCTION event_is_append_only()"
        )
        op.execute(
            "CREATE FUNCTION event_may_be_erased() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF {allowed} THEN RETURN NEW; END IF; "
            "RAISE EXCEPTION 'events are append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER event_no_update BEFORE UPDATE ON event "
            "FOR EACH ROW EXECUTE FUNCTION event_may_be_erased()"
        )
        return
    allowed = " AND ".join(
        ["OLD.commitment <> ''"]
        + [f"NEW.{name} IS OLD.{name}" for name in kept]
        + [f"NEW.{name} IS {value}" for name, value in erased.items()]
    )
    op.execute("DROP TRIGGER event_no_update")
    op.execute(
        f"CREATE TRIGGER event_no_update BEFORE UPDATE ON event WHEN NOT ({allowed}) "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
    )


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
