"""The reader's clock: the time zone of the browser."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import streamlit as st


def reader_zone() -> tzinfo:
    """Return the browser's time zone, or UTC where the browser names none or one that this machine does not know.

    Browsers report names such as `Etc/Unknown`, and zones that are newer than this machine's tzdata.
    """
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (LookupError, ValueError, OSError):  # an unknown name, no name, a folder of tzdata
        return UTC
