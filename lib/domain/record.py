"""The record as every room sees it: a promise to write, and the failures of writing and delivery."""

from typing import Literal, Protocol

StoreFailure = Literal["away", "fact", "refused", "read"]
"""A failure of the store: it is away, a fact cannot be written, no room for a fact, a read failed."""
Untaken = Literal["http_4xx", "http_5xx", "network", "silent", "unsendable"]
"""The reason why Statsig did not accept a batch: its status, no connection, no answer in time, or a batch that cannot
be sent."""


class StoreError(Exception):
    """The store cannot be used. The message is a sentence for the operator and contains no password and no text."""


class Receipt(Protocol):
    """A promise of a write."""

    @property
    def committed(self) -> bool: ...

    @property
    def result(self) -> object:
        """The value that the write returned; None until it is committed."""

    def wait(self, timeout: float) -> bool:
        """Wait at most this many seconds. Returns True once it is committed."""
