"""Nodes the order's channel does not sell from, and units that stay for other channels."""

from __future__ import annotations

from shared.domain.sourcing import plan
from shared.domain.sourcing.models import Policy, Snapshot, Stock
from shared.domain.sourcing.plans import Because, Plan
from tests.support.sourcing import line, node, order, snapshot

WORLD = snapshot([node("n1"), node("n2", city=5)], {("n1", "a"): 3, ("n2", "a"): 3})


def with_stock(*rows: Stock) -> Snapshot:
    return WORLD.model_copy(update={"stock": rows})


def because(found: Plan) -> dict[str, Because | None]:
    return {one.node_id: one.because for one in found.candidates}


def test_a_channel_is_not_sourced_where_it_does_not_sell() -> None:
    asked = order(line(1, "a", 2))
    closed = WORLD.model_copy(update={"ineligible": {asked.channel: ("n1",), "another": ("n2",)}})
    found = plan(asked, closed, Policy())
    assert [one.node_id for one in found.shipments] == ["n2"]
    assert because(found) == {"n1": Because.NOT_ELIGIBLE, "n2": None}
    both = WORLD.model_copy(update={"ineligible": {asked.channel: ("n1", "n2")}})
    assert [short.because for short in plan(asked, both, Policy()).shortages] == [Because.NOT_ELIGIBLE]


def test_staff_may_choose_the_node_all_the_same() -> None:
    asked = order(line(1, "a", 2)).model_copy(update={"only": ("n1",)})
    closed = WORLD.model_copy(update={"ineligible": {asked.channel: ("n1",)}})
    assert [one.node_id for one in plan(asked, closed, Policy()).shipments] == ["n1"]


def test_where_all_is_kept_for_other_channels_it_says_so() -> None:
    kept = Stock(node_id="n1", sku="a", available=0, protected=3)
    some = Stock(node_id="n2", sku="a", available=1, protected=2)
    found = plan(order(line(1, "a", 2)), with_stock(kept), Policy())
    assert because(found) == {"n1": Because.PROTECTED, "n2": Because.NO_STOCK}
    assert [(short.quantity, short.because) for short in found.shortages] == [(2, Because.PROTECTED)]
    found = plan(order(line(1, "a", 2)), with_stock(kept, some), Policy())
    assert [one.node_id for one in found.shipments] == ["n2"]
    assert [(short.quantity, short.because) for short in found.shortages] == [(1, Because.NOT_ENOUGH_STOCK)]
