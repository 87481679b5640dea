"""Experiments: definitions, Statsig's config specs and SDK, and the delivery of events to Statsig."""
