"""Access: who may chat, who is an operator, how many questions a visitor or a network may ask.

Owns the cookies and tokens of visitors and operators, the signatures of invitations, the origin of a request, budgets,
and the limits of an open link. Knows no page, no model server and no SQL; the store counts what all replicas share.
"""

__all__ = ["budgets", "crowd", "data_folder", "identity", "repeats", "sessions", "signing_key", "throttle"]
