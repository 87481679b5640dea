"""Invitations and their links, as guests get them."""

from lib.access.identity import Access
from lib.domain.clock import now_ms
from lib.domain.invitations import Invitation, Terms, address, new_invitation
from lib.store import Store
from tests.support.app_process import AppProcess


def invitation(name: str = "Ann", sessions: int | None = None, days: int = 7) -> Invitation:
    return new_invitation(name, Terms(days, sessions), now_ms())


def invite(app: AppProcess, record: Store, made: Invitation) -> str:
    """Store an invitation to this app; return its link."""
    assert record.guests.invite(made)
    key = (app.folder / "data/parley.db.signing-key").read_text().strip()
    return address(app.url, Access(key).invitation_token(made.id, made.expires_ms // 1000))
