"""Which provider answers: candidates and their order."""
