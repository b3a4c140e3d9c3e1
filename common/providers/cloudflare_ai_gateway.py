"""Cloudflare's AI Gateway between Sluice and a provider: its addresses, and what it is told with each request. Pure.

It is told to do nothing of its own: its cache knows no tenant of ours, a retry of its would be paid for and not held,
and its log is not to keep what people wrote. Each header wins over what the gateway's own page says.
Sources (2026-11): https://developers.cloudflare.com/ai-gateway/usage/providers/openrouter/, .../ai-gateway/glossary/,
https://developers.cloudflare.com/changelog/post/2026-03-17-collect-log-payload-header/.
"""

from typing import Final

from common.settings import CloudflareAiGateway, ProviderKind

ADDRESS: Final = "https://gateway.ai.cloudflare.com/v1"
LOG_ID: Final = "cf-aig-log-id"
"""The header of an answer that names its entry in the gateway's log."""

TOKEN: Final = "cf-aig-authorization"  # noqa: S105 - the header's name
PASSES_ON: Final = (
    ("cf-aig-skip-cache", "true"),
    ("cf-aig-max-attempts", "1"),
    ("cf-aig-collect-log-payload", "false"),
)
_PATHS: Final = {
    ProviderKind.OPENAI: "openai",  # in place of the provider's address and /v1
    ProviderKind.OPENROUTER: "openrouter/v1",
    ProviderKind.ANTHROPIC: "anthropic/v1",
}


def base_url_of(gateway: CloudflareAiGateway, kind: ProviderKind) -> str:
    """Where the kind's own provider is, behind the gateway."""
    return f"{ADDRESS}/{gateway.account}/{gateway.gateway}/{_PATHS[kind]}"


def headers_of(gateway: CloudflareAiGateway) -> tuple[tuple[str, str], ...]:
    """What a request has besides."""
    if gateway.token is None:
        return PASSES_ON
    return (*PASSES_ON, (TOKEN, f"Bearer {gateway.token.value}"))
