"""The readout: what the store has summed becomes verdicts, and verdicts become sentences.

Owns which metrics there are, the order in which a verdict is found, and every word of it. Computes with `statistics`,
reads from `store`. Knows no page and no command.
"""

__all__ = ["results", "sentences", "verdicts"]
