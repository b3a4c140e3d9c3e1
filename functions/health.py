"""`GET /health`: whether the function runs. It asks nobody else."""

from typing import Final

from fastapi import APIRouter, Response

from common.http.function import Function

router = APIRouter()
_OK: Final = b'{"status":"ok"}'


@router.get("/health", summary="Whether the gateway runs")
async def health() -> Response:
    """Answer."""
    return Response(_OK, media_type="application/json")


function = Function(name="health", router=router, needs=())
