"""News sent to operators: a verdict, harm, a broken split, a spent budget, stuck delivery, failures.

Owns the kinds of news, the rule that each is sent once by all replicas together, and the receivers of PARLEY_ALERTS.
Reads the readout and the record. Knows no page, and leaves the protocol of each receiver to Apprise.
"""

__all__ = ["news", "receivers", "watch"]
