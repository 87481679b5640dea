"""The readout: what the store has summed becomes verdicts, and verdicts become sentences."""
