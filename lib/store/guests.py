"""Who may come in: invitations, who came by them, who accepted which notice, who signed out. Knows these four tables.

What counts somebody holds the invitation's row, so that no two replicas let the last guest in twice.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select, update

from lib.domain.clock import DAY_MS, now_ms
from lib.domain.invitations import Invitation, Refusal
from lib.store import rows
from lib.store.facts import add
from lib.store.schema import consent, guest, invitation, sign_out

SESSION_DAYS = 40
"""Longer than the cookie of any session lasts."""


def invite(connection: Connection, new: Invitation) -> bool:
    """Keep a new invitation; False where one of its name is still open."""
    now = now_ms()
    if any(other.name == new.name and other.over(now) is None for other in invitations(connection)):
        return False
    kept = {
        "id": new.id, "name": new.name, "created_ms": new.created_ms, "expires_ms": new.expires_ms,
        "sessions": new.sessions, "grp": new.group, "usd": new.usd, "compare": new.compare,
    }  # fmt: skip
    add(connection, invitation, rows.fit(invitation, kept))
    return True


def revoke(connection: Connection, name_or_id: str) -> int:
    """End the invitations of this name or id that are still open; how many those were."""
    now = now_ms()
    named = (invitation.c.id == name_or_id) | (invitation.c.name == name_or_id)
    still_open = named & invitation.c.revoked_ms.is_(None) & (invitation.c.expires_ms > now)
    return connection.execute(update(invitation).where(still_open).values(revoked_ms=now)).rowcount


def invitations(connection: Connection) -> list[Invitation]:
    """All of them with their use, the newest first."""
    newest = _with_use().order_by(invitation.c.created_ms.desc(), invitation.c.id)
    return [_invitation(row) for row in connection.execute(newest)]


def one(connection: Connection, invitation_id: str) -> Invitation | None:
    """One of them with its use."""
    row = connection.execute(_with_use().where(invitation.c.id == invitation_id)).one_or_none()
    return _invitation(row) if row else None


def entered(connection: Connection, invitation_id: str, visitor_id: str) -> bool:
    """Whether this visitor came by this invitation before."""
    mine = (guest.c.invitation_id == invitation_id) & (guest.c.visitor_id == visitor_id)
    return connection.scalar(select(guest.c.since_ms).where(mine)) is not None


def enter(connection: Connection, invitation_id: str, visitor_id: str) -> Refusal | None:
    """Let this visitor in and count them, once; or why not."""
    connection.execute(select(invitation.c.id).where(invitation.c.id == invitation_id).with_for_update())
    found, now = one(connection, invitation_id), now_ms()
    if found is None:
        return "unknown"
    if entered(connection, invitation_id, visitor_id):
        return found.over(now)
    if refusal := found.closed(now):
        return refusal
    add(connection, guest, {"invitation_id": invitation_id, "visitor_id": visitor_id, "since_ms": now})
    return None


def agree(connection: Connection, visitor_id: str, version: str) -> None:
    """This visitor accepts this version of the notice; the first time is the one that is kept."""
    add(connection, consent, rows.fit(consent, {"visitor_id": visitor_id, "version": version, "time_ms": now_ms()}))


def agreed(connection: Connection, visitor_id: str, version: str) -> bool:
    """Whether this visitor accepted this version of the notice."""
    mine = (consent.c.visitor_id == visitor_id) & (consent.c.version == version)
    return connection.scalar(select(consent.c.time_ms).where(mine)) is not None


def end_sessions(connection: Connection, sessions: Sequence[str]) -> None:
    """End these sessions. Those whose cookies have run out by now are forgotten."""
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
    found = Invitation(row.id, row.name, row.created_ms, row.expires_ms, row.sessions, row.grp, row.usd)
    return replace(found, revoked_ms=row.revoked_ms, used=row.used, last_ms=row.last_ms, compare=bool(row.compare))
