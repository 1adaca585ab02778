"""What a policy would make of orders that come now, beside what another one does: each order alone."""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain.base import Instant, Model
from shared.domain.sourcing.engine import plan
from shared.domain.sourcing.models import Policy
from shared.domain.sourcing.plans import Plan
from shared.domain.sourcing.simulation import Replay, World
from shared.domain.sourcing.stages import Rest, StageTried


class Gist(Model):
    """A plan in short.

    Attributes:
        ships: Units by node.
        paid_minor: What is paid to somebody, without the terms that only steer.
    """

    ships: dict[str, int]
    short_units: int
    paid_minor: int
    promised_at: Instant | None
    stages: tuple[StageTried, ...]
    rest: Rest | None

    @classmethod
    def of(cls, found: Plan) -> Gist:
        return cls(
            ships={one.node_id: sum(line.quantity for line in one.lines) for one in found.shipments},
            short_units=sum(short.quantity for short in found.shortages),
            paid_minor=sum(one.cost.paid for one in found.shipments),
            promised_at=found.promised_at,
            stages=found.stages,
            rest=found.rest,
        )


class Preview(Model):
    """One order under two policies.

    Attributes:
        changed: Something of it would be another: nodes, units, money, dates, or what becomes of the rest.
    """

    order_id: str
    changed: bool
    one: Gist
    other: Gist


def preview(replay: Replay, one: Policy, other: Policy) -> Iterator[Preview]:
    """Each order as if it came alone, on the stock as it is: no order takes anything from another."""
    world = World(replay)
    for each in replay.orders:
        seen = world.seen(each)
        before, after = (Gist.of(plan(each.order, seen, policy)) for policy in (one, other))
        changed = before.model_copy(update={"stages": ()}) != after.model_copy(update={"stages": ()})
        yield Preview(order_id=each.order.order_id, changed=changed, one=before, other=after)
