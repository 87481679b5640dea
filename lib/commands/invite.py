"""The command `python -m lib invite`: makes signed links, lists them with their use, ends them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from lib.access.identity import Access
from lib.access.signing_key import signing_key
from lib.commands.definitions import find_definition, live_experiment
from lib.domain.clock import now_ms
from lib.domain.invitations import DAYS, Invitation, address, new_invitation
from lib.settings import Settings
from lib.store import Store

STATES = {None: "open", "used_up": "used up"}


class InviteError(Exception):
    """The command cannot be carried out; the message says why."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new link, with a note for the operator."""

    link: str
    notes: tuple[str, ...]


def make(
    settings: Settings,
    store: Store,
    *,
    name: str,
    days: int | None,
    sessions: int | None,
    group: str | None,
    usd: float | None,
    compare: bool = False,
) -> Made:
    """Make an invitation. Raises ValueError for impossible values, InviteError where the name is taken."""
    made = new_invitation(name, DAYS if days is None else days, sessions, group, usd, now_ms(), compare)
    if group is not None:
        experiment = live_experiment(settings, store)
        known = [each.name for each in find_definition(settings, experiment, store).groups]
        if group not in known:
            raise ValueError(f"{experiment} has no group {group}; it has {', '.join(known)}.")
    if not store.guests.invite(made):
        raise InviteError(f"There is an open invitation of this name already: {made.name}. Revoke it, or take another.")
    return Made(_link(settings, made), tuple(_notes(settings, made)))


def end(store: Store, name_or_id: str) -> str:
    """End the open links of this name or id and return a line about it. Raises InviteError where there is none."""
    if not store.guests.revoke(name_or_id):
        raise InviteError(f"There is no open invitation of this name or id: {name_or_id}")
    return f"Ended: {name_or_id}. Its guests are outside from now on."


def listed(settings: Settings, store: Store) -> list[str]:
    """Return a line for each invitation, newest first, under a heading."""
    head = ("id", "name", "state", "used", "until", "group", "compare", "usd", "link")
    rows = [head, *(_row(settings, one) for one in store.guests.invitations())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    return ["  ".join(map(str.ljust, row, [*widths, 0])) for row in rows]


def _row(settings: Settings, one: Invitation) -> tuple[str, ...]:
    state = one.closed(now_ms())
    return (
        one.id,
        one.name,
        STATES.get(state) or str(state),
        f"{one.used} of {one.sessions}" if one.sessions else str(one.used),
        _day(one.expires_ms),
        one.group or "-",
        "yes" if one.compare else "-",
        "-" if one.usd is None else f"{one.usd:g}",
        _link(settings, one),
    )


def _notes(settings: Settings, made: Invitation) -> Iterator[str]:
    who = "any number of browsers" if made.sessions is None else f"{made.sessions} browser" + "s" * (made.sessions > 1)
    yield f"Good until {_day(made.expires_ms)} (UTC) for {who}; id {made.id}."
    if not settings.public_url_is_set:
        yield f"PARLEY_PUBLIC_URL is not set: the link begins with {settings.public_url}, good on this machine alone."
    if made.compare:
        yield "Who comes by it compares two answers side by side and takes no part in the A/B test."
    if made.group is not None:
        yield f"Who comes by it gets the group {made.group} and is left out of the readout."
    if settings.access != "invite":
        yield f"PARLEY_ACCESS is {settings.access}: links count only where it is invite."


def _link(settings: Settings, one: Invitation) -> str:
    return address(settings.public_url, Access(signing_key(settings)).invitation_token(one.id, one.expires_ms // 1000))


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"
