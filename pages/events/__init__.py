"""The Events page, for operators: the ledger, its filters, and the life of one answer."""
