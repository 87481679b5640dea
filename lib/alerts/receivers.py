"""The receivers of alerts: addresses as Apprise reads them (Slack, Teams, mail, webhooks and many more).

An address holds a password or a token, so this module shows only its kind. Apprise is imported only where
there is an address: it takes 36 MB of memory.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from pydantic import SecretStr

from lib.settings import SettingsError

log = logging.getLogger("parley.alerts")

WITHIN_S = 20.0
"""Seconds that one receiver may take for a message."""
TEST = ("A test", "Alerts of Parley reach you. Nothing has happened.")
"""Title and text of the message that `check --alerts` sends."""


class Receivers:
    """Every receiver of PARLEY_ALERTS."""

    def __init__(self, addresses: Sequence[SecretStr]) -> None:
        """Take the addresses of the receivers. Raises SettingsError where Apprise cannot use one."""
        import apprise

        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its lines hold addresses
        self._receivers: list[tuple[str, Any]] = []
        self._threads: dict[int, threading.Thread] = {}
        for place, secret in enumerate(addresses, start=1):
            address = secret.get_secret_value()
            receiver = apprise.Apprise.instantiate(address, suppress_exceptions=True)
            if receiver is None:
                raise SettingsError(
                    [f"PARLEY_ALERTS: Apprise cannot use address {place}, which begins with {kind_of(address)}://"]
                )
            self._receivers.append((kind_of(address), receiver))

    @property
    def kinds(self) -> list[str]:
        """The kind of every receiver, such as `slack`."""
        return [kind for kind, _ in self._receivers]

    def send(self, title: str, text: str, except_for: Sequence[int] = ()) -> Iterator[tuple[int, bool]]:
        """Send a message to every receiver except those at these places. Yield each place with True where the receiver
        took the message, as soon as that is known."""
        for place, (kind, receiver) in enumerate(self._receivers):
            if place not in except_for:
                yield place, self._within(place, partial(_sent, kind, receiver, title, text), kind)

    def _within(self, place: int, send: Callable[[], bool], kind: str) -> bool:
        """Send to one receiver and wait at most WITHIN_S: a server that trickles bytes would outlast every timeout of a
        socket. While a message is under way, its receiver gets no other."""
        if (hanging := self._threads.get(place)) is not None and hanging.is_alive():
            return False
        outcome: list[bool] = []
        thread = threading.Thread(target=lambda: outcome.append(send()), name=f"alert to {kind}", daemon=True)
        self._threads[place] = thread
        thread.start()
        thread.join(WITHIN_S)
        if not outcome:
            log.warning("a receiver of alerts hangs", extra={"receiver": kind})
        return outcome == [True]


def kind_of(address: str) -> str:
    """
    >>> kind_of("slack://T1/B2/x3")
    'slack'
    """
    return address.partition("://")[0]


def _sent(kind: str, receiver: Any, title: str, text: str) -> bool:
    try:
        accepted = bool(receiver.notify(body=text, title=title, body_format="text"))  # else mail takes it for HTML
    except Exception as error:  # of whatever library a receiver needs
        log.warning("an alert could not be sent", extra={"receiver": kind, "error": type(error).__name__})
        return False
    if not accepted:
        log.warning("an alert was refused", extra={"receiver": kind})
    return accepted
