"""Turns of tasks that one replica does for all. The first replica to ask after a turn is over gets the next.

Knows only the name of a task.
"""

from sqlalchemy import Connection

from lib.store.facts import insert_into
from lib.store.schema import lease


def take_turn(connection: Connection, task: str, owner: str, now_ms: int, every_ms: int) -> bool:
    """Return True where this replica does the task now. The next turn comes after `every_ms`."""
    statement = insert_into(connection, lease)
    new = {"owner": statement.excluded.owner, "until_ms": statement.excluded.until_ms}
    upsert = statement.on_conflict_do_update(
        index_elements=[lease.c.name], set_=new, where=lease.c.until_ms <= now_ms
    ).returning(lease.c.name)
    values = {"name": task, "owner": owner, "until_ms": now_ms + every_ms}
    return connection.execute(upsert, values).first() is not None
