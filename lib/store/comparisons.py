"""Comparisons: the two answers to one question, the vote on them, and the units that compare.

Knows the table of comparisons and which units it keeps out of the A/B test; `preferences` sums the votes.
"""

from typing import Literal, get_args

from sqlalchemy import Connection, exists, select, update

from lib.domain.conversation import Comparison, Position, Turn, compared
from lib.domain.events import Event
from lib.domain.rating import Vote
from lib.store.schema import answer, comparison, exposure, message
from lib.store.stretches import run_names

Participation = Literal["exposed", "compared"]
"""The participation of a unit in an experiment: in the A/B test, or in comparisons."""


def participation(connection: Connection, experiment: str, unit: str, simulated: bool) -> Participation | None:
    """Return how a unit has taken part so far. A group that was forced on it takes part in nothing."""
    x, c = exposure.c, comparison.c
    exposed = x.experiment.in_(run_names(connection, experiment)) & x.simulated.is_(simulated) & (x.user_id == unit)
    exposed &= x.grp.is_not(None) & x.forced.is_(False)
    if connection.scalar(select(exists().where(exposed))):
        return "exposed"
    comparisons_of_unit = (c.experiment == experiment) & c.simulated.is_(simulated) & (c.user_id == unit)
    return "compared" if connection.scalar(select(exists().where(comparisons_of_unit))) else None


def any_compared(connection: Connection, experiment: str) -> bool:
    """Return True where any unit has compared in this experiment."""
    return bool(connection.scalar(select(exists().where(comparison.c.experiment == experiment))))


def joined(connection: Connection, answers: list[Turn]) -> tuple[Turn, ...]:
    """Return the turns of a conversation: two answers of one comparison become one turn."""
    ids = {turn.comparison_id for turn in answers if turn.comparison_id}
    if not ids:
        return tuple(answers)
    stored = select(comparison).where(comparison.c.comparison_id.in_(sorted(ids)))
    comparisons = {row.comparison_id: row for row in connection.execute(stored)}
    by_id, turns = {turn.answer_id: turn for turn in answers}, list[Turn]()
    for turn in answers:
        row = comparisons.get(turn.comparison_id)
        if row is None or not {row.left_answer_id, row.right_answer_id} <= set(by_id):
            turns.append(turn)
        elif turn.answer_id == row.left_answer_id:
            left, right = by_id[row.left_answer_id], by_id[row.right_answer_id]
            turns.append(compared(Comparison(row.comparison_id, left, right, _position(row.drawn), row.vote)))
    return tuple(turns)


def _position(text: str) -> Position:
    return next(position for position in get_args(Position) if position == text)


def vote(connection: Connection, comparison_id: str, preferred: Vote, event: Event) -> list[Event]:
    """Set the vote and remove the reason and the comment of an earlier one. Return its events: none when it is
    unchanged, or a later question has been asked."""
    stored = connection.execute(
        select(comparison).where(comparison.c.comparison_id == comparison_id).with_for_update()
    ).one_or_none()
    if stored is None or stored.vote == preferred:
        return []
    turn = select(message.c.turn).where(message.c.answer_id == stored.left_answer_id).scalar_subquery()
    later = (message.c.conversation_id == stored.conversation_id) & (message.c.turn > turn)
    if connection.scalar(select(exists().where(later))):
        return []
    changed = {"vote": preferred, "voted_ms": event.time_ms}
    connection.execute(update(comparison).where(comparison.c.comparison_id == comparison_id).values(changed))
    sides = (stored.left_answer_id, stored.right_answer_id)
    connection.execute(update(answer).where(answer.c.answer_id.in_(sides)).values(reason=None))
    connection.execute(update(message).where(message.c.answer_id.in_(sides)).values(comment=None))
    return [event]
