"""The gateway's own log, while it is simulated."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[list[BaseException]]:
    """Collect the errors that the gateway logs, instead of writing them."""
    found: list[BaseException] = []
    logger = logging.getLogger("sluice")

    def note(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            found.append(record.exc_info[1])
        return False

    handler = logging.Handler()
    handler.addFilter(note)
    propagated = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield found
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
