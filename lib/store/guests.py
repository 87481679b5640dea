"""Invitations, their guests, accepted notices and signed-out sessions: the four tables behind access.

Counting a guest locks the invitation's row, so two replicas cannot both admit the last guest.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select, update

from lib.domain.clock import DAY_MS, now_ms
from lib.domain.invitations import Invitation, Refusal
from lib.store import rows
from lib.store.channel import Channel
from lib.store.facts import add
from lib.store.schema import consent, guest, invitation, sign_out
from lib.store.writer import Ticket

SESSION_DAYS = 40
"""Days that outlast the cookie of any session."""


def invite(connection: Connection, new: Invitation) -> bool:
    """Store a new invitation; False where an open one has its name."""
    now = now_ms()
    if any(existing.name == new.name and existing.over(now) is None for existing in invitations(connection)):
        return False
    values = {
        "id": new.id,
        "name": new.name,
        "created_ms": new.created_ms,
        "expires_ms": new.expires_ms,
        "sessions": new.sessions,
        "grp": new.group,
        "usd": new.usd,
        "compare": new.compare,
    }
    add(connection, invitation, rows.fit(invitation, values))
    return True


def revoke(connection: Connection, name_or_id: str) -> int:
    """End the open invitations of this name or id; return their number."""
    now = now_ms()
    matches = (invitation.c.id == name_or_id) | (invitation.c.name == name_or_id)
    still_open = matches & invitation.c.revoked_ms.is_(None) & (invitation.c.expires_ms > now)
    return connection.execute(update(invitation).where(still_open).values(revoked_ms=now)).rowcount


def invitations(connection: Connection) -> list[Invitation]:
    """Return all invitations with their use, newest first."""
    newest = _with_use().order_by(invitation.c.created_ms.desc(), invitation.c.id)
    return [_invitation(row) for row in connection.execute(newest)]


def find_invitation(connection: Connection, invitation_id: str) -> Invitation | None:
    """Return one invitation with its use."""
    row = connection.execute(_with_use().where(invitation.c.id == invitation_id)).one_or_none()
    return _invitation(row) if row else None


def entered(connection: Connection, invitation_id: str, visitor_id: str) -> bool:
    """Return True where this visitor used this invitation before."""
    visit = (guest.c.invitation_id == invitation_id) & (guest.c.visitor_id == visitor_id)
    return connection.scalar(select(guest.c.since_ms).where(visit)) is not None


def enter(connection: Connection, invitation_id: str, visitor_id: str) -> Refusal | None:
    """Admit and count this visitor, once, or return the reason why not."""
    connection.execute(select(invitation.c.id).where(invitation.c.id == invitation_id).with_for_update())
    stored, now = find_invitation(connection, invitation_id), now_ms()
    if stored is None:
        return "unknown"
    if entered(connection, invitation_id, visitor_id):
        return stored.over(now)
    if refusal := stored.closed(now):
        return refusal
    add(connection, guest, {"invitation_id": invitation_id, "visitor_id": visitor_id, "since_ms": now})
    return None


def agree(connection: Connection, visitor_id: str, version: str) -> None:
    """Record that this visitor accepts this version of the notice; the first time is kept."""
    add(connection, consent, rows.fit(consent, {"visitor_id": visitor_id, "version": version, "time_ms": now_ms()}))


def agreed(connection: Connection, visitor_id: str, version: str) -> bool:
    """Return True where this visitor accepted this version of the notice."""
    acceptance = (consent.c.visitor_id == visitor_id) & (consent.c.version == version)
    return connection.scalar(select(consent.c.time_ms).where(acceptance)) is not None


def end_sessions(connection: Connection, sessions: Sequence[str]) -> None:
    """End these sessions, and forget those whose cookies have expired."""
    now = now_ms()
    add(connection, sign_out, [{"session": session, "time_ms": now} for session in sessions])
    connection.execute(delete(sign_out).where(sign_out.c.time_ms < now - SESSION_DAYS * DAY_MS))


def session_ended(connection: Connection, session: str) -> bool:
    """Return True for a session that was signed out."""
    return connection.scalar(select(sign_out.c.time_ms).where(sign_out.c.session == session)) is not None


def _with_use() -> Select[Any]:
    came = select(guest.c.invitation_id, func.count().label("used"), func.max(guest.c.since_ms).label("last_ms"))
    uses = came.group_by(guest.c.invitation_id).subquery()
    counted = (func.coalesce(uses.c.used, 0).label("used"), uses.c.last_ms)
    return select(invitation, *counted).outerjoin(uses, uses.c.invitation_id == invitation.c.id)


def _invitation(row: Row[Any]) -> Invitation:
    stored = Invitation(row.id, row.name, row.created_ms, row.expires_ms, row.sessions, row.grp, row.usd)
    return replace(stored, revoked_ms=row.revoked_ms, used=row.used, last_ms=row.last_ms, compare=bool(row.compare))


class GuestBook:
    """The invitations, guests, consents and sign-outs of a database. Methods that wait for a commit raise
    StoreError."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def invite(self, new: Invitation) -> bool:
        """Keep a new invitation; False where one of its name is still open."""
        return bool(self._channel.call(lambda connection: invite(connection, new)))

    def revoke(self, name_or_id: str) -> int:
        """End the open invitations of this name or id, for every replica at once, and return their number."""
        return int(self._channel.call(lambda connection: revoke(connection, name_or_id)))

    def invitations(self) -> list[Invitation]:
        """Return all of them with their use, the newest first."""
        with self._channel.read() as connection:
            return invitations(connection)

    def invitation(self, invitation_id: str) -> Invitation | None:
        """Return one of them with its use."""
        with self._channel.read() as connection:
            return find_invitation(connection, invitation_id)

    def may_enter(self, invitation_id: str, visitor_id: str | None) -> Refusal | None:
        """Return the reason why this visitor could not use this invitation now; counts no guest."""
        with self._channel.read() as connection:
            stored = find_invitation(connection, invitation_id)
            if stored is None:
                return "unknown"
            entered_before = visitor_id is not None and entered(connection, invitation_id, visitor_id)
            return stored.over(now_ms()) if entered_before else stored.closed(now_ms())

    def enter(self, invitation_id: str, visitor_id: str) -> Refusal | None:
        """Admit this visitor, or return the reason why not. A new guest is counted once, on whatever replica."""
        with self._channel.read() as connection:
            if entered(connection, invitation_id, visitor_id):
                stored = find_invitation(connection, invitation_id)
                return stored.over(now_ms()) if stored else "unknown"
        refusal: Refusal | None = self._channel.call(lambda connection: enter(connection, invitation_id, visitor_id))
        return refusal

    def agree(self, visitor_id: str, version: str) -> Ticket:
        """Write that this visitor accepts this version of the notice."""
        return self._channel.write(lambda connection: agree(connection, visitor_id, version))

    def agreed(self, visitor_id: str, version: str) -> bool:
        """Return True where this visitor accepted this version of the notice."""
        with self._channel.read() as connection:
            return agreed(connection, visitor_id, version)

    def end_sessions(self, sessions: Sequence[str]) -> None:
        """End these sessions of operators and accounts, for every replica."""
        self._channel.call(lambda connection: end_sessions(connection, sessions))

    def session_ended(self, session: str) -> bool:
        """Return True for a session that was signed out."""
        with self._channel.read() as connection:
            return session_ended(connection, session)
