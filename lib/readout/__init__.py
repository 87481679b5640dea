"""The readout: the sums of the store become verdicts, and verdicts become sentences.

Owns the metrics, the order of the verdicts, and their wording: `verdicts` holds the readout as a value, `judge` judges
one metric, `judgements` are its values, `preferences` judges the comparisons. `words` is the vocabulary,
`sentences`, `advice` and `side_by_side` are the text, `report` is the JSON, `results` gathers the contents of the
Results page. Computes with `statistics`, reads from `store`. Knows no page and no command.
"""

__all__ = [
    "advice",
    "preferences",
    "report",
    "results",
    "sentences",
    "side_by_side",
    "verdicts",
    "words",
]
