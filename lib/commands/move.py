"""The command `python -m lib move`: copies the whole record to another database and compares the row counts."""

from collections.abc import Iterator
from contextlib import closing

from lib.access.signing_key import key_file
from lib.commands.errors import UsageError
from lib.domain.database_url import DatabaseUrl, parse_database_url
from lib.settings import Settings
from lib.store.database import Database
from lib.store.transfer import Copied, copy


def move(settings: Settings, url: str) -> Iterator[Copied]:
    """Copy the record to this address, a table at a time. Raises UsageError and StoreError.

    An interrupted copy continues when it is called again.
    """
    target = address(url)
    if target == settings.database:
        raise UsageError("Both addresses name the same database.")
    if settings.database_file is not None and not settings.database_file.exists():
        raise UsageError(f"There is no record yet: {settings.database_file} does not exist.")
    with closing(Database.open(settings.database_url)) as source, closing(Database.open(url)) as target_database:
        yield from copy(source, target_database)


def address(url: str) -> DatabaseUrl:
    """Parse the address. Raises UsageError without quoting it."""
    try:
        return parse_database_url(url)
    except ValueError as error:
        raise UsageError(f"--to: must be {error}") from None


def next_steps(settings: Settings, url: str) -> Iterator[str]:
    """Yield what the operator does after a complete copy."""
    yield f"Everything is in {address(url)}. Set DATABASE_URL to it, and start Parley."
    if (file := key_file(settings)) is not None and file.exists():
        yield f"Set PARLEY_SIGNING_KEY to what {file} holds: without it every visitor becomes a new one."
