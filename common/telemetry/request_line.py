"""One line for each request, in two forms: JSON for machines, words for a terminal. Pure.

Fields in JSON are always all there, null where they do not apply. Costs are told twice: an integer of nano-dollars to
compute with, and an exact decimal. A line holds no prompt, no answer and no secret; of what the client chose freely
(its path, its model, the ids of its request and session) it holds a bounded length, and nothing that looks like a key.
"""

from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Final

from common.model.price import PICO_PER_NANO, usd_text
from common.model.usage import UsageRecord
from common.telemetry.request_facts import RequestFacts
from common.telemetry.text import on_one_line, without_keys

_LONGEST: Final = 256
_SHORT: Final = 64
_SEVERAL: Final = 2
_LEFT: Final = 499  # nginx's status for a client that did not wait for its answer
_NO_RECORD: Final = (
    '"provider":null,"upstream_model":null,"streamed":null,"attempts":0,"tokens":null,"estimated":null,'
    '"cost_nanousd":null,"cost_usd":null,"tried":[]'
)


def json_members(facts: RequestFacts) -> str:
    """The members of a JSON object, without its braces; put together by hand, for an encoder takes thrice as long."""
    record = facts.record
    first_byte = "null" if facts.first_byte_s is None else f"{facts.first_byte_s * 1000:.2f}"
    return (
        f'"request_id":"{facts.request_id}","client_request_id":{_chosen(facts.client_request_id)},'
        f'"session_id":{_chosen(facts.session_id)},"trace_id":{_known(facts.trace_id)},'
        f'"method":{_named(facts.method)},"path":{_named(facts.path)},'
        f'"status":{facts.status or _LEFT},"outcome":"{_outcome(facts)}","error":{_chosen(facts.error)},'
        f'"key_id":{_known(facts.key_id)},"user":{_known(facts.user)},"model":{_named(facts.model)},'
        f"{_NO_RECORD if record is None else _of_record(record)},"
        f'"route":{_named(facts.route)},{_observed(facts)},'
        f'"first_byte_ms":{first_byte},"gateway_ms":{facts.gateway_s * 1000:.2f},"total_ms":{facts.total_s * 1000:.2f}'
    )


def _observed(facts: RequestFacts) -> str:
    names = '","'.join(facts.observed)
    return f'"observed":["{names}"]' if names else '"observed":[]'


def _of_record(record: UsageRecord) -> str:
    read, cache_read, cache_write, output, reasoning, image, audio = record.tokens
    return (
        f'"provider":{_known(record.provider or None)},"upstream_model":{_known(record.upstream_model or None)},'
        f'"streamed":{"true" if record.streamed else "false"},"attempts":{record.attempts},'
        f'"tokens":{{"input":{read},"cache_read":{cache_read},"cache_write":{cache_write},"output":{output},'
        f'"reasoning":{reasoning},"image":{image},"audio":{audio}}},'
        f'"estimated":{"true" if record.estimated else "false"},'
        f'"cost_nanousd":{record.cost_nanousd},"cost_usd":"{_usd(record)}","tried":[{_tried(record)}]'
    )


def _tried(record: UsageRecord) -> str:
    """Who was asked, and what each ended with; nothing where that was one alone."""
    if record.attempts < _SEVERAL:
        return ""
    return ",".join(_chosen(f"{each.provider}/{each.model} {each.ended}") for each in record.route)


def plain(facts: RequestFacts) -> str:
    """`200 ok POST /v1/chat/completions  fast > openrouter/gpt-4o-mini  12+40 tokens  $0.0001  ...`, times, and ids."""
    record = facts.record
    parts = [f"{facts.status or _LEFT} {_outcome(facts)} {_plain(facts.method)} {_plain(facts.path)}"]
    if facts.error is not None:
        parts.append(_plain(facts.error))
    if facts.model is not None:
        used = (
            f" > {record.provider}/{record.upstream_model}" if record is not None and record.provider else ""
        )
        parts.append(_plain(facts.model) + used)
    if record is not None:
        tokens = record.tokens
        about = "~" if record.estimated else ""
        written = tokens.output + tokens.reasoning
        parts.append(f"{about}{tokens.total - written}+{written} tokens  ${_usd(record)}")
        if record.attempts != 1:
            parts.append(f"{record.attempts} attempts")
        parts += [
            _plain(f"{each.provider}/{each.model}: {each.ended}")
            for each in record.route
            if record.attempts > 1
        ]
    if facts.observed:
        parts.append(f"beyond {', '.join(facts.observed)}")
    parts.append(f"gateway {facts.gateway_s * 1000:.2f} of {facts.total_s * 1000:.2f} ms")
    ids = [
        *(facts.request_id, facts.client_request_id, facts.session_id, facts.trace_id),
        *(facts.key_id, facts.user),
    ]
    parts.append(" ".join(_plain(each) for each in ids if each is not None))
    return "  ".join(parts)


def _outcome(facts: RequestFacts) -> str:
    return facts.outcome if facts.record is None else facts.record.outcome


def _usd(record: UsageRecord) -> str:
    return usd_text(record.cost_nanousd * PICO_PER_NANO)


def _known(text: str | None) -> str:
    """In JSON. For names that the operator has given."""
    return "null" if text is None else encode_basestring_ascii(text)


def _chosen(text: str | None) -> str:
    """In JSON. For what came from outside."""
    return "null" if text is None else encode_basestring_ascii(_plain(text))


def _named(text: str | None) -> str:
    """The same of what is mostly one of a few; what is long is not remembered."""
    return _remembered(text) if text is not None and len(text) <= _SHORT else _chosen(text)


_remembered: Final = lru_cache(256)(_chosen)


def _plain(text: str) -> str:
    return on_one_line(without_keys(text), _LONGEST)
