"""The formulas of a readout and the sums that they take.

Pure: no input, no output, the standard library only. `formulas` estimates one group, `differences` compares two,
`intervals` intersects the intervals of several looks; `quantiles`, `splits` and `preferences` have a module each.
Knows no experiment, no store and no verdict.
"""

__all__ = ["differences", "figures", "formulas", "intervals", "preferences", "quantiles", "splits", "sums"]
