"""HTTP beside the pages: the server, its headers, health, metrics and static files."""
