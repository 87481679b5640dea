"""Ids of events, answers and conversations."""

import uuid


def new_id() -> str:
    """A fresh id for an event, an answer or a conversation."""
    return uuid.uuid4().hex
