"""`Upstream` over the platform's `fetch`, on Workers.

What `fetch` cannot tell, and what follows:
- it reports no connection apart from the answer's head: `Timeouts.first_byte_s` and `total_s` bound both, `connect_s`
  none;
- it seldom says whether a failed request was sent: where that is not certain, the failure is
  `UpstreamBroken`, which may be billed, and not `UpstreamUnreachable`;
- it decompresses by itself: `content-length` may be that of the compressed body, and is dropped.

Nothing is kept between requests: on Workers a stream or a controller belongs to the request that made it.

Two traps of Pyodide 314.0.7 shape the code. A rejection that is no JS `Error` leaves the `await` hanging for
ever, so `abort` is never given a reason. A cancelled timer of its event loop stays, with its callback, until it
would have fired, so time-outs are the platform's own timers, which end at once.
"""

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Final, Protocol, TypeVar

from common.model.errors import UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from common.ports import UpstreamRequest, UpstreamResponse

# how Node says that no connection came about; workerd says "Network connection lost." of everything
_NEVER_SENT: Final = frozenset({"ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"})

_T = TypeVar("_T")


class _Bytes(Protocol):
    """A `Uint8Array`."""

    def to_bytes(self) -> bytes: ...


class _Read(Protocol):
    """What a reader's `read` resolves to."""

    @property
    def done(self) -> bool: ...
    @property
    def value(self) -> _Bytes: ...


class _Reader(Protocol):
    """A `ReadableStreamDefaultReader`."""

    def read(self) -> Awaitable[_Read]: ...


class _Exchange:
    """One request's `AbortController`: everything that is awaited of the platform is awaited here."""

    __slots__ = ("_abort", "_js", "_js_exception", "_timer", "signal")

    def __init__(self, total_s: float) -> None:
        self._js: Any = import_module("js")
        self._js_exception: type[Exception] = import_module("pyodide.ffi").JsException
        controller = self._js.AbortController.new()
        self.signal: object = controller.signal
        # a JS function: a timer may call it, and nothing has to be freed afterwards
        self._abort = controller.abort.bind(controller)
        self._timer: object = self._js.setTimeout(self._abort, total_s * 1000)

    async def within(self, timeout_s: float, promise: Awaitable[_T]) -> _T:
        """Await `promise`; abort the exchange when it takes longer."""
        timer = self._js.setTimeout(self._abort, timeout_s * 1000)
        try:
            return await promise
        except self._js_exception as error:
            raise _failure(error) from error
        finally:
            self._js.clearTimeout(timer)

    def abort(self) -> None:
        """End the exchange; once it is over, this only stops its clock."""
        self._js.clearTimeout(self._timer)
        self._abort()


class _Response:
    """An `UpstreamResponse`."""

    __slots__ = ("_exchange", "_idle_s", "_reader", "headers", "status")

    def __init__(self, exchange: _Exchange, response: Any, idle_s: float) -> None:
        self.status: int = response.status
        entries = response.headers.entries()
        self.headers: Mapping[str, str] = {name: value for name, value in entries if name != "content-length"}
        # the body is null for 204 and 304, and null is false
        self._reader: _Reader | None = response.body.getReader() if response.body else None
        self._exchange = exchange
        self._idle_s = idle_s

    async def read(self) -> bytes:
        if self._reader is None:
            return b""
        while not (read := await self._exchange.within(self._idle_s, self._reader.read())).done:
            if chunk := read.value.to_bytes():  # an empty one would look like the end
                return chunk
        return b""


class FetchUpstream:
    """One `fetch` for each request; the platform pools its connections itself."""

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """See `Upstream.send`."""
        exchange = _Exchange(request.timeouts.total_s)
        try:
            answer = _fetch(request, exchange.signal)
            response = await exchange.within(request.timeouts.first_byte_s, answer)
            yield _Response(exchange, response, request.timeouts.idle_s)
        finally:
            exchange.abort()


def _fetch(request: UpstreamRequest, signal: object) -> Awaitable[object]:
    """Start it. What is wrong with the request itself shows before anything is sent."""
    js, ffi = import_module("js"), import_module("pyodide.ffi")
    if not request.url.startswith(("https://", "http://")):
        raise UpstreamUnreachable("The provider's address is not valid.")
    headers = [("accept-encoding", "identity"), *request.headers]
    init: dict[str, object] = {"method": request.method, "headers": headers, "signal": signal}
    init["redirect"] = "manual"
    if request.body:  # a GET with a body, even an empty one, is a TypeError
        init["body"] = request.body
    try:
        outgoing = js.Request.new(request.url, ffi.to_js(init, dict_converter=js.Object.fromEntries))
    except ffi.JsException as error:
        raise UpstreamUnreachable("The provider's address or headers are not valid.") from error
    answer: Awaitable[object] = js.fetch(outgoing)
    return answer


def _failure(error: Exception) -> UpstreamError:
    """What a rejection means. `error`: a `JsException`; its attributes are those of the JS `Error`."""
    if getattr(error, "name", None) == "AbortError":  # nobody but a timer aborts while somebody waits
        return UpstreamTimeout("The provider did not answer in time.")
    if getattr(getattr(error, "cause", None), "code", None) in _NEVER_SENT:
        return UpstreamUnreachable("The provider cannot be reached.")
    return UpstreamBroken("The provider's answer broke off or is not HTTP.")
