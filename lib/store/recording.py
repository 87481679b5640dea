"""The recording options of a process: what it stores, and the marks that its rows carry. Knows no table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recording:
    """The recording options of a process. `keep_text` False: prompts, answers, titles and comments are not stored.
    `deliver`: events get an outbox row, for Statsig. `tier` is the environment of this process (empty: none). `owner`
    names this process among those that share the database."""

    keep_text: bool
    deliver: bool
    tier: str
    owner: str
