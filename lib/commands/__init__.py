"""The operator's tool, one file for each command of `python -m lib`."""
