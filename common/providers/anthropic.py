"""Anthropic's Messages API, as a codec. Pure."""

from typing import Final

from common.providers.anthropic_answer import read_answer
from common.providers.anthropic_errors import failure
from common.providers.anthropic_request import encode, left_out
from common.providers.anthropic_stream import MessageStream
from common.providers.codec import Codec

ANTHROPIC: Final = Codec(
    path="/messages",
    id_header="request-id",
    encode=encode,
    left_out=left_out,
    read_answer=read_answer,
    stream=MessageStream,
    failure=failure,
)
