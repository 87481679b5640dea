"""Access: who may come in, who is an operator, how much and how fast anybody may ask.

Owns the cookies and tokens of visitors and operators, invitations' signatures, budgets, and the limits of an open link.
Knows no page, no model server and no SQL: what all replicas count together is counted by what the store offers.
"""

__all__ = ["budgets", "crowd", "data_folder", "identity", "repeats", "sessions", "signing_key", "throttle"]
