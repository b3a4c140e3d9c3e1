"""A plan carried out on a row in memory: what every translation of a plan must be equal to."""

from common.metering.plan import Plan
from common.metering.standing import Standing


def apply(standing: Standing, plan: Plan) -> Standing | None:
    """The row after the plan, or None where a guard does not hold (then nothing is changed)."""
    counts, holds = standing.counts, standing.holds
    for name, value in plan.equal.items():
        if counts[name] != value:
            return None
    for name, most in plan.at_most.items():
        if counts[name] > most:
            return None
    for hold_id, text in plan.holds.items():
        if holds.get(hold_id) != text:
            return None
    added = {name: counts[name] + by for name, by in plan.add.items()}
    kept = dict(holds)
    for hold_id in plan.remove:
        kept.pop(hold_id, None)
    kept.update(plan.put)
    return Standing({**counts, **plan.set_to, **added}, kept)
