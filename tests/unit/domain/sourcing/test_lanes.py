"""What may go where: trade rules as filters that no cost outweighs, and duties as a cost."""

from __future__ import annotations

import pytest

from shared.domain.network import Node
from shared.domain.sourcing import plan
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder
from shared.domain.sourcing.plans import Because, Plan
from shared.domain.sourcing.weights import Weights
from shared.domain.trade import CustomsRule, Goods, ItemTrade, LaneRule, Trade, TradeRules
from tests.support.sourcing import flat_rate, line, node, order, snapshot

EVERYTHING, HAZMAT, NOTHING = Goods.EVERYTHING, Goods.HAZMAT, Goods.NOTHING
FUEL = ItemTrade(sku="fuel", hazmat=True)


def trade(*items: ItemTrade, lanes: tuple[LaneRule, ...] = (), customs: tuple[CustomsRule, ...] = ()) -> Trade:
    return Trade(rules=TradeRules(lanes=lanes, customs=customs, any_items=bool(items)), items=items)


def closed(to: Goods = EVERYTHING, **lane: str) -> LaneRule:
    return LaneRule.model_validate({"country": "US", "closed_to": to} | lane)


def world(rules: Trade, nodes: list[Node], skus: tuple[str, ...] = ("fuel", "toy")) -> Snapshot:
    stock = {(at.node_id, sku): 5 for at in nodes for sku in skus}
    services = (flat_rate(500, service="ground"), flat_rate(400, service="air"))
    return snapshot(nodes, stock, rates=services).model_copy(update={"trade": rules})


def both() -> SourcingOrder:
    return order(line(1, "fuel"), line(2, "toy"))


def told(found: Plan) -> tuple[dict[str, tuple[str, set[str]]], dict[str, Because]]:
    ships = {one.node_id: (one.service, {each.sku for each in one.lines}) for one in found.shipments}
    return ships, {one.sku: one.because for one in found.shortages}


@pytest.mark.parametrize(
    ("rules", "ships", "short"),
    [
        (trade(FUEL), {"n1": ("air", {"fuel", "toy"})}, {}),
        (trade(FUEL, lanes=(closed(NOTHING),)), {"n1": ("air", {"fuel", "toy"})}, {}),
        (trade(FUEL, lanes=(closed(country="CA"),)), {"n1": ("air", {"fuel", "toy"})}, {}),
        (trade(FUEL, lanes=(closed(region="AK"),)), {"n1": ("air", {"fuel", "toy"})}, {}),
        (trade(FUEL, lanes=(closed(),)), {}, dict.fromkeys(("fuel", "toy"), Because.RESTRICTED_LANE)),
        (trade(FUEL, lanes=(closed(HAZMAT),)), {"n1": ("air", {"toy"})}, {"fuel": Because.RESTRICTED_LANE}),
        (trade(FUEL, lanes=(closed(node_id="n1"),)), {"n2": ("air", {"fuel", "toy"})}, {}),
        (trade(FUEL, lanes=(closed(service="air"),)), {"n1": ("ground", {"fuel", "toy"})}, {}),
        (trade(FUEL, lanes=(closed(HAZMAT, service="air"),)), {"n1": ("ground", {"fuel", "toy"})}, {}),
        (
            trade(FUEL, lanes=(closed(HAZMAT, carrier="sky"),)),
            {"n1": ("air", {"toy"})},
            {"fuel": Because.RESTRICTED_LANE},
        ),
        (trade(FUEL, lanes=(closed(carrier="sky", node_id="n1"),)), {"n2": ("air", {"fuel", "toy"})}, {}),
        (
            trade(ItemTrade(sku="toy", banned_countries=("US",))),
            {"n1": ("air", {"fuel"})},
            {"toy": Because.RESTRICTED_LANE},
        ),
    ],
)
def test_what_is_closed_is_not_used(rules: Trade, ships: dict[str, object], short: dict[str, Because]) -> None:
    found = plan(both(), world(rules, [node("n1"), node("n2", order_minor=10)]), Policy())
    assert told(found) == (ships, short)


def test_staff_do_not_overrule_them_and_the_node_says_why() -> None:
    chosen = both().model_copy(update={"only": ("n1",)})
    found = plan(chosen, world(trade(lanes=(closed(node_id="n1"),)), [node("n1"), node("n2")]), Policy())
    assert found.shipments == ()
    assert found.candidates[0].because is Because.RESTRICTED_LANE


def abroad(node_id: str) -> Node:
    at = node(node_id)
    return at.model_copy(update={"place": at.place.model_copy(update={"country": "CA"})})


TOYS = (CustomsRule(country="US", duty_bp=1000), CustomsRule(country="US", hs_prefix="9503", duty_bp=250))


@pytest.mark.parametrize(
    ("code", "origin", "duty"),
    [("950300", "VN", 2 * 49), ("950400", "VN", 2 * 199), ("950300", "", None), ("", "VN", None)],
)
def test_goods_cross_a_border_declared_and_at_their_duty(code: str, origin: str, duty: int | None) -> None:
    item = ItemTrade(sku="toy", hs_code=code, origin_country=origin)
    wanted = order(line(1, "toy", 2).model_copy(update={"unit_price_minor": 1999}))
    found = plan(wanted, world(trade(item, customs=TOYS), [abroad("n1")], ("toy",)), Policy())
    if duty is None:
        assert told(found) == ({}, {"toy": Because.MISSING_CUSTOMS_DATA})
        assert found.candidates[0].because is Because.MISSING_CUSTOMS_DATA
    else:
        (shipment,) = found.shipments
        assert shipment.cost.customs == duty
        assert shipment.cost.paid == 400 + duty


def test_a_duty_is_worth_a_dearer_node_at_home() -> None:
    def ships(surcharge: int, **rules: object) -> str:
        item = ItemTrade(sku="toy", hs_code="950300", origin_country="VN")
        seen = world(trade(item, customs=TOYS), [abroad("far"), node("home", order_minor=surcharge)], ("toy",))
        wanted = order(line(1, "toy").model_copy(update={"unit_price_minor": 20_000}))
        return plan(wanted, seen, Policy.model_validate(rules)).shipments[0].node_id

    assert ships(499) == "home"
    assert ships(501) == "far"
    assert ships(499, weights=Weights(customs=0)) == "far"


def test_a_country_without_a_customs_rule_asks_for_nothing() -> None:
    seen = world(trade(FUEL, customs=(CustomsRule(country="MX", duty_bp=100),)), [abroad("n1")])
    assert told(plan(both(), seen, Policy())) == ({"n1": ("air", {"fuel", "toy"})}, {})
