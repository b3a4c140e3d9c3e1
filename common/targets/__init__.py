"""Composition roots: each wires ports to adapters for one platform, and serves functions there."""
