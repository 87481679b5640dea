"""Stand-ins for the servers that Parley talks to, and drivers of the real app."""
