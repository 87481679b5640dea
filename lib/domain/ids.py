"""Ids of events, answers and conversations."""

import uuid


def new_id() -> str:
    """Return a new id for an event, an answer or a conversation."""
    return uuid.uuid4().hex
