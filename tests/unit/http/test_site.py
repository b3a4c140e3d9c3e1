"""Which paths there are, and whose they are."""

import pytest
from fastapi.routing import APIRoute

from common.http.site import FUNCTIONS, Site
from tests.support.gateway import load_functions

ALL = load_functions()


@pytest.mark.parametrize("function", ALL, ids=[function.name for function in ALL])
def test_every_function_is_known_by_its_paths(function: object) -> None:
    """A function that is not served here is known all the same, by each of its paths, and by no other's."""
    [this] = [each for each in ALL if each is function]
    alone = Site([each for each in ALL if each is not this], {this.name: "https://other.example"})
    complete = Site(ALL, {})
    for route in this.router.routes:
        assert isinstance(route, APIRoute)
        path = route.path_format.format_map(dict.fromkeys(route.param_convertors, "x"))
        assert f"function {this.name}, which is served at https://other.example." in alone.advice(path)
        assert complete.advice(path) == ""
        assert set(route.methods or ()) <= set(complete.methods(path))


def test_all_that_are_known_exist() -> None:
    """No path is said to be a function's that is not there."""
    assert set(FUNCTIONS.values()) == {function.name for function in ALL}


def test_url_is_not_configured() -> None:
    """Without a URL in the configuration, the function is named all the same."""
    advice = Site([], {}).advice("/v1/models/a/b")
    assert advice == " It belongs to the function models, which is served at a URL of its own."


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/modelsx", "/v2/models", "", "/v1/v1", "\x00"])
def test_nobodys_path(path: str) -> None:
    """A path that is nobody's has no methods and no advice."""
    site = Site(ALL, {})
    assert (site.methods(path), site.advice(path)) == ([], "")


def test_below_v1() -> None:
    """A client whose base URL lacks /v1 is told so."""
    assert "ends in /v1" in Site(ALL, {}).advice("/models")
