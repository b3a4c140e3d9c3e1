"""Types of the public API, which is OpenAI's. Source: https://platform.openai.com/docs/api-reference (2026-08-21)."""
