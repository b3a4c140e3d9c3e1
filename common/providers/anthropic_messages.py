"""A conversation as Anthropic's Messages API takes it: instructions by themselves, turns that alternate. Pure.

A turn is made of blocks. Results of tools belong to the user's next turn, before its own words; what a model thought
stands before what it said. Sources: https://platform.claude.com/docs/en/api/messages (2026-10),
https://openrouter.ai/docs/use-cases/reasoning-tokens (2026-08-22; `reasoning_details`).
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from common.model.errors import UpstreamRejected

Block = dict[str, Any]

REASONING_FORMAT: Final = "anthropic-claude-v1"  # of `reasoning_details`
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_NOT_OF_AN_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")


def cannot_say(what: str, param: str) -> UpstreamRejected:
    """The error for what the API has no way to say: another provider's may."""
    message = f"Anthropic's Messages API takes no {what}."
    return UpstreamRejected(message, status=400, param=param, code="unsupported_parameter")


def conversation(messages: Sequence[Mapping[str, Any]]) -> tuple[list[Block], list[Block]]:
    """The instructions of all system and developer messages, and the turns."""
    system: list[Block] = []
    turns: list[Block] = []
    for message in messages:
        role = message["role"]
        if role in {"system", "developer"}:
            system += _blocks(message.get("content"))
            continue
        if role == "function":
            raise cannot_say("messages of `function`", "messages")
        speaker = "assistant" if role == "assistant" else "user"
        blocks = _said(message, role)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": speaker, "content": blocks})
    _trim_prefill(turns)
    return system, turns


def thinks_unsigned(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it ends with results of tools that were called without the thoughts before it being told."""
    if messages[-1]["role"] != "tool":
        return False
    caller = next((each for each in reversed(messages) if each["role"] != "tool"), None)
    return caller is not None and not list(_thoughts(caller))


def _said(message: Mapping[str, Any], role: str) -> list[Block]:
    match role:
        case "assistant":
            refusal = _blocks(message.get("refusal")) if isinstance(message.get("refusal"), str) else []
            calls = [_call(each) for each in message.get("tool_calls") or ()]
            return [*_thoughts(message), *_blocks(message.get("content")), *refusal, *calls]
        case "tool":
            return [_result(message)]
        case _:
            return _blocks(message.get("content"))


def _trim_prefill(turns: list[Block]) -> None:
    """An answer that is begun for the model may not end with white space."""
    if turns and turns[-1]["role"] == "assistant" and turns[-1]["content"][-1]["type"] == "text":
        last = turns[-1]["content"][-1]
        last["text"] = last["text"].rstrip()


def _thoughts(message: Mapping[str, Any]) -> Iterator[Block]:
    """What the model thought, where it is told with its signature."""
    details = message.get("reasoning_details")
    for each in details if isinstance(details, list) else ():
        if not isinstance(each, dict) or each.get("format", REASONING_FORMAT) != REASONING_FORMAT:
            continue
        if isinstance(each.get("data"), str):
            yield {"type": "redacted_thinking", "data": each["data"]}
        elif isinstance(each.get("signature"), str):
            yield {"type": "thinking", "thinking": each.get("text") or "", "signature": each["signature"]}


def _call(call: Mapping[str, Any]) -> Block:
    """A call of a tool that the model has made."""
    function = call.get("function")
    if not isinstance(function, dict):
        raise cannot_say("calls of tools that are no functions", "messages")
    try:
        given = json.loads(function.get("arguments") or "{}")
    except (ValueError, TypeError):
        given = None
    if not isinstance(given, dict):
        raise cannot_say("arguments of a tool that are no JSON object", "messages")
    return {"type": "tool_use", "id": _id(call.get("id")), "name": function.get("name"), "input": given}


def _result(message: Mapping[str, Any]) -> Block:
    result = {"type": "tool_result", "tool_use_id": _id(message.get("tool_call_id"))}
    content = _blocks(message.get("content"))
    return {**result, "content": content} if content else result


def _id(given: Any) -> str:
    """Of a call. Other providers make them of more characters."""
    return _NOT_OF_AN_ID.sub("_", given) if isinstance(given, str) else ""


def _blocks(content: Any) -> list[Block]:
    """Of a content; texts without a word are none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    blocks = []
    for part in content or ():
        block = _block(part)
        if block is not None:
            if isinstance(part.get("cache_control"), dict):
                block["cache_control"] = part["cache_control"]
            blocks.append(block)
    return blocks


def _block(part: Mapping[str, Any]) -> Block | None:
    kind = part.get("type")
    match kind:
        case "text" | "refusal":
            text = part.get(kind)
            return {"type": "text", "text": text} if isinstance(text, str) and text.strip() else None
        case "image_url":
            return {"type": "image", "source": _image(part.get("image_url"))}
        case "file":
            return _document(part.get("file"))
        case _:
            named = kind if isinstance(kind, str) and kind.isidentifier() else "unknown"
            raise cannot_say(f"content of the type `{named}`", "messages")


def _image(image: Any) -> Block:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise cannot_say("image without an address", "messages")
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    media_type, data = _data(url)
    media_type = "image/jpeg" if media_type == "image/jpg" else media_type
    if media_type not in _IMAGES:
        raise cannot_say("image other than JPEG, PNG, GIF or WebP", "messages")
    return {"type": "base64", "media_type": media_type, "data": data}


def _document(file: Any) -> Block:
    given = file.get("file_data") if isinstance(file, dict) else None
    if not isinstance(given, str):
        raise cannot_say("file by its id at another provider: send its data", "messages")
    name = file.get("filename")
    title = {"title": name} if isinstance(name, str) and name else {}
    return {"type": "document", "source": _document_source(given), **title}


def _document_source(given: str) -> Block:
    if given.startswith(("https://", "http://")):
        return {"type": "url", "url": given}
    media_type, data = _data(given) if given.startswith("data:") else ("application/pdf", given)
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": data}
    if media_type == "text/plain":
        try:
            return {"type": "text", "media_type": media_type, "data": base64.b64decode(data).decode()}
        except ValueError:  # neither base64 nor UTF-8
            pass
    raise cannot_say("file other than PDF or plain text", "messages")


def _data(url: str) -> tuple[str, str]:
    """Media type and base64 of a data URL."""
    head, _, data = url.partition(",")
    media_type, *parameters = head.removeprefix("data:").split(";")
    if not data or not parameters or parameters[-1] != "base64":
        raise cannot_say("data URL that is not base64", "messages")
    return media_type.lower(), data
