"""The formulas of a readout and the sums that they take.

Pure: no input, no output, the standard library only. Knows no experiment, no store and no word of a verdict.
"""

__all__ = ["formulas", "sums"]
