"""Turns of tasks that one replica does for all of them: whoever asks first after the last turn is over has the next.

Knows no task but its name.
"""

from sqlalchemy import Connection

from lib.store.facts import insert_into
from lib.store.schema import lease


def take_turn(connection: Connection, task: str, owner: str, now_ms: int, every_ms: int) -> bool:
    """Return True where this replica does the task now; nobody has the next turn before `every_ms` have passed."""
    statement = insert_into(connection, lease)
    new = {"owner": statement.excluded.owner, "until_ms": statement.excluded.until_ms}
    taken = statement.on_conflict_do_update(
        index_elements=[lease.c.name], set_=new, where=lease.c.until_ms <= now_ms
    ).returning(lease.c.name)
    mine = {"name": task, "owner": owner, "until_ms": now_ms + every_ms}
    return connection.execute(taken, mine).first() is not None
