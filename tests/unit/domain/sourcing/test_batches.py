"""In which sequence a pool of orders takes its turn."""

from __future__ import annotations

import random
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.sourcing.batches import in_sequence
from shared.domain.sourcing.models import Policy, SourcingOrder
from shared.domain.sourcing.simulation import Replay, ReplayedOrder, compare
from shared.domain.sourcing.stages import Batch, SortBy, SortKey
from tests.support.sourcing import AS_OF, flat_rate, line, node, order


def batch(name: str, when: str, *keys: SortKey) -> Batch:
    return Batch(name=name, when=when, sequence=keys or (SortKey(by=SortBy.RECEIVED_AT),))


def one(name: str, **changes: object) -> SourcingOrder:
    return order(line(1, "a")).model_copy(update={"order_id": name, "received_at": AS_OF, **changes})


def names(orders: list[SourcingOrder], *batches: Batch) -> list[str]:
    return [each.order_id for each in in_sequence(orders, Policy(batches=batches), AS_OF)]


def test_batches_take_turns_and_each_has_its_own_sequence() -> None:
    orders = [
        one("late", promised_at=AS_OF + timedelta(days=3), tags=("vip",)),
        one("soon", promised_at=AS_OF + timedelta(days=1), tags=("vip",)),
        one("unpromised", tags=("vip",)),
        one("small", channel="b2b", lines=(line(1, "a", 1),)),
        one("large", channel="b2b", lines=(line(1, "a", 9),)),
        one("urgent", priority=1),
        one("usual"),
    ]
    vip = batch("vip", "'vip' in order.tags", SortKey(by=SortBy.PROMISED_AT))
    trade = batch("trade", "order.channel == 'b2b'", SortKey(by=SortBy.UNITS, descending=True))
    assert names(orders, vip, trade) == ["soon", "late", "unpromised", "large", "small", "urgent", "usual"]
    assert names(orders, trade, vip)[:2] == ["large", "small"]


def test_without_batches_it_is_priority_and_then_who_came_first() -> None:
    earlier = AS_OF - timedelta(hours=1)
    orders = [one("b"), one("a"), one("first", received_at=earlier), one("urgent", priority=1)]
    assert names(orders) == ["urgent", "first", "a", "b"]


def test_a_condition_that_fails_holds_for_nobody() -> None:
    failing = batch("failing", "order.units / (order.priority - 3) > 0")
    assert names([one("b"), one("a", priority=1)], failing) == names([one("b"), one("a", priority=1)])


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_every_order_has_its_turn_whatever_order_they_come_in(seed: int) -> None:
    rng = random.Random(seed)
    orders = [
        one(
            f"o{n}",
            priority=rng.randint(1, 5),
            tags=rng.choice([(), ("vip",)]),
            lines=(line(1, "a", rng.randint(1, 3)),),
        )
        for n in range(8)
    ]
    keys = [SortKey(by=rng.choice(list(SortBy)), descending=rng.random() < 0.5) for _ in range(2)]
    batches = (batch("vip", "'vip' in order.tags", *keys), batch("all", "", *keys))
    told = names(orders, *batches)
    assert sorted(told) == sorted(each.order_id for each in orders)
    assert names(rng.sample(orders, k=8), *batches) == told


def test_simulated_orders_of_one_moment_take_turns() -> None:
    large = one("z-large", lines=(line(1, "a", 2),))
    replay = Replay(
        nodes=(node("n1"),),
        rates=(flat_rate(),),
        stock={("n1", "a"): 2},
        unit_cost={("n1", "a"): 0},
        orders=tuple(ReplayedOrder(each, AS_OF) for each in (one("a"), large, one("b"))),
    )
    first = Policy(version="large", batches=(batch("large", "order.units > 1"),))
    told = compare(replay, [Policy(), first])
    assert [each.filled_orders for each in told.policies] == [2, 1]
