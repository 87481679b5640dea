"""Access: who a visitor is, who is an operator, what budgets leave, and how fast secrets may be guessed."""
