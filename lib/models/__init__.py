"""Model servers: requests, streams, errors, prices.

Owns the OpenAI client and everything on its wire; the client is imported with the first question. A question goes in as
messages and parameters, a `Stream` and its `Completion` come out. Knows no visitor, no experiment and no record.
"""

__all__ = ["catalogue", "completion", "faults", "parameters", "prices", "providers", "refusals"]
