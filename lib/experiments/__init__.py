"""Experiments: the group of a visitor, evaluated by Statsig's SDK, and the delivery of events to Statsig.

Owns the local definitions, Statsig's config specs, the SDK and its restrictions, and the delivery of the outbox. Knows
no model server, no page, and no event's meaning.
"""

__all__ = ["acts", "book", "comparing", "console", "definitions", "delivery", "evaluator", "statuses"]
