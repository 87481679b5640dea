"""The command `python -m lib invite`: makes signed links, lists them with their use, ends them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from lib.access.identity import Access
from lib.access.signing_key import signing_key
from lib.commands.definitions import find_definition, live_experiment
from lib.commands.errors import CommandError, UsageError
from lib.domain.clock import now_ms
from lib.domain.invitations import Invitation, Terms, address, new_invitation
from lib.settings import Settings
from lib.store import Store

STATES = {None: "open", "used_up": "used up"}


@dataclass(frozen=True, slots=True)
class NewLink:
    """A new link, with a note for the operator."""

    url: str
    notes: tuple[str, ...]


def make(settings: Settings, store: Store, name: str, terms: Terms) -> NewLink:
    """Make an invitation. Raises UsageError for impossible values, CommandError where the name is taken."""
    try:
        invitation = new_invitation(name, terms, now_ms())
    except ValueError as error:
        raise UsageError(str(error)) from None
    if terms.group is not None:
        experiment = live_experiment(settings, store)
        groups = [each.name for each in find_definition(settings, experiment, store).groups]
        if terms.group not in groups:
            raise UsageError(f"{experiment} has no group {terms.group}; it has {', '.join(groups)}.")
    if not store.guests.invite(invitation):
        raise CommandError(
            f"There is an open invitation of this name already: {invitation.name}. Revoke it, or take another."
        )
    return NewLink(_link(settings, invitation), tuple(_notes(settings, invitation)))


def end(store: Store, name_or_id: str) -> str:
    """End the open links of this name or id and return a line about it. Raises CommandError where there is none."""
    if not store.guests.revoke(name_or_id):
        raise CommandError(f"There is no open invitation of this name or id: {name_or_id}")
    return f"Ended: {name_or_id}. Its guests are outside from now on."


def listed(settings: Settings, store: Store) -> list[str]:
    """Return a line for each invitation, newest first, under a heading."""
    head = ("id", "name", "state", "used", "until", "group", "compare", "usd", "link")
    rows = [head, *(_row(settings, invitation) for invitation in store.guests.invitations())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    return ["  ".join(map(str.ljust, row, [*widths, 0])) for row in rows]


def _row(settings: Settings, invitation: Invitation) -> tuple[str, ...]:
    state = invitation.closed(now_ms())
    return (
        invitation.id,
        invitation.name,
        STATES.get(state) or str(state),
        f"{invitation.used} of {invitation.sessions}" if invitation.sessions else str(invitation.used),
        _day(invitation.expires_ms),
        invitation.group or "-",
        "yes" if invitation.compare else "-",
        "-" if invitation.usd is None else f"{invitation.usd:g}",
        _link(settings, invitation),
    )


def _notes(settings: Settings, invitation: Invitation) -> Iterator[str]:
    count = invitation.sessions
    browsers = "any number of browsers" if count is None else f"{count} browser" + "s" * (count > 1)
    yield f"Good until {_day(invitation.expires_ms)} (UTC) for {browsers}; id {invitation.id}."
    if not settings.public_url_is_set:
        yield f"PARLEY_PUBLIC_URL is not set: the link begins with {settings.public_url}, good on this machine alone."
    if invitation.compare:
        yield "Who comes by it compares two answers side by side and takes no part in the A/B test."
    if invitation.group is not None:
        yield f"Who comes by it gets the group {invitation.group} and is left out of the readout."
    if settings.access != "invite":
        yield f"PARLEY_ACCESS is {settings.access}: links count only where it is invite."


def _link(settings: Settings, invitation: Invitation) -> str:
    token = Access(signing_key(settings)).invitation_token(invitation.id, invitation.expires_ms // 1000)
    return address(settings.public_url, token)


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"
