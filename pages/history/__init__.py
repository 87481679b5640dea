"""The History page, for operators: runs and decisions with their readouts, and the audit log."""
