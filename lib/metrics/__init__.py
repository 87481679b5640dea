"""The metrics of `/metrics`: counters of what happens, and gauges that are read at each scrape.

Owns the names, labels and buckets. Knows neither alerts nor access rules.
"""

__all__ = ["counters", "gauges"]
