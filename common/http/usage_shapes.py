"""`GET /v1/usage`: what it is asked with, and its answer, which is OpenAI's for the usage of an organization.

Shapes: https://platform.openai.com/docs/api-reference/usage/completions (November 2026). Of a class of tokens that our
records do not tell apart as OpenAI does (audio is input or output), there is a field of our own. `amount` is as in
OpenAI's costs, but its value is an exact decimal in a string.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, Self, TypeAlias

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from common.http.request import invalid
from common.model.errors import InvalidRequest
from common.model.money import usd
from common.model.usage_query import GroupBy, UsageSum

WIDTHS_S: Final[Mapping[str, int]] = {"1m": 60, "1h": 3_600, "1d": 86_400}
_LIMITS: Final = {"1m": (60, 1_440), "1h": (24, 168), "1d": (7, 31)}  # of a page: the usual one, the most
_LATEST_S: Final = 2**33
_PAGE: Final = re.compile(r"page_([0-9]{1,11})", re.ASCII)
_LISTS: Final = ("group_by", "api_key_ids", "user_ids", "models")
_ANSWER: Final = ConfigDict(defer_build=True)

_Time: TypeAlias = Annotated[int, Field(ge=0, le=_LATEST_S)]
_Names: TypeAlias = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=256)]], Field(max_length=100)
]


class Span(NamedTuple):
    """A bucket, in UTC seconds: from `start` on, before `end`."""

    start: int
    end: int


class UsageParameters(BaseModel):
    """The parameters of the query."""

    model_config = ConfigDict(extra="forbid", defer_build=True, hide_input_in_errors=True)

    start_time: _Time
    end_time: _Time | None = None
    bucket_width: Literal["1m", "1h", "1d"] = "1d"
    group_by: list[GroupBy] = []
    limit: Annotated[int, Field(ge=1, le=1_440)] | None = None
    page: str | None = None
    api_key_ids: _Names | None = None
    user_ids: _Names | None = None
    models: _Names | None = None

    @property
    def width_s(self) -> int:
        """Of a bucket."""
        return WIDTHS_S[self.bucket_width]

    def spans(self, now_s: int) -> tuple[Sequence[Span], str | None]:
        """The buckets of this page, and the next page.

        Buckets begin at multiples of their width, the first one where the query begins; the last one ends where the
        query does, or now. `InvalidRequest` where the limit or the page is none.
        """
        usual, most = _LIMITS[self.bucket_width]
        limit = usual if self.limit is None else self.limit
        if limit > most:
            raise _invalid("limit", f"it should be at most {most} with buckets of {self.bucket_width}")
        end = now_s + 1 if self.end_time is None else min(self.end_time, now_s + 1)
        if self.end_time is not None and self.end_time <= self.start_time:
            raise _invalid("end_time", "it should be after `start_time`")
        start, found = self._first(), list[Span]()
        while start < end and len(found) < limit:
            span = Span(start, min(start - start % self.width_s + self.width_s, end))
            found.append(span)
            start = span.end
        return found, f"page_{start}" if start < end else None

    def _first(self) -> int:
        if self.page is None:
            return self.start_time
        found = _PAGE.fullmatch(self.page)
        start = int(found[1]) if found else -1
        if start <= self.start_time or start % self.width_s or start > _LATEST_S:
            raise _invalid("page", "it should be the `next_page` of an answer to the same query")
        return start


def parameters_of(request: Request) -> UsageParameters:
    """Of the address, where lists are `name=a&name=b` or `name[]=a&name[]=b`. `InvalidRequest`."""
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        single = name.removesuffix("[]")
        if single in _LISTS:
            given.setdefault(single, []).append(value)
        elif name in given:
            raise _invalid(name, "it should be there once")
        else:
            given[name] = value
    try:
        return UsageParameters.model_validate(given)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False)) from None


_TIME_SCHEMA: Final = {"type": "integer", "minimum": 0, "maximum": _LATEST_S}
_NAMES_SCHEMA: Final = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 256},
    "maxItems": 100,
}
_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "start_time": {**_TIME_SCHEMA, "description": "UTC seconds, inclusive."},
    "end_time": {**_TIME_SCHEMA, "description": "UTC seconds, exclusive; else now."},
    "bucket_width": {"type": "string", "enum": list(WIDTHS_S), "default": "1d"},
    "group_by": {"type": "array", "items": {"type": "string", "enum": [each.value for each in GroupBy]}},
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": 1_440,
        "description": "Buckets in an answer: of 1d 7, at most 31; of 1h 24, 168; of 1m 60, 1440.",
    },
    "page": {"type": "string", "description": "`next_page` of the answer before."},
    "api_key_ids": _NAMES_SCHEMA,
    "user_ids": _NAMES_SCHEMA,
    "models": _NAMES_SCHEMA,
}
DESCRIBED: Final[Sequence[Mapping[str, Any]]] = [
    {"name": name, "in": "query", "required": name == "start_time", "schema": schema}
    for name, schema in _SCHEMAS.items()
]
"""The parameters for the OpenAPI document: written here, since to derive them takes longer than all other imports."""


def _invalid(param: str, should: str) -> InvalidRequest:
    return InvalidRequest(f"`{param}` is not valid: {should}.", param=param, code="invalid_value")


class Amount(BaseModel):
    """Money: an exact decimal."""

    model_config = _ANSWER

    value: str
    currency: Literal["usd"] = "usd"


class UsageResult(BaseModel):
    """The usage of one group in one bucket. Of what it is not grouped by, the name is null."""

    model_config = _ANSWER

    object: Literal["organization.usage.completions.result"] = "organization.usage.completions.result"
    input_tokens: int  # all of them but audio, which is in `audio_tokens`
    output_tokens: int  # with those of reasoning
    input_cached_tokens: int
    input_cache_write_tokens: int
    input_text_tokens: int
    input_image_tokens: int
    input_uncached_tokens: int
    output_reasoning_tokens: int
    audio_tokens: int
    num_model_requests: int
    num_failed_requests: int
    num_estimated_requests: int
    amount: Amount
    project_id: None = None
    user_id: str | None
    api_key_id: str | None
    model: str | None
    batch: None = None
    service_tier: None = None

    @classmethod
    def of(cls, each: UsageSum) -> Self:
        """The same in JSON."""
        tokens, totals = each.totals.tokens, each.totals
        uncached = tokens.input + tokens.image
        return cls(
            input_tokens=uncached + tokens.cache_read + tokens.cache_write,
            output_tokens=tokens.output + tokens.reasoning,
            input_cached_tokens=tokens.cache_read,
            input_cache_write_tokens=tokens.cache_write,
            input_text_tokens=tokens.input,
            input_image_tokens=tokens.image,
            input_uncached_tokens=uncached,
            output_reasoning_tokens=tokens.reasoning,
            audio_tokens=tokens.audio,
            num_model_requests=totals.requests,
            num_failed_requests=totals.failed,
            num_estimated_requests=totals.estimated,
            amount=Amount(value=usd(totals.cost_nanousd)),
            user_id=each.group.user,
            api_key_id=each.group.key_id,
            model=each.group.model,
        )


class Bucket(BaseModel):
    """A piece of time, in UTC seconds; without a result where nothing was used."""

    model_config = _ANSWER

    object: Literal["bucket"] = "bucket"
    start_time: int
    end_time: int
    results: list[UsageResult]


class UsagePage(BaseModel):
    """Buckets in order."""

    model_config = _ANSWER

    object: Literal["page"] = "page"
    data: list[Bucket]
    has_more: bool
    next_page: str | None

    @classmethod
    def of(cls, spans: Sequence[Span], width_s: int, sums: Iterable[UsageSum], next_page: str | None) -> Self:
        """`sums` in the buckets that they are of."""
        results: dict[int, list[UsageResult]] = {}
        for each in sums:
            results.setdefault(each.bucket_ms // 1000, []).append(UsageResult.of(each))
        data = [
            Bucket(start_time=start, end_time=end, results=results.get(start - start % width_s, []))
            for start, end in spans
        ]
        return cls(data=data, has_more=next_page is not None, next_page=next_page)
