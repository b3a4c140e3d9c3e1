"""Everything that can go wrong, by whose it is to mend. `wire/openai/errors.py` has the table of statuses.

SluiceError
├── CallerError                  the caller's fault; the same request will fail again
│   ├── InvalidRequest           400
│   ├── AuthenticationFailed     401
│   ├── PermissionDenied         403
│   ├── ModelNotFound            404
│   ├── NotFound                 404
│   ├── BodyTooLarge             413
│   └── ClientLeft               (nobody is left to answer)
├── LimitError                   the owner's limit
│   ├── RequestTooLarge          400  larger than a limit itself: it will never pass
│   ├── RateLimited              429  requests, tokens, or too many at a time
│   ├── BudgetExceeded           429  the money is spent: waiting does not help, or not soon
│   └── BudgetInFlight           429  the money is held for others, and may come back in a moment
├── UpstreamError                a provider failed
│   ├── UpstreamRejected         the provider's own 4xx about the request
│   ├── UpstreamRateLimited      429
│   ├── UpstreamUnreachable      502  nothing was sent
│   ├── UpstreamBroken           502  cut, or not the protocol
│   │   └── UpstreamFailed       502  the provider says so itself
│   │       └── UpstreamRefused  502  our account there: for the operator to mend
│   └── UpstreamTimeout          504
│       └── DeadlineExceeded     504  for the whole request, whoever was asked
└── GatewayError                 ours
    ├── StorageUnavailable       503
    │   └── StorageContended     503  it works, but others write the same row all the time
    ├── ModelUnavailable         503  the embedded model cannot start
    └── DeadlineNear             504  the platform is about to end the function
"""

from common.model.limits import Headroom, Limit


class SluiceError(Exception):
    """The root. `message` is written for the developer who reads it and holds nothing secret."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class CallerError(SluiceError):
    """The request itself is wrong: sending it again changes nothing."""


class InvalidRequest(CallerError):
    """A field, or the body as a whole, is not what the API takes. `param` names the field."""


class AuthenticationFailed(CallerError):
    """No key, or one that is unknown, malformed or no longer valid."""


class PermissionDenied(CallerError):
    """The key is valid but may not do this."""


class ModelNotFound(CallerError):
    """No such model is configured, or it is not for this key."""

    @classmethod
    def named(cls, name: str) -> "ModelNotFound":
        """The same words in both cases: whoever may not use a model need not know that there is one."""
        shown = "".join(each if each.isprintable() else "\ufffd" for each in name[:100])
        return cls(
            f"There is no model `{shown}` here, or this API key may not use it."
            " GET /v1/models lists those that it may.",
            param="model",
            code="model_not_found",
        )


class NotFound(CallerError):
    """What is asked for is not there, or is somebody else's."""


class BodyTooLarge(CallerError):
    """The request body passed the configured limit while it was read."""


class ClientLeft(CallerError):
    """The client went away before its answer was complete."""


class LimitError(SluiceError):
    """A limit that the owner has set on the key or its user.

    `retry_after_ms` None: waiting does not help. `room_nanousd`: what of the money is not spent, where money refuses.
    """

    def __init__(self, message: str, *, limit: Limit, retry_after_ms: int | None) -> None:
        super().__init__(message)
        self.limit = limit
        self.retry_after_ms = retry_after_ms
        self.room_nanousd: int | None = None
        self.headroom = Headroom(None, None)


class RequestTooLarge(LimitError):
    """More than the limit itself allows, however long one waits."""


class RateLimited(LimitError):
    """A window, a day's count, or the number of requests at a time is full."""


class BudgetExceeded(LimitError):
    """A budget is spent."""


class BudgetInFlight(LimitError):
    """What is left of a budget is held for requests that are running."""


class UpstreamError(SluiceError):
    """A provider failed. `may_be_billed`: whether the provider may have begun to work on the request."""

    may_be_billed = True

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, param=param, code=code)
        self.retry_after_s = retry_after_s


class UpstreamRejected(UpstreamError):
    """The provider calls the request itself wrong (`status` 400 to 422): another provider may not."""

    may_be_billed = False

    def __init__(
        self, message: str, *, status: int, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, param=param, code=code)
        self.status = status


class UpstreamRateLimited(UpstreamError):
    """The provider asks for patience (429)."""

    may_be_billed = False


class UpstreamUnreachable(UpstreamError):
    """No connection: nothing was sent."""

    may_be_billed = False


class UpstreamBroken(UpstreamError):
    """The provider answered, but not with a usable answer: cut short, or not the protocol."""


class UpstreamFailed(UpstreamBroken):
    """The provider says itself that it failed: it does not charge for that."""

    may_be_billed = False


class UpstreamRefused(UpstreamFailed):
    """The provider does not serve the gateway's account: a key that it does not take, or no money."""


class UpstreamTimeout(UpstreamError):
    """The provider was silent for longer than allowed."""


class DeadlineExceeded(UpstreamTimeout):
    """The time is over that the client or the configuration gives a request."""


class GatewayError(SluiceError):
    """The gateway cannot do its part just now."""


class StorageUnavailable(GatewayError):
    """A store did not take or give what was asked, within its retries."""


class StorageContended(StorageUnavailable):
    """A store works, but what was asked of it did not find its turn among others. No plan lets such a request pass."""


class ModelUnavailable(GatewayError):
    """The embedded model cannot run; the message says what to do."""


class DeadlineNear(GatewayError):
    """The platform will end this invocation before the answer can be complete."""
