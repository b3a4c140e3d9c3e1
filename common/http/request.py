"""What a route reads from a request, in the order in which it may: the key first, then the body."""

from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from common.access.authenticate import require
from common.gateway.context import RequestContext
from common.gateway.gateway import Gateway
from common.model.errors import BodyTooLarge, ClientLeft, InvalidRequest
from common.model.ids import RequestId
from common.model.principal import Permission, Principal
from common.wire.json_members import JsonMembers, NotAnObject

_Model = TypeVar("_Model", bound=BaseModel)
_LONGEST_NAME: Final = 64  # a longer one is no field's, but a key within one that the client made up
_TYPES: Final = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "float_type": "a number",
    "int_type": "an integer",
    "list_type": "an array",
    "model_type": "an object",
    "string_type": "a string",
}  # what a field should be, by the kind of pydantic's error, whose own words are Python's


def gateway_of(request: Request) -> Gateway:
    """The gateway that serves the request."""
    gateway: Gateway = request.scope["state"]["gateway"]
    return gateway


def context_of(request: Request) -> RequestContext:
    """What the target handed in with the request."""
    context: RequestContext = request.scope["sluice"]
    return context


def request_id_of(request: Request) -> RequestId:
    """The id that the edge gave it."""
    request_id: RequestId = request.scope["state"]["request_id"]
    return request_id


async def principal_of(request: Request, permission: Permission) -> Principal:
    """Whose key it is; `AuthenticationFailed` or `PermissionDenied`. The body has not been touched."""
    principal = await gateway_of(request).authenticator.authenticate(_header(request, b"authorization"))
    require(principal, permission)
    return principal


async def body_of(request: Request) -> bytes:
    """The whole body. `BodyTooLarge` as soon as that is known, before the rest is read."""
    limit = gateway_of(request).settings.server.max_body_bytes
    announced = _header(request, b"content-length") or ""
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    message = await request.receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        pieces, size = [body], len(body)
        while message.get("more_body", False):
            message = await request.receive()
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limit:
                raise _too_large(limit)
        body = b"".join(pieces)
    if message["type"] == "http.disconnect":
        raise ClientLeft("The client closed the connection while it sent its request.")
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _header(request: Request, name: bytes) -> str | None:
    """A header by its lower-case name; no object of all headers is built for one."""
    for each, value in request.scope["headers"]:
        if each == name:
            text: str = value.decode("latin-1")
            return text
    return None


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is longer than this gateway takes: {limit} bytes.")


def parse(body: bytes, shape: type[_Model]) -> tuple[_Model, JsonMembers]:
    """The body in its shape, and as it was sent. `InvalidRequest` names the first field that does not fit."""
    try:
        members = JsonMembers(body)
    except NotAnObject as problem:
        raise InvalidRequest(f"The body must be a JSON object: {problem}.", code="invalid_json") from None
    try:
        return shape.model_validate(members.values), members
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> InvalidRequest:
    """OpenAI's wording: what is wrong with which field. Of a field that may be several things, all that it may be."""
    found = [(_param(each["loc"]), each) for each in error.errors(include_url=False, include_input=False)]
    param, first = found[0]
    if first["type"] == "missing":
        return InvalidRequest(f"`{param}` is required.", param=param, code="missing_required_parameter")
    # an array that has a wrong item is meant as one: what is wrong is the item
    param = next((inner for inner, _ in found if inner.startswith(f"{param}[")), param)
    types = dict.fromkeys(
        _TYPES[each["type"]] for name, each in found if name == param and each["type"] in _TYPES
    )
    said = (
        f"it should be {' or '.join(types)}" if types else first["msg"].replace("Input should", "it should")
    )
    return InvalidRequest(f"`{param}` is not valid: {said}.", param=param, code="invalid_value")


def _param(loc: tuple[Any, ...]) -> str:
    """`messages[0].role`; the branches of a union, which pydantic names too, are left out."""
    path = str(loc[0])
    for part in loc[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif (
            part.isidentifier() and len(part) <= _LONGEST_NAME and part not in {"str", "int", "float", "bool"}
        ):
            path += f".{part}"
    return path
