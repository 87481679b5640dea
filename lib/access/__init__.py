"""Access: guests, operators, and the limits of visitors and networks.

Owns the cookies and tokens of visitors and operators, the signatures of invitations, the origin of a request, budgets,
and the limits of an open link. Knows no page, no model server and no SQL; the store counts what all replicas share.
"""

__all__ = ["budgets", "crowd", "data_folder", "identity", "repeats", "sessions", "signing_key", "throttle"]
