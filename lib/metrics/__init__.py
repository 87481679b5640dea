"""Counters of what happens in the chat, as `/metrics` serves them."""
