"""Votes on comparisons as rows: the columns of a `preference` event, and the migration that fills the table from an
older ledger.

Owns the order that makes the last vote of a comparison count: by time, then by event id. Knows no table object, so that
the schema can name the migration.
"""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from lib.domain.events import PREFERENCE
from lib.domain.operations import stretch
from lib.domain.rating import BOTH_BAD, TIE

_FIELDS = ("experiment", "comparison_id", "left", "right")
_CREATE = (
    "CREATE TABLE vote (experiment VARCHAR(128) NOT NULL, simulated BOOLEAN NOT NULL,"
    " comparison_id VARCHAR(64) NOT NULL, user_id VARCHAR(128) NOT NULL, time_ms BIGINT NOT NULL,"
    " event_id VARCHAR(64) NOT NULL, first_grp VARCHAR(128) NOT NULL, second_grp VARCHAR(128) NOT NULL,"
    " worth SMALLINT, both_bad SMALLINT NOT NULL, left_won SMALLINT NOT NULL, tier VARCHAR(64) DEFAULT '' NOT NULL,"
    " invitation VARCHAR(64), PRIMARY KEY (experiment, simulated, comparison_id))",
    "CREATE INDEX vote_sums ON vote (experiment, simulated, first_grp, second_grp, user_id, worth, both_bad, left_won,"
    " time_ms, tier)",
    "CREATE INDEX vote_of_user ON vote (user_id)",
)
_PAST = text("SELECT event_id, time_ms, user_id, simulated, value, metadata FROM event WHERE name = :name")
_KEEP = text(
    "INSERT INTO vote (experiment, simulated, comparison_id, user_id, time_ms, event_id, first_grp, second_grp, worth,"
    " both_bad, left_won, invitation) VALUES (:experiment, :simulated, :comparison_id, :user_id, :time_ms, :event_id,"
    " :first_grp, :second_grp, :worth, :both_bad, :left_won, :invitation)"
    " ON CONFLICT (experiment, simulated, comparison_id) DO UPDATE SET user_id = excluded.user_id,"
    " time_ms = excluded.time_ms, event_id = excluded.event_id, first_grp = excluded.first_grp,"
    " second_grp = excluded.second_grp, worth = excluded.worth, both_bad = excluded.both_bad,"
    " left_won = excluded.left_won, invitation = excluded.invitation"
    " WHERE (excluded.time_ms, excluded.event_id) > (vote.time_ms, vote.event_id)"
)
PIECE = 1_000
"""Votes that the migration writes with one statement."""


def vote_of(value: object, metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the columns of a `preference`; None where it names no comparison of two groups.

    The pair stands in alphabetical order. `worth` is 1 where the second group is preferred, −1 for the first, 0 for
    neither, None where the value is none of these.

    >>> vote_of("B", {"experiment": "e", "comparison_id": "c", "left": "B", "right": "A"})["worth"]
    1
    >>> vote_of("tie", {"experiment": "e", "left": "B", "right": "A"}) is None
    True
    """
    fields = {name: metadata.get(name) for name in _FIELDS}
    if not all(isinstance(field, str) and field for field in fields.values()):
        return None
    left, right = str(fields["left"]), str(fields["right"])
    first, second = sorted((left, right))
    worth = {TIE: 0, BOTH_BAD: 0} | {first: -1, second: 1}
    invitation = metadata.get("invitation")
    return {
        "experiment": stretch(str(fields["experiment"]), metadata.get("run") or 1),
        "comparison_id": fields["comparison_id"],
        "first_grp": first,
        "second_grp": second,
        "worth": worth.get(str(value)),
        "both_bad": int(value == BOTH_BAD),
        "left_won": int(value == left),
        "invitation": invitation if isinstance(invitation, str) else None,
    }


def fill(connection: Connection) -> None:
    """Create the table and fill it with the votes in the ledger."""
    for statement in _CREATE:
        connection.exec_driver_sql(statement)
    past = [
        row_of_vote
        for row in connection.execute(_PAST, {"name": PREFERENCE})
        if (row_of_vote := _past_vote(row)) is not None
    ]
    for start in range(0, len(past), PIECE):
        connection.execute(_KEEP, past[start : start + PIECE])


def _past_vote(row: Any) -> dict[str, Any] | None:
    vote = vote_of(json.loads(row.value or "null"), json.loads(row.metadata))
    if vote is None:
        return None
    return vote | {
        "user_id": row.user_id,
        "time_ms": row.time_ms,
        "event_id": row.event_id,
        "simulated": bool(row.simulated),
    }
