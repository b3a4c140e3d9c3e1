"""Cloudflare Workers: the bridge to ASGI, and the composition root. `js`, `pyodide` and `workers` exist only there."""
