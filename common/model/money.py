"""Money as people write it."""

from typing import Final

from common.model.limits import Limit

MONEY: Final = frozenset({Limit.BUDGET_DAY, Limit.BUDGET_MONTH, Limit.BUDGET_TOTAL})
"""The limits of money, in nano-dollars."""

_NANO_DIGITS: Final = 9


def usd(amount_nanousd: int) -> str:
    """US dollars, exact, with two places at least."""
    dollars, rest = divmod(amount_nanousd, 10**_NANO_DIGITS)
    return f"{dollars}.{f'{rest:0{_NANO_DIGITS}}'.rstrip('0'):0<2}"
