"""Nodes' risks learned from their fulfillment orders and met by the next plan, on a real Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from temporalio.testing import ActivityEnvironment

from activities.risks import Risks
from shared.database import policies
from shared.database.decisions import explain
from shared.database.risks import PRIOR_ORDERS, WINDOW, read_risks
from shared.domain.sourcing.models import NodeRisk, Policy
from shared.messages.risks import RiskResult, RiskStep
from tests.support.facts import PROCESS, Facts

#: What becomes of a fulfillment order.
_SHIPPED = "shipped_at = now(), ship_by = now() + interval '1 day', ended_at = now()"
_LATE = "shipped_at = now(), ship_by = now() - interval '1 day', ended_at = now()"
_REJECTED = "excludes_node = true, ended_at = now(), reason = 'closed today'"
_REROUTED = "excludes_node = true, ended_at = now(), reason = 'rerouted: nearer'"
_CANCELLED = "ended_at = now(), reason = 'cancelled: changed my mind'"


async def asked(shop: Facts, node_id: str, *became: str) -> None:
    """Fulfillment orders that a node was asked, and what became of them."""
    sku = shop.sku()
    for one in became:
        await shop.stock(sku, **{node_id.replace("-", "_"): 1})
        order_id = await shop.keep((sku, 1))
        await shop.source(order_id)
        await shop.run(f"UPDATE fulfillment_order SET {one} WHERE order_id = :o", o=order_id)


async def assess(shop: Facts, later: timedelta = timedelta()) -> RiskResult:
    step = RiskStep(as_of=datetime.now(UTC) + later)
    result: RiskResult = await ActivityEnvironment().run(Risks(shop.database).assess, step)
    return result


async def known(shop: Facts) -> dict[str, NodeRisk]:
    async with shop.database.reading() as connection:
        return {risk.node_id: risk for risk in await read_risks(connection)}


async def test_a_network_without_history_has_no_risk(shop: Facts) -> None:
    assert await assess(shop) == RiskResult(nodes=len(shop.world.nodes), changed=len(shop.world.nodes))
    assert await known(shop) == {}


async def test_rates_are_what_a_node_did_smoothed_by_what_all_did(shop: Facts) -> None:
    await asked(shop, "wh-columbus", _SHIPPED, _SHIPPED, _LATE)
    await asked(shop, "store-austin", _REJECTED, _REJECTED, _SHIPPED, _REROUTED, _CANCELLED)
    await assess(shop)
    risks = await known(shop)
    rejection, lateness = 2 / 6, 1 / 4
    prior = PRIOR_ORDERS
    assert risks["store-austin"] == NodeRisk(
        node_id="store-austin",
        rejection_ppm=round(1_000_000 * (2 + prior * rejection) / (3 + prior)),
        lateness_ppm=round(1_000_000 * (0 + prior * lateness) / (1 + prior)),
    )
    assert risks["wh-columbus"] == NodeRisk(
        node_id="wh-columbus",
        rejection_ppm=round(1_000_000 * prior * rejection / (3 + prior)),
        lateness_ppm=round(1_000_000 * (1 + prior * lateness) / (3 + prior)),
    )
    assert risks["3pl-reno"].rejection_ppm == round(1_000_000 * rejection), "no history of its own"


async def test_an_assessment_repeated_changes_nothing_and_old_failures_are_forgotten(shop: Facts) -> None:
    await asked(shop, "store-austin", _REJECTED)
    await assess(shop)
    assert (await assess(shop)).changed == 0
    assert (await assess(shop, later=WINDOW + timedelta(days=1))).changed == len(shop.world.nodes)
    assert await known(shop) == {}
    assert (await assess(shop)).changed == 0, "an assessment that was overtaken"


async def test_the_next_order_is_planned_by_it(shop: Facts) -> None:
    costly = Policy(version="costly/1", rejection_minor=100_000)
    async with shop.database.transaction() as connection:
        await policies.begin(connection, costly, PROCESS, "test")
    await asked(shop, "store-austin", *[_REJECTED] * 3)
    await asked(shop, "wh-columbus", *[_SHIPPED] * 3)
    await assess(shop)
    sku = shop.sku(1)
    await shop.stock(sku, wh_columbus=1, store_austin=1)
    order_id = await shop.keep((sku, 1))
    await shop.run("UPDATE orders SET policy_version = :v WHERE order_id = :o", v=costly.version, o=order_id)
    await shop.source(order_id)
    async with shop.database.reading() as connection:
        (decision,) = (await explain(connection, order_id)).decisions
    alone = {one.node_id: one.alone for one in decision.plan.candidates if one.alone}
    risks = await known(shop)
    for node_id, terms in alone.items():
        assert terms.risk == risks[node_id].rejection_ppm * 100_000 // 1_000_000
    assert alone["store-austin"].risk > alone["wh-columbus"].risk > 0
    assert decision.plan.shipments[0].cost.risk == alone["wh-columbus"].risk
