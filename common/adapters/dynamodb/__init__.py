"""Stores in one DynamoDB table: see `table.py` for what is in it."""
