"""How long somebody who gave a wrong secret must wait before the next one is looked at.

Per address, and a little for everybody once many have failed: a secret cannot be guessed from one place or from many,
and whoever guesses cannot lock the operator out for long. Lives in one process; asked from its event loop only.
"""

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from lib.domain.recent import Recent

FREE, LONGEST_S = 3, 300.0
"""Wrong secrets of one address that cost nothing, and the longest wait after more: it doubles with each."""
FREE_FOR_ALL, LONGEST_FOR_ALL_S = 30, 2.0
"""The same for all addresses together."""
FORGET_S = 3_600.0
"""Without a further failure, the earlier ones are forgotten."""
ADDRESSES = 10_000
"""Addresses that are remembered; beyond them those whose last failure is oldest go."""


class Patience:
    """The failures at one door."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: Recent[str, tuple[int, float]] = Recent(ADDRESSES)  # how many, and when the last one was
        self._all = (0, 0.0)

    def wait(self, address: str | None) -> float:
        """Seconds until an attempt from there is looked at; 0 when it is now."""
        one = _left(self._failures.get(network_of(address), (0, 0.0)), FREE, LONGEST_S, self._clock())
        return max(one, _left(self._all, FREE_FOR_ALL, LONGEST_FOR_ALL_S, self._clock()))

    def failed(self, address: str | None) -> None:
        """A wrong secret came from there."""
        place, now = network_of(address), self._clock()
        self._failures[place] = _one_more(self._failures.pop(place, (0, 0.0)), now)
        self._all = _one_more(self._all, now)

    def succeeded(self, address: str | None) -> None:
        """The right one came from there: its failures are forgiven."""
        self._failures.pop(network_of(address), None)


def _one_more(before: tuple[int, float], now: float) -> tuple[int, float]:
    count, last = before
    return (count + 1 if now - last < FORGET_S else 1), now


def _left(failures: tuple[int, float], free: int, longest: float, now: float) -> float:
    """
    >>> [_left((count, 100.0), 3, 300.0, 100.0) for count in (2, 3, 4, 5, 99)]
    [0.0, 1.0, 2.0, 4.0, 300.0]
    """
    count, last = failures
    if count < free or now - last >= FORGET_S:
        return 0.0
    return max(0.0, last + min(longest, 2.0 ** min(count - free, 30)) - now)


def network_of(address: str | None) -> str:
    """Return the network that an address stands for: one customer of a provider has 2**64 addresses of the new kind.

    >>> network_of("10.0.0.1"), network_of("2001:db8::1:2:3:4"), network_of(None)
    ('10.0.0.1', '2001:db8::', '')
    """
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return ""
    return str(IPv6Address(int(parsed) >> 64 << 64)) if isinstance(parsed, IPv6Address) else str(parsed)
