"""Errors of both databases: the distinction between a store that is away and a row that cannot be written."""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError

from lib.domain.record import StoreError

SQLITE_AWAY = {3, 5, 6, 7, 8, 10, 11, 13, 14, 15, 26}
"""PERM BUSY LOCKED NOMEM READONLY IOERR CORRUPT FULL CANTOPEN PROTOCOL NOTADB: none is caused by a row."""
POSTGRES_AWAY = ("08", "25", "26", "28", "3D", "3F", "40", "42501", "42P01", "42P05", "53", "55", "57", "58", "XX")
"""SQLSTATE classes (and three single codes: no right, no table, a statement of another session) with the same meaning
for PostgreSQL or a pooler in front of it."""


def away(error: BaseException) -> bool:
    """Return True where the store is the cause (locked, read-only, full, gone) and not the data."""
    if isinstance(error, StoreError | TimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    code, state = getattr(error.orig, "sqlite_errorcode", None), getattr(error.orig, "sqlstate", None)
    if code is not None:
        return code & 0xFF in SQLITE_AWAY or "no such table" in str(error.orig)
    if state is not None:
        return str(state).startswith(POSTGRES_AWAY)
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def explain(error: BaseException) -> str:
    """Return the cause in one line, without the statement, its values or the row that PostgreSQL would quote.

    >>> explain(ValueError("no\\n  way."))
    'no way'
    """
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    message = getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause)
    return " ".join(message.split()).rstrip(".") or type(cause).__name__
