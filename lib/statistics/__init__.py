"""The formulas of a readout and the sums that they take.

Pure: no input, no output, the standard library only. `formulas` estimates one group, `differences` compares two,
`intervals` holds what several looks have in common, `quantiles`, `splits` and `preferences` serve what their names say.
Knows no experiment, no store and no word of a verdict.
"""

__all__ = ["differences", "formulas", "intervals", "preferences", "quantiles", "splits", "sums"]
