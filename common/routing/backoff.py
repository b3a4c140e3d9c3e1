"""How long to wait before the same candidate is asked again. Pure: the random number is handed in.

    wait = random() x min(MOST_S, FIRST_S x 2^(attempts - 1))        full jitter
    wait = retry-after + that                                        where the provider says when: never earlier

It is not worth it, and the next candidate's turn, where the retries are used up, where it would end beyond the patience
for one candidate, or where the deadline would leave no time for an attempt. A `retry-after` of hours is no wait, then,
but an answer: the client is told. `providers/openai_errors.py` has made seconds of what the provider said.

Source of full jitter: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from typing import Final

RETRIES: Final = 2  # at one candidate, behind the first attempt
FIRST_S: Final = 0.25
MOST_S: Final = 4.0
PATIENCE_S: Final = 3.0  # from the first attempt at a candidate to its last, while another candidate is there
PATIENCE_ALONE_S: Final = 20.0  # where none is: the client would wait no better
LEAST_ATTEMPT_S: Final = 1.0  # with less time left, an attempt is hopeless


def pause_s(
    attempts: int,
    random: float,
    *,
    spent_s: float,
    remaining_s: float,
    alone: bool,
    retry_after_s: float | None = None,
    retries: int = RETRIES,
) -> float | None:
    """Seconds to wait after so many attempts at one candidate; None: it is not worth it.

    `random`: evenly from [0, 1). `spent_s`: since the first of these attempts began. `remaining_s`: until the request's
    deadline. `alone`: no other candidate is left.
    """
    if attempts > retries:
        return None
    wait = random * min(MOST_S, FIRST_S * 2 ** (attempts - 1)) + (retry_after_s or 0.0)
    if spent_s + wait > (PATIENCE_ALONE_S if alone else PATIENCE_S):
        return None
    return wait if wait + LEAST_ATTEMPT_S <= remaining_s else None
