"""When the platform triggers jobs. Several that come equally often share one trigger."""

from datetime import timedelta


def cron_of(every: timedelta) -> str:
    """The expression of a cron trigger. `ValueError` where there is none that comes just so often."""
    minutes, rest = divmod(every, timedelta(minutes=1))
    if not rest and minutes and 60 % minutes == 0 and minutes < 60:
        return f"*/{minutes} * * * *"
    hours, rest = divmod(every, timedelta(hours=1))
    if not rest and hours and 24 % hours == 0:
        return "0 * * * *" if hours == 1 else ("0 0 * * *" if hours == 24 else f"0 */{hours} * * *")
    raise ValueError(f"no cron trigger comes every {every}")
