"""A provider that is asked by way of Cloudflare's AI Gateway."""

import pytest

from common.providers.provider import provider_of
from common.settings import Settings, SettingsError, parse_settings

VIA = 'cloudflare_ai_gateway = { account = "acc", gateway = "my-gateway", token = "env:TOKEN" }'
VARIABLES = {"KEY": "provider-secret", "TOKEN": "gateway-secret"}


def settings(kind: str, more: str = VIA) -> Settings:
    """With one provider."""
    return parse_settings(f'[providers.p]\nkind = "{kind}"\napi_key = "env:KEY"\n{more}', VARIABLES)


@pytest.mark.parametrize(
    ("kind", "base_url"),
    [
        ("openrouter", "https://gateway.ai.cloudflare.com/v1/acc/my-gateway/openrouter/v1"),
        ("openai", "https://gateway.ai.cloudflare.com/v1/acc/my-gateway/openai"),
        ("anthropic", "https://gateway.ai.cloudflare.com/v1/acc/my-gateway/anthropic/v1"),
    ],
)
def test_address(kind: str, base_url: str) -> None:
    """Each kind has its provider's own path there."""
    assert provider_of(settings(kind).providers["p"]).base_url == base_url


def test_other_providers() -> None:
    """An address that is configured holds: other providers have paths there, too."""
    groq = 'base_url = "https://gateway.ai.cloudflare.com/v1/acc/my-gateway/groq"\n'
    assert provider_of(settings("openai", groq + VIA).providers["p"]).base_url.endswith("/groq")


def test_models_are_known() -> None:
    """What is known of OpenAI's own models holds by that way, too."""
    models = '\n[models.m]\ntargets = ["p/gpt-4o-mini"]'
    [target] = settings("openai", VIA + models).models["m"].targets
    assert target.prices is not None
    assert target.context_length == 128_000


def test_nothing_of_its_own() -> None:
    """No cache, no retry and no prompt in its log, whatever its own page says; the provider's key stays as it is."""
    headers = dict(provider_of(settings("openai").providers["p"]).headers)
    assert headers["authorization"] == "Bearer provider-secret"
    assert {name: value for name, value in headers.items() if name.startswith("cf-")} == {
        "cf-aig-authorization": "Bearer gateway-secret",
        "cf-aig-skip-cache": "true",
        "cf-aig-max-attempts": "1",
        "cf-aig-collect-log-payload": "false",
    }


def test_without_a_token() -> None:
    """One that asks for none gets none."""
    without = VIA.replace(', token = "env:TOKEN"', "")
    assert "cf-aig-authorization" not in dict(provider_of(settings("openai", without).providers["p"]).headers)


def test_directly() -> None:
    """A provider that is asked directly hears nothing of it."""
    plain = 'base_url = "https://llm.example.com/v1"'
    assert not any(
        name.startswith("cf-") for name, _ in provider_of(settings("openai", plain).providers["p"]).headers
    )


def test_token_is_a_secret() -> None:
    """The token is among what is never written, and is hidden in what a provider says."""
    configured = settings("openrouter")
    assert "gateway-secret" in configured.secrets
    assert "gateway-secret" not in repr(configured)
    provider = provider_of(configured.providers["p"])
    assert "gateway-secret" not in provider.hide("your gateway-secret is not accepted")


@pytest.mark.parametrize(
    ("via", "key"),
    [
        ('cloudflare_ai_gateway = { account = "acc" }', "providers.p.cloudflare_ai_gateway.gateway"),
        (VIA.replace("my-gateway", "a/b"), "providers.p.cloudflare_ai_gateway.gateway"),
        (VIA.replace("env:TOKEN", "plain"), "providers.p.cloudflare_ai_gateway.token"),
        (VIA.replace("env:TOKEN", "env:NOBODY"), "providers.p.cloudflare_ai_gateway.token"),
        ('cloudflare_ai_gateway = "yes"', "providers.p.cloudflare_ai_gateway"),
    ],
)
def test_mistakes(via: str, key: str) -> None:
    """What is wrong with it is told with its place."""
    with pytest.raises(SettingsError) as caught:
        settings("openrouter", via)
    assert [mistake.key for mistake in caught.value.mistakes] == [key]
