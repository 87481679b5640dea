"""Delivery from the outbox to Statsig: events are leased, handed to the SDK, and done once Statsig acknowledges them.

Owns the one thread that delivers, and its retries. At least once: an unacknowledged event stays in the outbox and is
sent again, with its own id and time. Knows neither the outbox's tables nor assignments; an event's form on the wire is
in `statsig_events`.
"""

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, Protocol

from statsig import StatsigEvent

from lib.domain.events import Event
from lib.domain.record import Untaken
from lib.experiments.statsig_events import statsig_event

log = logging.getLogger("parley.delivery")

BATCH = 500
"""Events handed over at once: the SDK drops what its own queue cannot hold."""
SMALLEST = 10
"""Size of the first batches, and while requests fail: unacknowledged events are sent again and should be few."""
LEASE_S = 15.0
"""Seconds of a lease, renewed during delivery. After a crash, another process waits this long for the events."""
ANSWER_S = 12.0
"""Seconds to wait for an answer; the SDK's own requests give up earlier."""
PASS_S = 6.0
"""Seconds during which a batch may be divided before the rest waits for the next turn."""
STREAK = 12
"""Consecutive failures that dividing 500 events may meet while Statsig is healthy."""
HANGING = 3
"""Tolerated requests without an end; while there are more, nothing is handed over."""
IDLE_S = 1.0
"""Seconds between two looks into the outbox."""
PAUSE_S = (0.25, 10.0)
"""First and longest pause while Statsig accepts nothing. The longest is the most that recovery may cost."""
REFUSED_S = (2.0, 60.0)
"""First and longest delay of an event that Statsig refuses while it accepts others."""
CLOSE_S = 3.0
"""Seconds that the last delivery may take at shutdown."""

Outcome = Literal["taken", "refused", "silent"]


class Outbox(Protocol):
    """The undelivered events. No method raises."""

    def lease(self, limit: int, seconds: float) -> list[Event]: ...
    def acknowledge(self, event_ids: Collection[str]) -> object: ...
    def postpone(self, event_ids: Collection[str], delay_s: float, error: str | None) -> object: ...


class Sender(Protocol):
    """The owner of the SDK: its object that takes events, None until it is ready, and its callback about their fate."""

    @property
    def server(self) -> Any: ...
    def on_flushed(self, callback: Callable[..., None]) -> None: ...


class DeliveryMeter(Protocol):
    """The receiver of delivery's measurements. No method raises."""

    def acknowledged(self, events: int) -> None: ...
    def batch_taken(self, seconds: float) -> None: ...
    def batch_refused(self, why: Untaken) -> None: ...


class Dispatcher:
    """One dispatcher, running from construction on. `error` is Statsig's last error, None after a success."""

    def __init__(self, outbox: Outbox, sender: Sender, meter: DeliveryMeter) -> None:
        self.error: str | None = None
        self._outbox, self._sender, self._meter = outbox, sender, meter
        self._news = threading.Condition()
        self._waiting: set[str] = set()  # handed over without an answer yet
        self._unaccepted: set[str] = set()  # not accepted of the last batch
        self._held: set[str] = set()  # leased and undecided
        self._renewed = 0.0
        self._answer = ""  # the reason for the last refusal
        self._refusal: Untaken = "silent"  # its class
        self._flushing: list[threading.Thread] = []
        self._suspects: dict[str, int] = {}  # events that were refused alone, with the count
        self._failures, self._size = 0, SMALLEST  # a process that was killed lately may be killed again
        self._stop, self._until = threading.Event(), math.inf
        sender.on_flushed(self._flushed)
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        self._thread.start()

    def close(self, timeout: float = CLOSE_S) -> None:
        """Send what is left, for at most this many seconds; the rest stays in the outbox. Safe to call twice."""
        self._until = min(self._until, time.monotonic() + timeout)
        self._stop.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            pause = self._guarded_turn()
        while time.monotonic() < self._until and self._guarded_turn() == 0:
            pass

    def _guarded_turn(self) -> float:
        try:
            return self._turn()
        except Exception:
            log.error("delivery met a fault of its own", exc_info=True)
            return PAUSE_S[1]

    def _turn(self) -> float:
        """Look into the outbox once; return the seconds until the next look."""
        self._flushing = [thread for thread in self._flushing if thread.is_alive()]
        if self._sender.server is None or len(self._flushing) >= HANGING:
            return IDLE_S
        events = self._outbox.lease(self._size, LEASE_S)
        if not events:
            return IDLE_S
        self._held, self._renewed = {event.event_id for event in events}, time.monotonic()
        if self._deliver(events):
            self._note_state(None)
            self._failures = 0
            return 0.0
        self._failures += 1
        return float(min(PAUSE_S[1], PAUSE_S[0] * 2 ** min(self._failures, 10)) * random.uniform(0.8, 1.0))

    def _deliver(self, events: Sequence[Event]) -> bool:
        """Hand over and handle the result; True where Statsig is healthy.

        A batch that is refused while Statsig accepts other events is divided until the bad event is alone, so that it
        blocks no other.
        """
        parts, streak, deadline = [events], STREAK, time.monotonic() + PASS_S
        while parts and time.monotonic() < deadline:
            part = parts.pop()
            outcome = self._send(part)
            self._size = min(BATCH, 2 * self._size) if outcome == "taken" else max(SMALLEST, self._size // 4)
            unaccepted = [event for event in part if event.event_id in self._unaccepted]
            streak = 0 if len(unaccepted) < len(part) else streak + 1
            if outcome == "refused" and streak >= STREAK and len(unaccepted) > 1:
                probe = self._probe(unaccepted)
                if self._send([probe]) == "taken":
                    streak, unaccepted = 0, [event for event in unaccepted if event is not probe]
                else:
                    self._suspect(probe)
            if unaccepted and (outcome == "silent" or streak >= STREAK):
                return self._put_off(unaccepted)
            if len(unaccepted) == 1:
                self._refuse(unaccepted[0])
            elif unaccepted:
                parts += [unaccepted[: len(unaccepted) // 2], unaccepted[len(unaccepted) // 2 :]]
        self._postpone([event for part in parts for event in part], PAUSE_S[0])
        return True

    def _probe(self, events: Sequence[Event]) -> Event:
        """Return an event to test whether Statsig accepts anything: if possible, one that was not left over before."""
        return random.choice([event for event in events if event.event_id not in self._suspects] or events)

    def _put_off(self, events: Sequence[Event]) -> bool:
        """Postpone everything, because Statsig accepts nothing."""
        self._note_state(self._answer)
        if len(events) == 1:
            self._suspect(events[0])
        self._outbox.postpone(set(self._held), PAUSE_S[0], self._answer)
        return False

    def _refuse(self, event: Event) -> None:
        """Postpone this event ever longer, because Statsig accepts others."""
        times = self._suspect(event)
        if times == 1:
            ids = {"event_id": event.event_id, "answer_id": event.metadata.get("answer_id")}
            log.warning("an event is not taken", extra=ids | {"cause": self._answer})
        self._postpone([event], min(REFUSED_S[1], REFUSED_S[0] * 2 ** min(times - 1, 10)))

    def _postpone(self, events: Sequence[Event], delay_s: float) -> None:
        ids = {event.event_id for event in events}
        with self._news:
            self._held -= ids
        if ids:
            self._outbox.postpone(ids, delay_s, self._answer)

    def _renew(self) -> None:
        """Renew the leases for as long as the next answer may take."""
        if self._held and time.monotonic() - self._renewed > LEASE_S - ANSWER_S:
            self._renewed = time.monotonic()
            self._outbox.postpone(set(self._held), LEASE_S, self._answer)

    def _suspect(self, event: Event) -> int:
        if len(self._suspects) >= 10_000:
            self._suspects.clear()
        self._suspects[event.event_id] = times = self._suspects.get(event.event_id, 0) + 1
        return times

    def _send(self, events: Sequence[Event]) -> Outcome:
        """Hand these to the SDK and wait for the result; `_left` are those that were not accepted."""
        self._renew()
        wired = {event.event_id: sent for event in events if (sent := self._wire(event))}
        with self._news:
            self._waiting, self._unaccepted = set(wired), set(wired)
            self._answer, self._refusal = "no answer", "silent"
        if not wired:
            return "taken"
        began, outcome = time.monotonic(), self._hand_over(list(wired.values()))
        if outcome == "taken":
            self._meter.batch_taken(time.monotonic() - began)
        else:
            self._meter.batch_refused(self._refusal if outcome == "refused" else "silent")
        return outcome

    def _hand_over(self, events: Sequence[StatsigEvent]) -> Outcome:
        server = self._sender.server
        try:
            for event in events:
                server.log_event(event)
        except Exception as error:
            self._answer, self._refusal = type(error).__name__, "unsendable"
            return "refused"
        return self._await_answer(server)

    def _wire(self, event: Event) -> StatsigEvent | None:
        try:
            return statsig_event(event)
        except Exception as error:
            self._answer = f"cannot be sent: {type(error).__name__}"
            self._meter.batch_refused("unsendable")
            self._refuse(event)
            return None

    def _await_answer(self, server: Any) -> Outcome:
        # The SDK's request may outlast every timeout; then this thread is left to it.
        flushing = threading.Thread(target=self._flush, args=(server,), name="delivery-flush", daemon=True)
        self._flushing.append(flushing)
        flushing.start()
        began = time.monotonic()
        with self._news:
            self._news.wait_for(lambda: not self._waiting, ANSWER_S)
            if not self._unaccepted:
                return "taken"
        return "refused" if time.monotonic() - began < ANSWER_S / 2 else "silent"

    def _flush(self, server: Any) -> None:
        try:
            server.flush()
        except Exception as error:
            log.warning("the SDK could not flush", extra={"error": type(error).__name__})

    def _flushed(self, ok: bool, events: list[dict[str, Any]], status: int | None, error: Exception | None) -> None:
        """Handle the SDK's report on one batch, even a late one. Must not raise: that loses the batch."""
        try:
            ids = {name for event in events if (name := (event.get("metadata") or {}).get("event_id"))}
            if ok and ids:
                self._outbox.acknowledge(ids)
                self._meter.acknowledged(len(ids))
            with self._news:
                if not ok and ids & self._waiting:
                    self._answer, self._refusal = _reason(status, error), _refusal(status)
                self._waiting -= ids
                self._held -= ids if ok else set()
                for name in ids if ok else ():
                    self._unaccepted.discard(name)
                    self._suspects.pop(name, None)
                self._news.notify_all()
        except Exception as fault:
            log.error("an acknowledgement was not understood", extra={"error": type(fault).__name__})

    def _note_state(self, error: str | None) -> None:
        """Note the state of Statsig, and log its changes."""
        if error and self.error is None:
            log.warning("Statsig does not take events; they wait in the outbox", extra={"cause": error})
        elif error is None and self.error:
            log.info("Statsig takes events again")
        self.error = error


def _reason(status: int | None, error: Exception | None) -> str:
    """Return why a batch was refused, without any foreign text, which may contain the key."""
    return f"HTTP {status}" if status and error else type(error).__name__ if error else "not taken"


def _refusal(status: int | None) -> Untaken:
    """
    >>> [_refusal(status) for status in (401, 429, 503, 200, None)]
    ['http_4xx', 'http_4xx', 'http_5xx', 'network', 'network']
    """
    if status and 400 <= status < 600:
        return "http_5xx" if status >= 500 else "http_4xx"
    return "network"
