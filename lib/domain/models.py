"""The models of the shipped experiment. No other code names a model.

A vendor shuts its models down after a year or two. When that happens, change the two names here and in
`.streamlit/experiments.toml`, and their rows in `lib/models/prices.toml`.
"""

CONTROL_MODEL = "gpt-6-luna"
"""The small model: the default, and the shipped experiment's Control."""
TEST_MODEL = "gpt-6.2-sol"
"""The everyday model: the shipped experiment's Test."""
LONGEST_NAME = 128
"""Characters of a model's name."""
