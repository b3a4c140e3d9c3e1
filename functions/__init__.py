"""One module for each endpoint and each scheduled job: what it does, and what it needs."""
