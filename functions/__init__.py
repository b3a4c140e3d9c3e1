"""One module for each endpoint: its routes, and what it needs."""
