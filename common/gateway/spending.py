"""Fields that make a request dearer than its tokens. For a caller who is bound by money each must be priced. Pure.

Sources: https://openrouter.ai/docs/api-reference/chat-completion (2026-08-22),
https://platform.openai.com/docs/api-reference/chat/create (2026-08-21),
https://platform.claude.com/docs/en/build-with-claude/prompt-caching.
"""

from collections.abc import Mapping
from typing import Any, Final

from common.model.errors import InvalidRequest

_SPENDING: Final = (
    "plugins",
    "web_search_options",
    "models",
    "route",
    "transforms",
    "image_config",
    "prediction",
)
# no sets: a client may send what cannot be in one
_USUAL_TIERS: Final = (None, "default")
_USUAL_TTLS: Final = (None, "5m")
_OWN_TOOLS: Final = ("function", "custom")


def refuse_unpriced_features(body: Mapping[str, Any]) -> None:
    """`InvalidRequest` that names the first field which may cost what nobody has priced."""
    for name in _SPENDING:
        if body.get(name):
            raise _unpriced(name)
    if body.get("service_tier") not in _USUAL_TIERS:
        raise _unpriced("service_tier")
    for index, tool in enumerate(body.get("tools") or ()):
        if tool.get("type") not in _OWN_TOOLS:
            raise _unpriced(f"tools[{index}].type")
        _refuse_long_cache(tool, f"tools[{index}]")
    for index, message in enumerate(body["messages"]):
        parts = message.get("content")
        for part in parts if isinstance(parts, list) else ():
            _refuse_long_cache(part, f"messages[{index}].content")


def _refuse_long_cache(part: Mapping[str, Any], param: str) -> None:
    """Anthropic's prompt cache is written at one price for five minutes, which is priced, and at another for longer."""
    cache = part.get("cache_control")
    if isinstance(cache, dict) and cache.get("ttl") not in _USUAL_TTLS:
        raise _unpriced(f"{param}.cache_control")


def _unpriced(param: str) -> InvalidRequest:
    return InvalidRequest(
        f"This API key has a budget, and `{param}` may cost more than the budget can be held to. Leave it out.",
        param=param,
        code="unpriced_feature",
    )
