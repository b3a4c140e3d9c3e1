"""Several keys of one provider: used in turn, and left at rest where one is refused."""

import itertools
from collections import Counter
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import (
    SluiceError,
    UpstreamBroken,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
)
from common.ports import Timeouts
from common.providers.credentials import LIMITED_REST_S, REFUSED_REST_S, Credential, Credentials
from common.providers.provider import Provider, provider_of
from common.settings import ProviderKind, ProviderSettings, Secret
from common.wire.json_members import JsonMembers

KEYS: Final = [Credential((("authorization", f"Bearer key-{each}"),), f"key-{each}") for each in "abc"]
LIMITED: Final = UpstreamRateLimited("Patience.", retry_after_s=30)


def taken(credentials: Credentials, count: int, now: float = 0) -> str:
    """Letters of the keys that come next."""
    return "".join(credentials.take(now).secret[-1] for _ in range(count))


def test_each_in_turn() -> None:
    """No key is asked twice before all others were."""
    assert taken(Credentials(KEYS), 7) == "abcabca"


def test_one_key() -> None:
    """A single one is always the next, refused or not."""
    credentials = Credentials(KEYS[:1])
    credentials.failed(KEYS[0], LIMITED, 0)
    assert taken(credentials, 2) == "aa"
    assert not credentials.ready(0)


@pytest.mark.parametrize(
    ("error", "rest_s"),
    [
        (LIMITED, 30),
        (UpstreamRateLimited("Patience."), LIMITED_REST_S),
        (UpstreamRateLimited("At once.", retry_after_s=0), 0),
        (UpstreamRefused("No.", code="provider_refused"), REFUSED_REST_S),
        (UpstreamRefused("No.", code="provider_out_of_credit"), REFUSED_REST_S),
        (UpstreamRejected("Wrong.", status=400), 0),
        (UpstreamBroken("Broken."), 0),
        (UpstreamTimeout("Silent."), 0),
    ],
)
def test_rest(error: SluiceError, rest_s: float) -> None:
    """A key rests for as long as the provider asks, else for a while; what is not about the key leaves it."""
    credentials = Credentials(KEYS)
    credentials.failed(KEYS[1], error, 100)
    if rest_s:
        assert taken(credentials, 4, 100 + rest_s - 0.1) == "acac"
    assert "b" in taken(credentials, 3, 100 + rest_s)


def test_all_at_rest() -> None:
    """Then the one is used whose rest ends first: to refuse a request is not a key's business."""
    credentials = Credentials(KEYS)
    for key, rest_s in zip(KEYS, (30, 10, 20), strict=True):
        credentials.failed(key, UpstreamRateLimited("Patience.", retry_after_s=rest_s), 0)
    assert not credentials.ready(9)
    assert taken(credentials, 2, 9) == "bb"
    assert credentials.ready(10)


def test_a_longer_rest_stays() -> None:
    """A request that was under way, and ends with a shorter one, does not shorten it."""
    credentials = Credentials(KEYS[:2])
    credentials.failed(KEYS[0], UpstreamRefused("No.", code="provider_refused"), 0)
    credentials.failed(KEYS[0], UpstreamRateLimited("Patience.", retry_after_s=1), 5)
    assert taken(credentials, 3, REFUSED_REST_S - 1) == "bbb"


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 20)), max_size=20))
def test_no_key_at_rest_while_another_is_ready(steps: list[tuple[int, int, int]]) -> None:
    """Whatever happened, a key whose rest has not ended is used only where all rest; the ready ones share evenly."""
    credentials, now = Credentials(KEYS), 0
    until = [0, 0, 0]
    for place, rest_s, later in steps:
        now += later
        credentials.failed(KEYS[place], UpstreamRateLimited("", retry_after_s=rest_s), now)
        until[place] = max(until[place], now + rest_s)
        ready = {key for key, each in zip("abc", until, strict=True) if each <= now}
        used = Counter(taken(credentials, 6, now))
        if ready:
            assert used == dict.fromkeys(ready, 6 // len(ready))
        else:
            assert set(used) <= {key for key, each in zip("abc", until, strict=True) if each == min(until)}


def several(kind: ProviderKind, *keys: str) -> Provider:
    """A provider with these keys."""
    base_url = "https://llm.example.com/v1" if kind is ProviderKind.OPENAI else None
    return provider_of(ProviderSettings("p", kind, base_url, tuple(map(Secret, keys))))


def headers_of(provider: Provider) -> list[dict[str, str]]:
    """Of a request with each of its keys."""
    body = JsonMembers(b'{"model":"claude-opus-4-8","messages":[{"role":"user","content":"x"}]}')
    return [
        dict(
            provider.chat_request(
                body, {}, output_max=None, credential=credential, timeouts=Timeouts(1, 1, 1)
            ).headers
        )
        for credential in provider.credentials.all
    ]


def test_requests_by_kind() -> None:
    """Each key goes where the provider looks for it, and nowhere else."""
    openai = headers_of(several(ProviderKind.OPENAI, "key-one", "key-two"))
    assert [each["authorization"] for each in openai] == ["Bearer key-one", "Bearer key-two"]
    (anthropic,) = headers_of(several(ProviderKind.ANTHROPIC, "key-one"))
    assert anthropic == {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "key-one",
    }
    (keyless,) = headers_of(several(ProviderKind.OPENAI))
    assert keyless == {"content-type": "application/json"}


def test_a_key_that_is_named_twice_is_one() -> None:
    """Its rest would not be one otherwise."""
    assert len(several(ProviderKind.OPENAI, "key-one", "key-two", "key-one").credentials.all) == 2


def test_a_key_that_begins_like_another() -> None:
    """The longer one is hidden as a whole."""
    assert (
        several(ProviderKind.OPENAI, "secret-1", "secret-12").hide("secret-12 secret-1")
        == "[hidden] [hidden]"
    )


@pytest.mark.parametrize("kind", [ProviderKind.OPENAI, ProviderKind.ANTHROPIC])
def test_all_keys_are_hidden(kind: ProviderKind) -> None:
    """A provider that repeats any of its keys, whichever was used, does not tell it to a client."""
    keys = ["correct-horse", "battery-staple", "other-secret"]
    provider = several(kind, *keys)
    for one, other in itertools.permutations(keys, 2):
        assert provider.hide(f"Not {one}, {other}?") == "Not [hidden], [hidden]?"
    assert not any(key in repr(provider) + repr(provider.credentials.all) for key in keys)
