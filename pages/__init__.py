"""The pages: one package each, with its script and its parts.

The pages take values from the rooms of `lib` and show them. They compute no statistics, speak no SQL and ask no model
server; nothing in `lib` imports them.
"""
