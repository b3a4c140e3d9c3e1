"""A client that sees when each piece arrives, and can leave in the middle: general clients hide both.

One connection for each call. Nothing here is printed, so no key can be.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

TIMEOUT_S: Final = 120.0  # of one read: providers may think before they answer
_PIECE: Final = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body; None where it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def code(self) -> str:
        """What OpenAI's envelope says is wrong; its absence in words."""
        try:
            return str(self.json["error"]["code"])
        except (KeyError, TypeError):
            return "no error envelope"


@dataclass(slots=True)
class Stream:
    """An answer that has begun. `pieces`: when each arrived, in seconds since the request was sent, and what it was."""

    status: int
    headers: Mapping[str, str]
    _response: HTTPResponse
    _sent: float
    pieces: list[tuple[float, bytes]] = field(default_factory=list)

    def read(self) -> bytes:
        """The next piece; `b""` at the end."""
        piece = self._response.read1(_PIECE)
        if piece:
            self.pieces.append((time.monotonic() - self._sent, piece))
        return piece

    def read_all(self) -> bytes:
        """Read to the end; everything that came."""
        while self.read():
            pass
        return b"".join(piece for _, piece in self.pieces)

    def read_until(self, text: bytes) -> bool:
        """Read until `text` has come; whether it did."""
        while text not in b"".join(piece for _, piece in self.pieces):
            if not self.read():
                return False
        return True

    def arrived_s(self, text: bytes) -> float:
        """When the piece came with which `text` was there."""
        seen = b""
        for at, piece in self.pieces:
            seen += piece
            if text in seen:
                return at
        raise LookupError(f"{text!r} has not come")


@dataclass(frozen=True, slots=True)
class Client:
    """Asks one gateway. `url`: its address, with or without `/v1`."""

    url: str
    key: str = field(repr=False)

    def with_key(self, key: str) -> "Client":
        """The same with another key."""
        return Client(self.url, key)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """One request, answered whole; `body` in JSON, bytes as they are."""
        with self.stream(method, path, body) as stream:
            return Answer(stream.status, stream.headers, stream.read_all())

    @contextmanager
    def stream(self, method: str, path: str, body: Any = None) -> Iterator[Stream]:
        """One request, on a connection of its own, which is closed when the block is left, wherever the answer is."""
        where = urlsplit(self.url)
        kind = HTTPSConnection if where.scheme == "https" else HTTPConnection
        connection = kind(where.hostname or "", where.port, timeout=TIMEOUT_S)
        headers = {"accept": "*/*", "content-type": "application/json", "user-agent": "sluice-smoke"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = time.monotonic()
        try:
            connection.request(method, where.path.rstrip("/").removesuffix("/v1") + path, data, headers)
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            yield Stream(response.status, named, response, sent)
        finally:
            connection.close()
