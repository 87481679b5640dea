"""The chat: a question becomes an answer that outlives its page, and all of it is recorded.

Owns conversations, comparisons, running answers, their record, and the division of an answer's Markdown into blocks.
Uses `experiments` for the group, `access` for the budget, `models` for the answer and `store` for the record. Knows
neither Streamlit nor the operator's pages.
"""

__all__ = [
    "comparisons",
    "conversations",
    "generation",
    "markdown",
    "recorder",
    "rescue",
    "standings",
    "trials",
]
