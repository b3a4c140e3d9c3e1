"""`POST /v1/chat/completions`: OpenAI's chat, streamed or in one piece."""

from fastapi import APIRouter, Request

from common.gateway.call import Call
from common.http.function import DirectRoute, Function
from common.http.openapi import behind_key
from common.http.request import body_of, context_of, facts_of, gateway_of, parse, principal_of
from common.http.response import CallResponse
from common.http.wishes import wishes_of
from common.model.principal import Permission
from common.ports import Background, BreakerStore, Clock, DeadLetters, KeyStore, Meter, Upstream, UserStore
from common.telemetry.text import session_id
from common.wire.openai.chat import ChatRequest

# the body is described, not declared: FastAPI would read and parse it before the key is checked
router = APIRouter(route_class=DirectRoute)

_ANSWER = {"type": "object", "description": "OpenAI's chat completion, as the provider gave it."}
_STREAM = {"type": "string", "description": "Server-sent events of OpenAI's chunks, then `[DONE]`."}
_EXTRA = behind_key(400, 404, 408, 413, 415, 429, 502, 504, body=ChatRequest, json=_ANSWER, stream=_STREAM)


@router.post("/v1/chat/completions", summary="Answer a conversation", openapi_extra=_EXTRA)
async def chat_completions(request: Request) -> CallResponse:
    """Check the key, read the request, and answer it."""
    principal = await principal_of(request, Permission.CHAT)
    chat, body = parse(await body_of(request), ChatRequest)
    facts = facts_of(request)
    facts.model = chat.model
    facts.session_id = facts.session_id or session_id(chat.session_id)
    call = Call(
        gateway_of(request),
        context_of(request),
        request_id=facts.request_id,
        principal=principal,
        request=chat,
        body=body,
        wishes=wishes_of(request, facts.session_id, facts.trace_id),
    )
    return CallResponse(call)


function = Function(
    name="chat_completions",
    router=router,
    needs=(KeyStore, UserStore, Meter, DeadLetters, BreakerStore, Upstream, Background, Clock),
    bodies=(ChatRequest,),
)
