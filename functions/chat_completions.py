"""`POST /v1/chat/completions`: OpenAI's chat, streamed or in one piece."""

from typing import Any, Final

from fastapi import APIRouter, Request

from common.gateway.call import Call
from common.http.function import DirectRoute, Function
from common.http.request import body_of, context_of, gateway_of, parse, principal_of, request_id_of
from common.http.response import CallResponse
from common.model.principal import Permission
from common.ports import Background, Clock, KeyStore, Meter, Upstream
from common.wire.openai.chat import ChatRequest

router = APIRouter(route_class=DirectRoute)

# by reference and not as a body parameter: FastAPI would read and parse the body before the key is checked
_OPENAPI: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "required": ["model", "messages"]}}},
    }
}


@router.post("/v1/chat/completions", summary="Answer a conversation", openapi_extra=_OPENAPI)
async def chat_completions(request: Request) -> CallResponse:
    """Check the key, read the request, and answer it."""
    principal = await principal_of(request, Permission.CHAT)
    chat, body = parse(await body_of(request), ChatRequest)
    call = Call(
        gateway_of(request),
        context_of(request),
        request_id=request_id_of(request),
        principal=principal,
        request=chat,
        body=body,
    )
    return CallResponse(call)


function = Function(
    name="chat_completions", router=router, needs=(KeyStore, Meter, Upstream, Background, Clock)
)
