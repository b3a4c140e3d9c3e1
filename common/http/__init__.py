"""The FastAPI side: how functions become an application, and requests become calls."""
