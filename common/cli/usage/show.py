"""`sluice usage show`."""

import click

from common.cli import options
from common.cli.output import Failed, Piece, show, show_json, table
from common.cli.stores import with_stores
from common.model.ids import RequestId
from common.model.usage import Provisional
from common.targets.stores import Place
from common.wire.receipt import Receipt, ReceiptAttempt, ReceiptTokens

_WHY: dict[Provisional | None, str] = {
    None: "",
    Provisional.ABANDONED: "nobody settled it before its hold expired: what was held is booked",
    Provisional.AWAITING: "its provider has not said yet what it charges: what was held is booked",
}


@click.command(
    "show", help="Show the receipt of one request: what it used, at which prices, and where its time went."
)
@click.argument("request_id")
@options.place
@options.as_json
def command(request_id: str, place: Place, *, as_json: bool) -> None:
    """Show a receipt."""
    record = with_stores(place, lambda stores: stores.usage.find(RequestId(request_id)))
    if record is None:
        raise Failed(
            f"There is no usage of a request {request_id!r}. Its id is the x-request-id of its answer; one that was"
            " refused has none, and one that has just ended is settled within seconds."
        )
    receipt = Receipt.of(record)
    if as_json:
        show_json(receipt.model_dump(mode="json"))
    else:
        show(_described(receipt))


def _described(receipt: Receipt) -> list[Piece]:
    told = [
        ("Request", receipt.id),
        ("Key", receipt.api_key_id),
        ("User", receipt.user_id),
        ("Model", receipt.model),
        ("Outcome", receipt.outcome),
        ("Provisional", _WHY[receipt.provisional]),
        ("Tokens", _tokens(receipt.tokens)),
        ("Cost", f"${receipt.cost}{' (estimated)' if receipt.estimated else ''}"),
        ("Provider says", "" if receipt.provider_cost is None else f"${receipt.provider_cost}"),
        ("Held", f"${receipt.held}, {receipt.held_tokens:,} tokens"),
        ("Time", _time(receipt)),
        ("Session", receipt.session_id or ""),
        ("Trace", receipt.trace_id or ""),
        ("End user", receipt.end_user or ""),
    ]
    pieces = table([(label, text) for label, text in told if text], ("dim", ""))
    for number, attempt in enumerate(receipt.attempts, start=1):
        pieces += [("\n", ""), *table(_attempt(number, attempt), ("dim", ""))]
    return pieces


def _attempt(number: int, attempt: ReceiptAttempt) -> list[tuple[str, str]]:
    booked = f"${attempt.cost}, by {attempt.booked}"
    prices = "nobody said one"
    if attempt.prices is not None:
        each = {name: price for name, price in attempt.prices.model_dump().items() if price != "0"}
        request = each.pop("request", None)
        told = [f"{name} ${price}" for name, price in each.items()]
        prices = f"per million tokens: {', '.join(told)}" if told else "free"
        prices += f"; per request ${request}" if request else ""
    return [
        (f"Attempt {number}", f"{attempt.provider}/{attempt.model}"),
        ("Ended", f"{attempt.ended}, after {attempt.took_ms:,} ms"),
        ("Tokens", _tokens(attempt.tokens)),
        ("Prices", prices),
        ("Booked", booked),
        *([("Provider's id", attempt.provider_request_id)] if attempt.provider_request_id else []),
        *([("Gateway's log", attempt.gateway_log_id)] if attempt.gateway_log_id else []),
    ]


def _tokens(tokens: ReceiptTokens) -> str:
    each = tokens.model_dump()
    total = each.pop("total")
    parts = [f"{name} {count:,}" for name, count in each.items() if count]
    return f"{total:,}" + (f" ({', '.join(parts)})" if parts else "")


def _time(receipt: Receipt) -> str:
    latency = receipt.latency_ms
    named = {
        "first byte": latency.first_byte,
        "providers": latency.upstream,
        "storage": latency.storage,
        "gateway": latency.gateway,
    }
    parts = [f"{name} {value:,}" for name, value in named.items() if value is not None]
    return f"{latency.total:,} ms" + (f" ({', '.join(parts)})" if parts else "")
