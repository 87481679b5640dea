"""Spending and the reservations of running answers: the counters behind every limit.

Knows these two tables and the limits of invitations. One statement counts an answer and checks the limit, so of two
replicas that ask at the same moment only one gets the last answer.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, func, insert, select, update

from lib.domain.budget import CENT_PARTS, EVERYBODY, FOR_GOOD, Account, Held, Judged, Spent, charge, visitor_account
from lib.domain.clock import DAY_MS, now_ms
from lib.domain.completion import Completion
from lib.store.channel import Channel
from lib.store.facts import insert_into
from lib.store.schema import answer, invitation, reservation, spending
from lib.store.writer import Ticket

ORPHANED_MS = 3_600_000
"""Milliseconds after which a reservation belongs to an answer whose process died; it stays spent."""
ANY_USD, ANY_ANSWERS = 1e300, 2**31 - 1
TURN = 7_265_792_002
"""PostgreSQL's advisory lock under which replicas count."""

_ONE_ACCOUNT = (spending.c.day == bindparam("on_day")) & (spending.c.account == bindparam("of_account"))
_STATE = select(spending.c.usd, spending.c.answers).where(_ONE_ACCOUNT)
_CHANGE = (
    update(spending)
    .where(_ONE_ACCOUNT)
    .values(usd=spending.c.usd + bindparam("more_usd"), answers=spending.c.answers + bindparam("more_answers"))
)
_HELD = select(reservation.c.account).where(reservation.c.answer_id == bindparam("id")).limit(1)
_SETTLE = (
    delete(reservation)
    .where(reservation.c.answer_id == bindparam("id"))
    .returning(reservation.c.day, reservation.c.account, reservation.c.usd)
)
_TURN = select(func.pg_advisory_xact_lock(TURN))
_ADD: dict[str, Any] = {}  # by dialect: building a statement takes longer than running it


def hold(connection: Connection, answer_id: str, usd: float, accounts: Sequence[Account], judged: Judged) -> Held:
    """Count an answer under all of these accounts, or under none where one has met its limit."""
    verdict = judged()
    if verdict is False or connection.scalar(_HELD, {"id": answer_id}) is not None:
        return Held(None, {})
    _take_turns(connection)
    spent: dict[Account, Spent] = {}
    for account in accounts:
        state = _add(connection, account, usd, limited=verdict is None)
        if state is None:
            for counted in spent:
                _change(connection, counted.day, counted.name, -usd, -1)
            return Held(account.limit, {account: _state(connection, account)})
        spent[account] = state
    since = now_ms()
    held = [{"answer_id": answer_id, "day": account.day, "account": account.name, "usd": usd} for account in accounts]
    connection.execute(insert(reservation), [account | {"since_ms": since} for account in held])
    return Held(None, spent)


def settle(connection: Connection, answer_id: str, completion: Completion) -> None:
    """Replace an answer's reservation by its cost. Does nothing without a reservation."""
    held = connection.execute(_SETTLE, {"id": answer_id}).all()
    if held:
        _take_turns(connection)
    for row in held:
        usd, answers = charge(completion, row.usd)
        _change(connection, row.day, row.account, usd - row.usd, answers - 1)


def allowance(connection: Connection, invitation_id: str) -> float | None:
    """Return an invitation's limit of US dollars; None without one."""
    return connection.scalar(select(invitation.c.usd).where(invitation.c.id == invitation_id))


def begin_day(connection: Connection) -> None:
    """Start the day's count with the cost of today's answers so far, where nothing was counted yet."""
    today = now_ms() // DAY_MS
    if _row(connection, today, EVERYBODY) is None:
        spent = spent_since(connection, today * DAY_MS)
        values = {"day": today, "account": EVERYBODY, "usd": spent.usd, "answers": spent.answers}
        connection.execute(insert_into(connection, spending).on_conflict_do_nothing(), values)


def spent_since(connection: Connection, since_ms: int) -> Spent:
    """Return the number and the known cost of real answers that ended since a time."""
    real = (answer.c.time_ms >= since_ms) & answer.c.simulated.is_(False) & (answer.c.finish_reason != "limited")
    usd, answers = connection.execute(select(func.sum(answer.c.cost_usd), func.count()).where(real)).one()
    return Spent(float(usd or 0.0), int(answers))


def states(connection: Connection, accounts: Iterable[Account]) -> dict[Account, Spent]:
    """Return the state of these accounts."""
    return {account: _state(connection, account) for account in accounts}


def furthest(connection: Connection, day: int, limit: int) -> tuple[int, int, int]:
    """Return the number of visitors who asked on this day, of those who met the limit, and the largest count of one."""
    at_limit = func.sum(case((spending.c.answers >= limit, 1), else_=0))
    visitors = (spending.c.day == day) & spending.c.account.startswith(visitor_account(""))
    row = connection.execute(select(func.count(), at_limit, func.max(spending.c.answers)).where(visitors)).one()
    return int(row[0]), int(row[1] or 0), int(row[2] or 0)


def sweep(connection: Connection) -> None:
    """Delete visitors' earlier days, and reservations of dead processes."""
    earlier = spending.c.day.between(FOR_GOOD + 1, now_ms() // DAY_MS - 2) & (spending.c.account != EVERYBODY)
    connection.execute(delete(spending).where(earlier))
    connection.execute(delete(reservation).where(reservation.c.since_ms < now_ms() - ORPHANED_MS))


def _take_turns(connection: Connection) -> None:
    """Let replicas count one after the other: a group of facts locks the shared rows in any order, so two groups could
    deadlock. SQLite has a single writer."""
    if connection.dialect.name == "postgresql":
        connection.execute(_TURN)


def _add(connection: Connection, account: Account, usd: float, *, limited: bool) -> Spent | None:
    """Count one more answer, unless it does not fit; return the account's state."""
    if limited and account.met(Spent(), usd):
        return None  # exceeds the whole limit: the statement below would start a new row with it
    dialect = connection.dialect.name
    if dialect not in _ADD:
        new = insert_into(connection, spending)
        _ADD[dialect] = new.on_conflict_do_update(
            index_elements=[spending.c.day, spending.c.account],
            set_={"usd": spending.c.usd + new.excluded.usd, "answers": spending.c.answers + new.excluded.answers},
            where=(spending.c.usd < bindparam("most_usd"))
            & (spending.c.usd + new.excluded.usd <= bindparam("most_usd") + CENT_PARTS)
            & (spending.c.answers < bindparam("most_answers")),
        ).returning(spending.c.usd, spending.c.answers)
    values = {
        "day": account.day,
        "account": account.name,
        "usd": usd,
        "answers": 1,
        "most_usd": account.usd if limited and account.usd is not None else ANY_USD,
        "most_answers": account.answers if limited and account.answers is not None else ANY_ANSWERS,
    }
    return _spent(connection.execute(_ADD[dialect], values).one_or_none())


def _change(connection: Connection, day: int, account: str, usd: float, answers: int) -> None:
    values = {"on_day": day, "of_account": account, "more_usd": usd, "more_answers": answers}
    connection.execute(_CHANGE, values)


def _state(connection: Connection, account: Account) -> Spent:
    return _spent(_row(connection, account.day, account.name)) or Spent()


def _row(connection: Connection, day: int, account: str) -> Any:
    return connection.execute(_STATE, {"on_day": day, "of_account": account}).one_or_none()


def _spent(row: Any) -> Spent | None:
    return None if row is None else Spent(row.usd, row.answers)


class SpendingAccounts:
    """The accounts of a database under which answers are counted, for every replica at once."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def healthy(self) -> bool:
        """True where the last attempt to write succeeded and none hangs."""
        return self._channel.error is None

    def hold(self, answer_id: str, usd: float, accounts: Sequence[Account], judged: Judged) -> Ticket:
        """Count an answer that is to be asked; the ticket's result is a `Held`."""
        return self._channel.write(lambda connection: hold(connection, answer_id, usd, accounts, judged))

    def settle(self, answer_id: str, completion: Completion) -> Ticket:
        """Count the cost of an answer that is not recorded. The end of a recorded one does this itself."""
        return self._channel.write(lambda connection: settle(connection, answer_id, completion))

    def begin_day(self) -> Ticket:
        """Count the cost of today's answers from before there was a limit."""
        return self._channel.write(begin_day)

    def sweep(self) -> None:
        """Delete counters that nothing reads any more. Raises StoreError."""
        self._channel.call(sweep)

    def spent(self, accounts: Iterable[Account]) -> dict[Account, Spent]:
        """Return the spending of these accounts, running answers included."""
        with self._channel.read() as connection:
            return states(connection, accounts)

    def spent_since(self, since_ms: int) -> Spent:
        """Return the number and cost of real answers that ended since then, also where no limit counted them."""
        with self._channel.read() as connection:
            return spent_since(connection, since_ms)

    def furthest(self, day: int, most: int) -> tuple[int, int, int]:
        """Return the number of visitors who asked on a day, of those at their limit, and the largest count of one."""
        with self._channel.read() as connection:
            return furthest(connection, day, most)

    def allowance(self, invitation_id: str) -> float | None:
        """Return the limit of an invitation's guests together, in US dollars."""
        with self._channel.read() as connection:
            return allowance(connection, invitation_id)
