"""What rules held, counted by day; lists that stay fast for who sees only some; what people choose to see."""

from __future__ import annotations

import json
from collections import Counter

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_DAY = 86_400_000_000
_PAGE = 500


def upgrade() -> None:
    """Make the tables, and count what is already held."""
    op.create_table(
        "rule_day",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("rule", sa.Text, primary_key=True),
        sa.Column("direction", sa.Text, primary_key=True),
        sa.Column("queues", sa.Text, primary_key=True),
        sa.Column("held", sa.BigInteger, nullable=False),
    )
    op.add_column("message_reviewer", sa.Column("received_at", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(
        "UPDATE message_reviewer SET received_at = "
        "(SELECT received_at FROM message WHERE message.id = message_reviewer.message_id)"
    )
    op.drop_index("message_reviewer_queue", "message_reviewer")
    op.create_index("message_reviewer_queue", "message_reviewer", ["queue", "received_at", "message_id"])
    op.create_table(
        "console_choice",
        sa.Column("person", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    _count()


def _count() -> None:
    message = sa.table("message", sa.column("id"), sa.column("received_at"))
    recipient = sa.table("recipient", sa.column("message_id"), sa.column("position"), sa.column("record"))
    message_rule = sa.table("message_rule", sa.column("message_id"), sa.column("rule"))
    reviewer = sa.table("message_reviewer", sa.column("message_id"), sa.column("queue"))
    counted: Counter[tuple[int, str, str, str]] = Counter()
    connection, after = op.get_bind(), ""
    first = sa.and_(recipient.c.message_id == message.c.id, recipient.c.position == 0)
    while True:
        page = sa.select(message.c.id, message.c.received_at, recipient.c.record).join(recipient, first)
        page = page.where(message.c.id > after).order_by(message.c.id).limit(_PAGE)
        rows = connection.execute(page).all()
        if not rows:
            break
        after = rows[-1].id
        ids = [row.id for row in rows]
        rules: dict[str, list[str]] = {each: [] for each in ids}
        queues: dict[str, list[str]] = {each: [] for each in ids}
        for held_id, rule in connection.execute(sa.select(message_rule).where(message_rule.c.message_id.in_(ids))):
            rules[held_id].append(rule)
        for held_id, queue in connection.execute(sa.select(reviewer).where(reviewer.c.message_id.in_(ids))):
            queues[held_id].append(queue)
        for row in rows:
            direction, whose = json.loads(row.record)["direction"], " ".join(sorted(queues[row.id]))
            for rule in rules[row.id] or [""]:
                counted[row.received_at // _DAY, rule, direction, whose] += 1
    names = ("day", "rule", "direction", "queues", "held")
    table = sa.table("rule_day", *(sa.column(name) for name in names))
    found = [dict(zip(names, (*key, held), strict=True)) for key, held in counted.items()]
    if found:
        connection.execute(sa.insert(table), found)
