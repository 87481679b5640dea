"""Experiments: which group a visitor is in, by Statsig's SDK, and the way of the events to Statsig.

Owns the local definitions, Statsig's config specs, the SDK with all that must be kept from it, and the delivery of the
outbox. Knows no model server, no page, and nothing of what the events say.
"""

__all__ = ["comparing", "console", "definitions", "delivery", "evaluator", "statuses"]
