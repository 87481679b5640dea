"""Planning before an experiment starts: the testers and days that the A/B test and comparisons need.

Owns the assumptions about testers who are not there yet: how alike their ratings are, how often they tie, how much
their tastes differ. `power` computes the chance that a readout finds a difference, by the readout's own formulas,
`plans` the testers and days for it, `recommendation` words it. Knows no store, no page and no command.
"""

__all__ = ["plans", "power", "recommendation"]
