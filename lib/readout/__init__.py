"""The readout: the sums of the store become verdicts, and verdicts become sentences.

Owns the metrics, the order in which a verdict is found, and every word of it: `verdicts` holds the readout as a value,
`judge` judges one metric, `preferences` the comparisons, `sentences`, `advice` and `side_by_side` word it,
`report` is the JSON, `results` gathers the contents of the Results page, `runs` names runs. Computes with `statistics`,
reads from `store`. Knows no page and no command.
"""

__all__ = ["advice", "judge", "preferences", "report", "results", "sentences", "side_by_side", "verdicts"]
