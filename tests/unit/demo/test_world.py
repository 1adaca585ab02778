from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import islice

import pytest

from shared.domain.network import NodeType
from shared.domain.orders import OrderDocument, ServiceLevel
from shared.intake import check_catalogue, read_orders
from workers.demo.orders import make_orders
from workers.demo.world import World, make_world, restocks

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


@pytest.fixture(scope="module")
def orders(world: World) -> list[OrderDocument]:
    return list(make_orders(world, 1_500, 1, START))


def test_the_same_seed_makes_the_same_world(world: World) -> None:
    assert make_world(7) == world
    assert make_world(8).stock != world.stock


def test_the_network_has_eleven_nodes_of_every_kind(world: World) -> None:
    kinds = Counter(node.node_type for node in world.nodes)
    assert kinds == {NodeType.WAREHOUSE: 1, NodeType.LOGISTICS: 1, NodeType.STORE: 2, NodeType.VENDOR: 7}
    assert {node.partner_id for node in world.nodes} <= {partner.partner_id for partner in world.partners}
    assert len({node.place.time_zone for node in world.nodes}) >= 4
    assert all(node.calendar.closures for node in world.nodes)


def test_items_are_distinct_and_plausible(world: World) -> None:
    assert len({item.sku for item in world.items}) == len({item.name for item in world.items}) == 400
    assert all(0 < item.cost_minor < item.price_minor and item.weight_g > 50 for item in world.items)


def test_everything_refers_to_items_and_nodes_that_exist(world: World) -> None:
    skus, nodes = {item.sku for item in world.items}, {node.node_id for node in world.nodes}
    for rows in (world.stock, world.offers, restocks(world)):
        assert {row.sku for row in rows} <= skus
        assert {row.node_id for row in rows} <= nodes
    assert len({(row.node_id, row.sku) for row in world.stock}) == len(world.stock)
    assert len({(offer.node_id, offer.partner_sku) for offer in world.offers}) == len(world.offers)
    assert {(row.node_id, row.sku) for row in world.stock} <= {(offer.node_id, offer.sku) for offer in world.offers}


def test_stock_forces_splits_and_shortages(world: World) -> None:
    where: dict[str, set[str]] = defaultdict(set)
    units: Counter[str] = Counter()
    for row in world.stock:
        where[row.sku].add(row.node_id)
        units[row.sku] += row.on_hand
    alone = Counter(next(iter(nodes)) for nodes in where.values() if len(nodes) == 1)
    assert alone["wh-columbus"] > 10  # an order with one of each of these two splits
    assert alone["3pl-reno"] > 10
    nowhere = [item.sku for item in world.items if not where[item.sku]]
    assert 5 < len(nowhere) < 40
    assert sum(1 for held in units.values() if held <= 8) > 20


def test_some_short_items_are_restocked_and_some_never(world: World) -> None:
    stocked = {row.sku for row in world.stock}
    nowhere = {item.sku for item in world.items} - stocked
    coming = {restock.sku for restock in restocks(world)}
    assert coming & nowhere
    assert nowhere - coming


def test_rates_rise_with_weight_and_distance(world: World) -> None:
    by_service = defaultdict(list)
    for rate in world.rates:
        by_service[rate.carrier, rate.service].append(rate)
        prices = [step.price_minor for step in rate.breaks]
        assert prices == sorted(prices)
    for zones in by_service.values():
        assert [zone.max_distance_km for zone in zones] == sorted(zone.max_distance_km for zone in zones)
        assert [zone.breaks[-1].price_minor for zone in zones] == sorted(z.breaks[-1].price_minor for z in zones)
    assert {rate.level for rate in world.rates} == set(ServiceLevel)


def test_orders_are_the_same_for_the_same_seed(world: World, orders: list[OrderDocument]) -> None:
    assert list(islice(make_orders(world, 1_500, 1, START), 50)) == orders[:50]
    assert next(make_orders(world, 1, 2, START)).channel_order_id != orders[0].channel_order_id


def test_the_door_takes_every_order(world: World, orders: list[OrderDocument]) -> None:
    body = b"\n".join(order.model_dump_json().encode() for order in orders)
    assert read_orders(body) == orders
    items = {item.sku: item for item in world.items}
    assert not any(check_catalogue(order, items) for order in orders)
    assert len({(order.channel, order.channel_order_id) for order in orders}) == len(orders)


def test_orders_vary_as_a_shop_s_do(orders: list[OrderDocument]) -> None:
    assert {order.channel for order in orders} == {"webshop", "market", "store-pos"}
    lines = Counter(len(order.lines) for order in orders)
    assert set(lines) == {1, 2, 3, 4, 5, 6}
    assert lines[1] > lines[2] > lines[3] > lines[5]
    assert {order.service for order in orders} == set(ServiceLevel)
    tokens = Counter(order.payment.token.partition("-")[0] for order in orders)
    assert 0.005 < tokens["tok_declined"] / len(orders) < 0.05
    assert 0.005 < tokens["tok_decline_once"] / len(orders) < 0.05
    assert any(line.discount_minor for order in orders for line in order.lines)
    assert all(order.placed_at >= START for order in orders)
