"""The operator of a command, under whose name the audit log has the command's acts."""

import getpass
from collections.abc import Mapping
from typing import Any

from lib.domain.clock import now_ms
from lib.domain.ids import new_id
from lib.domain.operations import Act, Entry
from lib.store import Store, audit

WITHIN_S = 30.0
"""Seconds that the record may take to write a line."""


def operator_name() -> str:
    """Return the name of this machine's user for the audit log."""
    try:
        return f"{getpass.getuser()}, by command"
    except (KeyError, OSError):  # a container may run as a user without a name
        return "by command"


def log_command(store: Store, act: Act, subject: str, details: Mapping[str, Any] | None = None) -> None:
    """Write a line of the audit log. Raises StoreError."""
    entry = Entry(new_id(), now_ms(), operator_name(), act, subject, details or {})
    store.written(lambda connection: audit.log_act(connection, entry), WITHIN_S)
