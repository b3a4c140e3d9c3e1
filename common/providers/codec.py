"""What a provider's protocol is to the gateway: a codec, which makes its bytes of OpenAI's, and OpenAI's of its. Pure.

A codec is one value of `Codec`. It keeps nothing between requests; what it must know of an answer in pieces is in the
stream that it makes for it. Whoever adds a protocol writes one, and names it in `provider.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from common.model.errors import UpstreamError
from common.wire.json_members import JsonMembers


class Answer(NamedTuple):
    """What the gateway needs of a whole answer."""

    id: str | None
    usage: Any  # in OpenAI's form, its values as the provider said them
    content_bytes: int
    body: bytes | None = None  # for the client; None: the provider's own


class AnswerStream(Protocol):
    """One streamed answer. Feed it what comes, send on what it returns, look at `failure`, close it at the end.

    Once it is done or has failed it ignores what follows. However the bytes are cut, the outcome is the same.
    """

    @property
    def usage(self) -> Any:
        """In OpenAI's form, its values as the provider said them; None where it has not."""

    @property
    def events(self) -> int:
        """How many were sent on, those of content at least."""

    @property
    def done(self) -> bool:
        """Whether the protocol's own end has come."""

    @property
    def failure(self) -> UpstreamError | None:
        """What the provider told instead of an end; what came before it is sound."""

    @property
    def id(self) -> str | None:
        """The provider's own id of the answer."""

    @property
    def content_bytes(self) -> int:
        """How long the content is: text, reasoning, arguments of tools."""

    def feed(self, data: bytes) -> bytes:
        """What goes to the client, whole events of OpenAI's."""

    def exceeds(self, tokens: int) -> bool:
        """Whether it has certainly more tokens of output than these."""

    def cut(self) -> bytes:
        """The end of a stream that is not let go on: a last event that says so, as for a length that is reached."""

    def close(self) -> bytes:
        """What goes to the client at the end of the provider's bytes. Raises `failure`, or that they are not all."""


class Encode(Protocol):
    """Makes a request's body."""

    def __call__(self, body: JsonMembers, changes: Mapping[str, Any], output_max: int | None) -> bytes:
        """The client's request, with these top-level members in place of its own.

        `output_max`: tokens of output, where the protocol must name a maximum and the request does not; None where
        nobody knows one. `UpstreamRejected` (`unsupported_parameter`) where the protocol cannot say what is asked.
        """


class LeftOut(Protocol):
    """Tells what `encode` leaves out."""

    def __call__(self, body: JsonMembers, changes: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of top-level members that the client will miss; they are fit for a header."""


class ReadAnswer(Protocol):
    """Looks into a whole answer."""

    def __call__(self, body: bytes, created_s: int = 0) -> Answer:
        """Raises what is wrong with one that is none, whatever its status said.

        `created_s`: seconds since 1970, for a protocol that does not say when.
        """


class OpenStream(Protocol):
    """Makes what takes a streamed answer."""

    def __call__(self, *, show_usage: bool, choices: int, created_s: int = 0) -> AnswerStream:
        """`show_usage`: the client asked to see the usage chunk. `choices`: how many were asked for (`n`)."""


class ReadFailure(Protocol):
    """Looks into an answer whose status is not 200."""

    def __call__(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """What it means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """A protocol."""

    path: str  # of chat completions, behind the base URL
    id_header: str  # where the provider tells its own id of what it does
    encode: Encode
    left_out: LeftOut
    read_answer: ReadAnswer
    stream: OpenStream
    failure: ReadFailure
