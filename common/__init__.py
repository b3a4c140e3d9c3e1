"""Sluice's core: everything but the endpoints themselves. The floors are described in docs/architecture.md."""

__version__ = "0.1.0"
