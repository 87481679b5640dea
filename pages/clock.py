"""The reader's clock: the time zone of the browser, and days in it."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

import streamlit as st


def reader_zone() -> tzinfo:
    """Return the browser's time zone, or UTC where the browser names none or one that this machine does not know."""
    return zone_named(st.context.timezone or "")


def zone_named(name: str) -> tzinfo:
    """Return the time zone of this name, or UTC where this machine does not know it.

    Browsers report names such as `Etc/Unknown`, and zones that are newer than this machine's tzdata.

    >>> [str(zone_named(name)) for name in ("Europe/Berlin", "Etc/Unknown", "../../etc/passwd", "Europe", "")]
    ['Europe/Berlin', 'UTC', 'UTC', 'UTC', 'UTC']
    """
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # an unknown name, an empty name, a folder of tzdata
        return UTC


def span(since: date | None, until: date | None, zone: tzinfo) -> tuple[int | None, int | None]:
    """Return the beginning of the first day and the end of the last one, in milliseconds; None: open.

    A last day that is not over yet is open.

    >>> from zoneinfo import ZoneInfo
    >>> span(date(2026, 3, 29), date(2026, 3, 29), ZoneInfo("Europe/Berlin"))  # a day of 23 hours
    (1774738800000, 1774821600000)
    >>> span(None, date(9999, 1, 1), UTC)
    (None, None)
    """
    over = until is not None and until < datetime.now(zone).date()
    return _midnight(since, zone), _midnight(until + timedelta(1), zone) if until and over else None


def _midnight(day: date | None, zone: tzinfo) -> int | None:
    return int(datetime.combine(day, time(), zone).timestamp() * 1_000) if day else None
