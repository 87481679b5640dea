"""What `/metrics` serves: counters of what happens, and gauges that are read when somebody asks.

Owns the names, labels and buckets. Knows neither what is done about a number nor who may read it.
"""

__all__ = ["counters", "gauges"]
