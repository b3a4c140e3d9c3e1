"""One completion from edge to settlement. `call.py` is the file to read first."""
