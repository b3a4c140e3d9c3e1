"""Ways to send one HTTP request to a provider."""
