"""What an answer means that is no completion: class, message, code; and what of it the client never sees."""

import json
from typing import Any

import pytest

from common.model.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
)
from common.ports import Timeouts
from common.providers.openai import read_answer, refuse_compressed
from common.providers.openai_errors import failure, stated_error
from common.providers.provider import Provider, provider_of
from common.settings import ProviderKind, ProviderSettings, Secret
from common.wire.json_members import JsonMembers
from common.wire.openai.errors import envelope_of

NO_CREDIT = (
    "The gateway's account at the provider has no credit left. This is for the gateway's operator to mend."
)
REDIRECT = "The provider answered with a redirect, which is not followed."
REFUSED = "The provider refused the gateway's account. This is for the gateway's operator to mend."
PATIENCE, REJECTED, FAILED = (
    "The provider asks for patience",
    "The provider rejected the request",
    "The provider failed",
)
SILENT = "The provider did not answer in time."


def stated(**error: Any) -> bytes:
    """A body with such an error."""
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "cls", "message"),
    [
        *((status, UpstreamRefused, REFUSED) for status in (401, 403)),
        (402, UpstreamRefused, NO_CREDIT),
        *((status, UpstreamFailed, REDIRECT) for status in (301, 302, 307)),
        *((status, UpstreamTimeout, SILENT) for status in (408, 504, 524)),
        (429, UpstreamRateLimited, f"{PATIENCE}: m"),
        *(
            (status, UpstreamRejected, f"{REJECTED}: m")
            for status in (400, 404, 405, 409, 413, 415, 422, 451, 499)
        ),
        *((status, UpstreamFailed, f"{FAILED}: m") for status in (201, 204, 500, 501, 502, 503, 529, 599)),
    ],
)
def test_statuses(status: int, cls: type[UpstreamError], message: str) -> None:
    """Each status has a class; a provider's own 4xx keeps its status."""
    error = failure(status, {}, stated(message="m"))
    assert (type(error), error.message) == (cls, message)
    if isinstance(error, UpstreamRejected):
        assert error.status == status


@pytest.mark.parametrize(
    ("status", "body", "message", "param", "code"),
    [
        pytest.param(
            400,
            stated(
                message="Too long.",
                type="invalid_request_error",
                param="messages",
                code="context_length_exceeded",
            ),
            f"{REJECTED}: Too long.",
            "messages",
            "context_length_exceeded",
            id="OpenAI",
        ),
        pytest.param(
            429,
            stated(message="Slow.", type="tokens", param=None, code="rate_limit_exceeded"),
            f"{PATIENCE}: Slow.",
            None,
            "rate_limit_exceeded",
            id="OpenAI, rate limit",
        ),
        pytest.param(
            429,
            stated(message="Broke.", type="insufficient_quota", param=None, code="insufficient_quota"),
            NO_CREDIT,
            None,
            "provider_out_of_credit",
            id="OpenAI, quota",
        ),
        pytest.param(
            400,
            stated(code=400, message="Too long.", metadata={"error_type": "context_length_exceeded"}),
            f"{REJECTED}: Too long.",
            None,
            "context_length_exceeded",
            id="OpenRouter",
        ),
        pytest.param(
            404,
            stated(code=404, message="No endpoints."),
            f"{REJECTED}: No endpoints.",
            None,
            None,
            id="number",
        ),
        pytest.param(400, b'{"error":"wrong"}', f"{REJECTED}: wrong", None, None, id="text"),
        pytest.param(
            400,
            b'{"object":"error","message":"wrong","type":"BadRequestError","param":"n","code":400}',
            f"{REJECTED}: wrong",
            "n",
            None,
            id="vLLM",
        ),
        pytest.param(
            400,
            b'[{"error":{"code":400,"message":"wrong","status":"INVALID"}}]',
            f"{REJECTED}: wrong",
            None,
            None,
            id="Gemini",
        ),
        pytest.param(422, b'{"detail":"wrong"}', f"{REJECTED}: wrong", None, None, id="FastAPI"),
        pytest.param(
            402,
            stated(code=402, message="Budget", metadata={"limit_source": "openrouter_in_flight_budget"}),
            f"{PATIENCE}: too much is under way there for the gateway's account.",
            None,
            None,
            id="OpenRouter, money in flight",
        ),
        pytest.param(
            402,
            stated(code=402, message="Buy.", metadata={"limit_source": "openrouter_credits"}),
            NO_CREDIT,
            None,
            "provider_out_of_credit",
            id="OpenRouter, no money",
        ),
        pytest.param(
            403,
            stated(code=403, message="Budget", metadata={"limit_source": "openrouter_key_limit"}),
            NO_CREDIT,
            None,
            "provider_out_of_credit",
            id="OpenRouter, limit of the key",
        ),
        pytest.param(
            403,
            stated(
                code=403,
                message="Flagged.",
                metadata={
                    "reasons": ["violence", 5, "sk-or-v1-0123456789", "hate"],
                    "flagged_input": "private",
                },
            ),
            f"{REJECTED}: Flagged. (violence, hate)",
            None,
            "content_policy_violation",
            id="OpenRouter, moderation",
        ),
        pytest.param(
            403,
            stated(code=403, message="Blocked.", metadata={"patterns": ["private"]}),
            f"{REJECTED}: Blocked.",
            None,
            "content_policy_violation",
            id="OpenRouter, guardrail",
        ),
        pytest.param(
            403,
            stated(code=403, message="Flagged", metadata={"reasons": "x"}),
            f"{REJECTED}: Flagged",
            None,
            "content_policy_violation",
            id="OpenRouter, moderation without reasons",
        ),
        pytest.param(
            401,
            stated(message="m", metadata={"reasons": ["x"]}),
            REFUSED,
            None,
            "provider_refused",
            id="401, reasons",
        ),
        pytest.param(500, stated(message="m", code="c", param="p"), f"{FAILED}: m", None, None, id="5xx"),
        pytest.param(
            401,
            stated(message="key sk-1", code="invalid_api_key"),
            REFUSED,
            None,
            "provider_refused",
            id="401",
        ),
        *(
            pytest.param(status, body, f"{said}.", None, None, id=f"{status}, {name}")
            for status, said in ((400, REJECTED), (429, PATIENCE), (502, FAILED))
            for name, body in {
                "nothing": b"",
                "HTML": b"<html><body><h1>Bad Gateway</h1></body></html>",
                "not UTF-8": b"\xff\xfe",
                "cut": b'{"error":{"message":"m"',
                "arrays": b'[[{"message":"m"}]]',
                "no array": b"[]",
                "null": b'{"error":null}',
                "number": b"5",
                "deep": b'{"error":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
                "long number": b'{"error":' + b"1" * 5_000 + b"}",
                "no message": stated(type="x"),
                "empty message": stated(message=" \n "),
                "message of numbers": stated(message=[1]),
                "code and param of numbers": stated(code=[1], param={}, metadata=[]),
                "error_type of numbers": stated(metadata={"error_type": 5}),
            }.items()
        ),
    ],
)
def test_bodies(status: int, body: bytes, message: str, param: str | None, code: str | None) -> None:
    """What the provider says is told where it says something, in each of the shapes that are known."""
    error = failure(status, {}, body)
    assert (error.message, error.param, error.code) == (message, param, code)


NOW = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(("0", 0), ("30", 30), (" 30 ", 30), ("3600", 3600), (None, None), ("", None), ("1.5", 1.5)),
        *(
            ("-1", None),
            ("1e3", None),
            ("1.", None),
            (".5", None),
            ("nan", None),
            ("soon", None),
            ("\u0663", None),
            ("\u00b2", None),
        ),
        *(("3601", 3600), ("999999", 3600), ("9" * 5_000, 3600)),
        *(("Wed, 21 Oct 2026 07:28:20 GMT", 20), (NOW, 0), ("Tue, 20 Oct 2026 07:28:00 GMT", 0)),
        *(("Sun, 21 Oct 2029 07:28:00 GMT", 3600), ("Wed, 41 Oct 2026 07:28:20 GMT", None)),
    ],
)
@pytest.mark.parametrize("status", [429, 500, 503, 400, 401, 504])
def test_retry_after(status: int, value: str | None, seconds: float | None) -> None:
    """A rate limit and a failure tell when to come back, in an hour at most; other errors are not worth waiting."""
    error = failure(status, {"date": NOW} | ({} if value is None else {"retry-after": value}), b"")
    assert error.retry_after_s == (seconds if status in {429, 500, 503} else None)


@pytest.mark.parametrize(
    ("milliseconds", "seconds"),
    [("1500", 1.5), ("0.5", 0.0005), ("0", 0), ("9" * 5_000, 3600), ("-1", 7), ("soon", 7), ("", 7)],
)
def test_retry_after_in_milliseconds(milliseconds: str, seconds: float) -> None:
    """`retry-after-ms` is more exact than `retry-after`, and comes first where it is a number."""
    error = failure(429, {"retry-after-ms": milliseconds, "retry-after": "7"}, b"")
    assert error.retry_after_s == seconds


def test_retry_after_without_a_clock() -> None:
    """A date says nothing where the provider does not tell its own time."""
    for headers in ({}, {"date": "now"}):
        assert failure(429, {"retry-after": NOW} | headers, b"").retry_after_s is None


def test_retry_after_of_money_in_flight() -> None:
    """OpenRouter's 402 that is worth waiting for says how long."""
    body = stated(code=402, metadata={"limit_source": "openrouter_in_flight_budget"})
    error = failure(402, {"retry-after": "7"}, body)
    assert (type(error), error.retry_after_s) == (UpstreamRateLimited, 7)


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        *(
            ({"type": each, "code": None}, UpstreamRejected)
            for each in ("invalid_request_error", "not_found_error")
        ),
        *(({"type": each}, UpstreamRefused) for each in ("authentication_error", "insufficient_quota")),
        ({"type": "new_error"}, UpstreamFailed),
        *(({"type": each}, UpstreamRateLimited) for each in ("rate_limit_error", "tokens")),
        ({"code": "429"}, UpstreamRateLimited),
        ({"code": "400", "type": "server_error"}, UpstreamRejected),
        ({"code": "new", "metadata": {"error_type": "timeout"}}, UpstreamTimeout),
        ({"code": None, "metadata": {"error_type": "payload_too_large"}}, UpstreamRejected),
        ({"code": "999"}, UpstreamFailed),
        ({"code": "\u0664\u0662\u0669"}, UpstreamFailed),
    ],
)
def test_stated_errors(error: Any, cls: type[UpstreamError]) -> None:
    """What an error means that came with a status of 200 is told by its code, as a number or a word, or its type."""
    assert type(stated_error(error)) is cls


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_not_active", "project_spend_limit_exceeded"])
def test_money_of_the_operator(code: str) -> None:
    """An account without money is never told like the client's own budget, which has the same code at OpenAI's."""
    for error in (
        failure(429, {"retry-after": "5"}, stated(code=code, type=code)),
        stated_error({"code": code}),
    ):
        assert (type(error), error.message, error.code) == (
            UpstreamRefused,
            NO_CREDIT,
            "provider_out_of_credit",
        )
        assert b"insufficient_quota" not in envelope_of(error)


# -- what stays inside

SECRETS = {
    "http": "http://10.1.2.3:8080/v1/chat",
    "https": "https://api.example.com/v1?key=1",
    "other scheme": "postgres://user:pw@db.internal/x",
    "host and port": "llm.internal:8000",
    "localhost": "localhost:11434",
    "host inside": "llm-7.internal",
    "host of a cluster": "vllm.prod.svc.cluster.local/v1",
    "host": "api.together.xyz/v1",
    "IPv4": "192.168.17.4",
    "IPv6": "2001:db8::8a2e:370:7334",
    "IPv6, local": "::1",
    "e-mail": "ops@example.com",
    "ARN": "arn:aws:bedrock:us-east-1:123456789012:model/x",
    "Google project": "projects/acme-prod-7",
    "OpenAI key": "sk-proj-Abc123",
    "masked key": "sk-proj-********************abcd",
    "masked short key": "sk-ab***yz",
    "OpenRouter key": "sk-or-v1-0123456789abcdef0123456789abcdef",
    "key with an underscore": "sk_live_0123456789",
    "organization": "org-AbCdEfGhIjKlMnOpQrStUvWx",
    "project": "proj_AbCdEfGhIjKlMnOp",
    "user": "user_2abcDEFghiJKLmnoPQRstuVWXyz",
    "Google key": "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "Groq key": "gsk_0123456789abcdefghijKLMNOP",
    "bearer": "Bearer abc",
    "digest": "0123456789abcdef0123456789abcdef",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_nothing_private_is_told(secret: str) -> None:
    """Addresses, keys and ids of accounts that a provider names are hidden, wherever they stand."""
    for place in ("{}", "At {}.", "'{}'", '("{}")', "x={},", "{}\n", "ä{}"):
        said = place.format(secret)
        for error in (failure(500, {}, stated(message=said)), stated_error(said)):
            assert secret not in envelope_of(error).decode()
            assert "[hidden]" in error.message


@pytest.mark.parametrize("member", ["code", "param"])
@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_nothing_private_is_a_code(secret: str, member: str) -> None:
    """Nor are they told as a code or a parameter."""
    for body in (stated(**{member: secret}), stated(**{member: "x" * 5_000})):
        error = failure(400, {}, body)
        assert (error.code, error.param) == (None, None)


@pytest.mark.parametrize(
    "said",
    [
        "The model `claude-3-5-sonnet-20241022` does not exist.",
        "meta-llama/llama-3.3-70b-instruct is overloaded (version 1.2.3).",
        "Invalid 'messages[0].content[1].image_url': expected an object, but got a string instead.",
        "This model's maximum context length is 128000 tokens. However, you requested 130,123 tokens.",
        "Invalid user-provided key-value pair in `user_prompt_length`: user_id must not be empty.",
        "Ratio 16:9 at 10:30 is wrong; internationalization-of-tools is not supported.",
        "Use e.g. next.js or x.ai; std::vector at 10:30:45, see gpt-4.1-mini and messages.0.content.1.text.",
        "Tool call_id call_9 has no answer: see 'tools', task-management.",
    ],
)
def test_words_are_told(said: str) -> None:
    """What only looks a little like a secret is told as it is."""
    assert failure(400, {}, stated(message=said)).message == f"{REJECTED}: {said}"


def test_long_messages() -> None:
    """A thousand characters are told, and no half of a key at the end of them."""
    for before in range(980, 1_000):
        said = failure(
            500, {}, stated(message="x" * (before - 1) + " sk-proj-0123456789abcdefghij more")
        ).message
        assert len(said) < 1_040
        assert "sk-" not in said
    assert failure(500, {}, stated(message="x" * 10_000)).message == f"{FAILED}."


def provider(base_url: str, key: str) -> Provider:
    """A provider that is asked with this key."""
    return provider_of(ProviderSettings("p", ProviderKind.OPENAI, base_url, (Secret(key),)))


def test_own_secrets_are_hidden() -> None:
    """A provider's configured key and host are hidden in any text, whatever they look like."""
    asked = provider("http://llm:8000/v1", "correct horse battery")
    assert (
        asked.hide("Key 'correct horse battery' of llm:8000 is wrong.")
        == "Key '[hidden]' of [hidden] is wrong."
    )
    assert (
        provider("https://models.example.com/v1", "abc").hide("At models.example.com, abc.")
        == "At [hidden], abc."
    )
    assert provider("https://models.example.com:8443", "abc").hide("At models.example.com.") == "At [hidden]."


def test_secrets_do_not_print() -> None:
    """Neither a provider nor its requests show the key when they are printed."""
    asked = provider("http://llm:8000/v1", "correct-horse")
    request = asked.chat_request(
        JsonMembers(b'{"prompt": "private"}'),
        {},
        output_max=None,
        credential=asked.credentials.take(0.0),
        timeouts=Timeouts(1, 1, 1),
    )
    shown = repr(asked) + str(asked) + repr(request) + str(request) + repr(asked.credentials.all)
    assert "correct-horse" not in shown
    assert "private" not in repr(request)
    assert dict(request.headers)["authorization"] == "Bearer correct-horse"


# -- whole answers with a status of 200


@pytest.mark.parametrize(
    ("body", "cls", "message"),
    [
        (b"", UpstreamBroken, "The provider's answer is not JSON."),
        (b"<html>", UpstreamBroken, "The provider's answer is not JSON."),
        (b'{"choices":[', UpstreamBroken, "The provider's answer is not JSON."),
        (b"[" * 100_000, UpstreamBroken, "The provider's answer is not JSON."),
        (b"[]", UpstreamBroken, "The provider's answer is not a completion."),
        (b"{}", UpstreamBroken, "The provider's answer is not a completion."),
        (b"\xff\xfe{\x00}\x00", UpstreamBroken, "The provider's answer is not JSON."),
        (b'{"choices":[],"x":"\xff"}', UpstreamBroken, "The provider's answer is not JSON."),
        (b'{"choices":{}}', UpstreamBroken, "The provider's answer is not a completion."),
        (b'{"error":{"code":429,"message":"m"}}', UpstreamRateLimited, f"{PATIENCE}: m"),
        (b'{"error":{"code":"rate_limit_exceeded"}}', UpstreamRateLimited, f"{PATIENCE}."),
        (b'{"error":{"code":401,"message":"m"},"choices":[]}', UpstreamRefused, REFUSED),
        (b'{"error":"m"}', UpstreamFailed, f"{FAILED}: m"),
    ],
)
def test_no_completion(body: bytes, cls: type[UpstreamError], message: str) -> None:
    """An answer that is none is an error, whatever its status says."""
    with pytest.raises(UpstreamError) as raised:
        read_answer(body)
    assert (type(raised.value), raised.value.message) == (cls, message)


def test_error_of_a_choice() -> None:
    """An error beside a part of a choice is an error; that part may be billed."""
    part = {"message": {"content": "Hel"}, "finish_reason": "error", "error": {"code": 502, "message": "m"}}
    with pytest.raises(UpstreamFailed) as raised:
        read_answer(json.dumps({"choices": [5, {"error": None}, part]}).encode())
    assert (raised.value.message, raised.value.may_be_billed) == (f"{FAILED}: m", True)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "zstd", "deflate", "gzip, identity", "new"])
def test_compressed(coding: str) -> None:
    """An answer that is compressed, which nobody asked for, is refused as it is."""
    with pytest.raises(UpstreamBroken):
        refuse_compressed({"content-encoding": coding})


def test_not_compressed() -> None:
    """One that says that it is not is none."""
    for headers in ({}, {"content-encoding": ""}, {"content-encoding": "Identity"}):
        refuse_compressed(headers)


def test_completion() -> None:
    """An error that is null is none."""
    assert read_answer(b'{"error":null,"choices":[],"usage":{"prompt_tokens":1}}').usage == {
        "prompt_tokens": 1
    }
