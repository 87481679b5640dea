"""The formulas of a readout and the sums that they take. Pure: no input, no output, standard library only."""
