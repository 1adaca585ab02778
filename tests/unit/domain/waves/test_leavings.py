"""Waves of orders for more than there is: no unit stays behind while an order waits for it."""

from __future__ import annotations

import random

import pytest

from shared.domain.sourcing.models import Policy
from shared.domain.waves.generation import plan_wave
from shared.domain.waves.models import Wave, WaveOrder, WaveRules
from tests.support.sourcing import line, node, order, rates, snapshot

EXACT = WaveRules(change_minor=0, gap_target=0, branches=10_000)


@pytest.mark.parametrize("seed", range(40))
def test_all_there_is_goes_to_who_waits(seed: int) -> None:
    rng = random.Random(seed)
    orders, units = rng.randint(2, 5), rng.randint(2, 4)
    there = rng.randint(1, orders * units - 1)
    at_a = rng.randint(0, there)
    stock = {("a", "x"): at_a, ("b", "x"): there - at_a}
    came = [order(line(1, "x", units)).model_copy(update={"order_id": f"o{n}"}) for n in range(orders)]
    wave = Wave(
        orders=tuple(WaveOrder(order=one, policy=Policy()) for one in came),
        snapshot=snapshot([node("a"), node("b", city=9)], stock, rates=rates()),
        rules=EXACT,
    )
    found = plan_wave(wave)
    assert found.short_after == orders * units - there
    assert found.bound_minor <= found.after_minor
    taken = [(at.node_id, one.quantity) for each in found.reassignments for at in each.shipments for one in at.lines]
    assert {at: sum(units for node_id, units in taken if node_id == at) for at in "ab"} == {
        "a": at_a,
        "b": there - at_a,
    }
