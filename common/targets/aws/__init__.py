"""The AWS target: a streaming Runtime API loop, and what it makes of function URL events."""
