"""A plan carried out on a row in memory: what every translation of a plan must be equal to."""

from common.metering.plan import Plan
from common.metering.standing import Standing


def apply(standing: Standing, plan: Plan) -> Standing | None:
    """The row after the plan, or None where a guard does not hold (then nothing is changed)."""
    counts, holds = standing.counts, standing.holds
    met = (
        all(counts[name] == value for name, value in plan.equal.items())
        and all(counts[name] <= most for name, most in plan.at_most.items())
        and all(holds.get(hold_id) == text for hold_id, text in plan.holds.items())
    )
    if not met:
        return None
    added = {name: counts[name] + by for name, by in plan.add.items()}
    kept = {hold_id: text for hold_id, text in holds.items() if hold_id not in plan.remove}
    return Standing({**counts, **plan.set_to, **added}, {**kept, **plan.put})
