"""Which paths there are: here, with which methods, and at the URLs of other functions."""

from collections.abc import Iterable, Mapping
from typing import Final

from fastapi.routing import APIRoute

from common.http.function import Function

# whose a path is, and all below it; known everywhere, for a function by itself has imported no other
FUNCTIONS: Final = {
    "/health": "health",
    "/v1/chat/completions": "chat_completions",
    "/v1/keys/me": "usage",  # before what it is below
    "/v1/keys": "keys",
    "/v1/models": "models",
    "/v1/usage": "usage",
}


class Site:
    """The functions that are served here, and where the others are."""

    def __init__(self, functions: Iterable[Function], base_urls: Mapping[str, str]) -> None:
        """`base_urls`: of functions by name, as far as they are known."""
        self._here = {function.name: function for function in functions}
        self._base_urls = base_urls

    def methods(self, path: str) -> list[str]:
        """Those that the path takes; none where there is no such path."""
        found = {
            method
            for function in self._here.values()
            for route in function.router.routes
            if isinstance(route, APIRoute) and route.path_regex.match(path)
            for method in route.methods or ()
        }
        if "GET" in found:
            found.add("HEAD")
        return sorted({*found, "OPTIONS"}) if found else []

    def advice(self, path: str) -> str:
        """What to do instead, for a path that is not here; empty where nobody knows."""
        name = _function_of(path)
        if name is not None and name not in self._here:
            url = self._base_urls.get(name)
            where = f"at {url}" if url else "at a URL of its own"
            return f" It belongs to the function {name}, which is served {where}."
        if _function_of(f"/v1{path}") is not None:
            return " The API is below /v1: set the client's base URL to one that ends in /v1."
        return ""


def _function_of(path: str) -> str | None:
    return next(
        (name for begin, name in FUNCTIONS.items() if path == begin or path.startswith(f"{begin}/")), None
    )
