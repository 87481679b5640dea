"""The record as every room sees it: a promise to write, and what may go wrong with writing and delivering."""

from typing import Literal, Protocol

StoreFailure = Literal["away", "fact", "refused", "read"]
"""An attempt to write while the store is away; a fact that cannot be written; one that found no room; a read."""
Untaken = Literal["http_4xx", "http_5xx", "network", "silent", "unsendable"]
"""Why Statsig did not take a batch: what it answered, no answer, none in time, or that it could not be sent at all."""


class StoreError(Exception):
    """The store cannot be used. The message is a sentence for the operator and holds no password and no text."""


class Receipt(Protocol):
    """A promise that something will be written."""

    @property
    def committed(self) -> bool: ...

    def wait(self, timeout: float) -> bool:
        """Wait at most so many seconds; True when it is written for good."""
