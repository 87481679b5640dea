"""News for operators who look at no page: a verdict, harm, a broken split, a spent budget, stuck delivery, failures.

Owns which news there are, that each goes out once whatever the number of replicas, and the receivers of PARLEY_ALERTS.
Reads the readout and the record; knows no page, and of a receiver only what Apprise knows.
"""

__all__ = ["news", "receivers", "watch"]
