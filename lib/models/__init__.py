"""Model servers: requests, streams, errors, prices.

Owns the OpenAI client and everything on its wire; the client is imported with the first question. Takes messages and
parameters, returns a `Stream` and its `Completion`. Knows no visitor, no experiment and no record.
"""

__all__ = ["catalogue", "completion", "faults", "parameters", "prices", "providers", "refusals"]
