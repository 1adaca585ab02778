"""The demo merchant: a maker and seller of children's toys, the same for the same seed.

Its stock is uneven on purpose, because that is what an order management system is for: some toys lie only in
the west and some only in the east, so that orders split; some are thin and some are nowhere, so that orders
wait; for half of those a replenishment is planned, and the other half is waited for in vain.
"""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import Annotated

from pydantic import Field

from shared.domain.base import Identifier, Model, Quantity, Sku
from shared.domain.catalogue import Item, SourceOffer
from shared.domain.network import Node, NodeType
from shared.domain.sourcing.models import ServiceRate
from workers.demo.network import demo_nodes, rate_card
from workers.demo.toys import Toy, make_toys

#: Units of safety stock a shop keeps on its shelf for whoever walks in.
SHELF_UNITS = 2


class StockRow(Model):
    """What lies at a node when the demo begins."""

    node_id: Identifier
    sku: Sku
    on_hand: Annotated[int, Field(ge=0)]
    safety: Annotated[int, Field(ge=0)] = 0


class Partner(Model):
    """An outside party. ``kind`` is a node type, ``carrier`` or ``payments``."""

    partner_id: Identifier
    kind: str


class Supply(StrEnum):
    """How an item is stocked."""

    BROAD = "broad"  #: warehouse, 3PL and its vendor; shops have some
    EAST = "east"  #: the warehouse only
    WEST = "west"  #: the 3PL only
    VENDOR = "vendor"  #: its vendor only
    THIN = "thin"  #: a few units, at one or two nodes
    NOWHERE = "nowhere"


class Restock(Model):
    """Supply that arrives while the demo runs.

    Attributes:
        after: Share of the demo's orders that have been placed when it arrives, 0 to 1.
    """

    node_id: Identifier
    sku: Sku
    quantity: Quantity
    after: Annotated[float, Field(ge=0, le=1)]


class World(Model):
    """Everything a merchant has before the first order."""

    seed: int
    nodes: tuple[Node, ...]
    items: tuple[Item, ...]
    offers: tuple[SourceOffer, ...]
    stock: tuple[StockRow, ...]
    rates: tuple[ServiceRate, ...]
    partners: tuple[Partner, ...]

    def node(self, node_id: str) -> Node:
        return next(node for node in self.nodes if node.node_id == node_id)


_SUPPLY_ODDS = {
    Supply.BROAD: 60,
    Supply.EAST: 8,
    Supply.WEST: 8,
    Supply.VENDOR: 10,
    Supply.THIN: 10,
    Supply.NOWHERE: 4,
}
#: A second vendor sells this share of its range too, at a higher cost: vendors compete.
_SECOND_VENDOR = 0.25


def make_world(seed: int = 7, *, items: int = 400, depth: int = 1) -> World:
    """Build the merchant.

    Args:
        items: Number of SKUs.
        depth: Multiplies every quantity but the thin ones; raise it with the number of orders to come. At 1
            the stock carries some 2,000 orders before it is worn.
    """
    rng = Random(f"world/{seed}")
    nodes = demo_nodes()
    toys = make_toys(rng, items)
    sellers = {toy.item.sku: _sellers(rng, toy, nodes) for toy in toys}
    stock = tuple(row for toy in toys for row in _stock_of(rng, toy, sellers[toy.item.sku], depth))
    return World(
        seed=seed,
        nodes=nodes,
        items=tuple(toy.item for toy in toys),
        offers=_offers(toys, sellers, stock, nodes),
        stock=stock,
        rates=rate_card(),
        partners=partners_of(nodes),
    )


def partners_of(nodes: tuple[Node, ...]) -> tuple[Partner, ...]:
    """Whoever runs a node, the two carriers and the payment provider."""
    runners = {node.partner_id: node.node_type.value for node in nodes}
    others = {"parcelpost": "carrier", "swiftship": "carrier", "payments": "payments"}
    return tuple(Partner(partner_id=name, kind=kind) for name, kind in (runners | others).items())


def restocks(world: World) -> tuple[Restock, ...]:
    """Replenishment of every second short item, spread over the middle of the demo; the rest never comes."""
    rng = Random(f"restocks/{world.seed}")
    held: dict[str, int] = {}
    for row in world.stock:
        held[row.sku] = held.get(row.sku, 0) + row.on_hand - row.safety
    short = [item.sku for item in world.items if held.get(item.sku, 0) < _THIN_UNITS * 2]
    depots = [node.node_id for node in world.nodes if node.node_type in (NodeType.WAREHOUSE, NodeType.LOGISTICS)]
    return tuple(
        Restock(node_id=rng.choice(depots), sku=sku, quantity=rng.randint(20, 80), after=rng.randint(30, 80) / 100)
        for sku in short[::2]
    )


_THIN_UNITS = 4


def _sellers(rng: Random, toy: Toy, nodes: tuple[Node, ...]) -> tuple[str, ...]:
    """The vendors that offer a toy: its maker, sometimes another one."""
    others = [n.node_id for n in nodes if n.node_type is NodeType.VENDOR and n.node_id != toy.vendor]
    return (toy.vendor, rng.choice(others)) if rng.random() < _SECOND_VENDOR else (toy.vendor,)


def _stock_of(rng: Random, toy: Toy, sellers: tuple[str, ...], depth: int) -> list[StockRow]:
    supply = rng.choices(list(_SUPPLY_ODDS), weights=list(_SUPPLY_ODDS.values()))[0]
    sku = toy.item.sku
    if supply is Supply.NOWHERE:
        return []
    if supply is Supply.THIN:
        where = rng.sample(["wh-columbus", "3pl-reno", "store-chicago", "store-austin", *sellers], k=rng.randint(1, 2))
        return [_row(node_id, sku, rng.randint(1, _THIN_UNITS)) for node_id in where]
    depots = {Supply.EAST: ["wh-columbus"], Supply.WEST: ["3pl-reno"], Supply.BROAD: ["wh-columbus", "3pl-reno"]}
    rows = [_row(node_id, sku, rng.randint(40, 260) * depth) for node_id in depots.get(supply, [])]
    if supply in (Supply.VENDOR, Supply.BROAD):
        rows += [_row(node_id, sku, rng.randint(25, 120) * depth) for node_id in sellers]
    if supply is Supply.BROAD:
        shops = [node_id for node_id in ("store-chicago", "store-austin") if rng.random() < 0.5]
        rows += [_row(node_id, sku, rng.randint(3, 14) * depth) for node_id in shops]
    return rows


def _row(node_id: str, sku: str, on_hand: int) -> StockRow:
    return StockRow(
        node_id=node_id, sku=sku, on_hand=on_hand, safety=SHELF_UNITS if node_id.startswith("store-") else 0
    )


def _offers(
    toys: tuple[Toy, ...], sellers: dict[str, tuple[str, ...]], stock: tuple[StockRow, ...], nodes: tuple[Node, ...]
) -> tuple[SourceOffer, ...]:
    """Each node's number and cost of each item it has or sells; a vendor's also of what it is out of."""
    stocked = {(row.node_id, row.sku) for row in stock}
    kinds = {node.node_id: node.node_type for node in nodes}
    return tuple(
        _offer(node_id, kind, number, toy, sellers[toy.item.sku])
        for number, toy in enumerate(toys, start=1)
        for node_id, kind in kinds.items()
        if (node_id, toy.item.sku) in stocked or node_id in sellers[toy.item.sku] or kind is NodeType.LOGISTICS
    )


def _offer(node_id: str, kind: NodeType, number: int, toy: Toy, sellers: tuple[str, ...]) -> SourceOffer:
    item, cost = toy.item, toy.item.cost_minor
    if kind is NodeType.VENDOR:
        # Drop-shipping costs more than buying by the pallet, the second vendor a little more again.
        cost = cost * (112 + 5 * sellers.index(node_id)) // 100
    tag = {NodeType.VENDOR: node_id.removeprefix("vnd-")[:3].upper(), NodeType.LOGISTICS: "SL"}.get(kind)
    return SourceOffer(
        node_id=node_id,
        sku=item.sku,
        partner_sku=f"{tag}{70_000 + number}" if tag else item.sku,
        cost_minor=cost,
        lead_days=5 if kind is NodeType.VENDOR else 0,
    )
