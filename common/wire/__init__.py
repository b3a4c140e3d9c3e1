"""Formats that cross the network, as pure codecs: bytes in, values out, and back."""
