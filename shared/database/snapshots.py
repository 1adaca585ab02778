"""Snapshots for questions that reserve nothing: what a cart could be promised, what another policy had done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import ages, channels, network, node_days, prices, quotes, risks, trade, zones
from shared.database.cartons import read_cartons
from shared.domain.catalogue import Item
from shared.domain.network import Place
from shared.domain.quotes import area_of
from shared.domain.sourcing.models import Snapshot, WantedLine
from shared.domain.sourcing.plans import Plan
from shared.errors import Fault, InvalidInput

#: First statement of a transaction whose reads must agree with each other.
AGREEING = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
#: What anybody may take.
FREE_STOCK = text("""
    SELECT p.node_id, p.sku, p.free, 0 AS own, coalesce(s.cost_minor, i.cost_minor) AS unit_cost_minor
    FROM stock_position p JOIN item i USING (sku) LEFT JOIN source_offer s USING (node_id, sku)
    WHERE p.sku = ANY(:skus) AND p.free > 0
""")
#: As if some fulfillment orders held nothing; where a node is short of what it must keep, that comes first.
_STOCK_WITHOUT = text("""
    SELECT p.node_id, p.sku, p.free, greatest(b.free + coalesce(w.units, 0), 0) - p.free AS own,
           coalesce(s.cost_minor, i.cost_minor) AS unit_cost_minor
    FROM stock_position p JOIN item i USING (sku) LEFT JOIN source_offer s USING (node_id, sku)
    CROSS JOIN LATERAL (
        SELECT p.on_hand - p.reserved - p.held - p.safety - p.count_buffer - p.feed_buffer AS free
    ) b
    LEFT JOIN (
        SELECT node_id, sku, sum(open) AS units FROM reservation WHERE owner = ANY(:owners) GROUP BY node_id, sku
    ) w USING (node_id, sku)
    WHERE p.sku = ANY(:skus) AND b.free + coalesce(w.units, 0) > 0
""")


async def read_snapshot(
    connection: AsyncConnection,
    skus: Iterable[str],
    as_of: datetime,
    *,
    channel: str | None = None,
    ship_to: Place | None = None,
    currency: str = "",
) -> Snapshot:
    """Everything the planner may know of these items right now.

    Args:
        channel: Who asks; what is kept for other channels is not there for it. Without one, all that is free is told.
        ship_to: Where to, with what carriers quote to there in the currency.
    """
    wanted = set(skus)
    seen = await read_unpriced(connection, wanted, as_of, channel=channel)
    if ship_to is not None:
        area = area_of(ship_to, currency)
        quoted = await quotes.read_quotes(connection, [area], as_of)
        seen = seen.model_copy(update={"quotes": quoted.get(area, ())})
    return (await prices.read_for(connection, wanted, as_of)).put_on(seen)


async def read_unpriced(
    connection: AsyncConnection,
    skus: Iterable[str],
    as_of: datetime,
    *,
    channel: str | None = None,
    without: Sequence[str] = (),
) -> Snapshot:
    """As ``read_snapshot``, without what later orders may lose.

    Args:
        without: Fulfillment orders that are looked away from: their units are available, their days are open.
    """
    selling = await channels.read_selling(connection)
    wanted = {"skus": sorted(set(skus))}
    if without:
        positions = (await connection.execute(_STOCK_WITHOUT, wanted | {"owners": list(without)})).all()
    else:
        positions = (await connection.execute(FREE_STOCK, wanted)).all()
    stock, pooled = await channels.stock_for(connection, selling, channel, positions)
    limited = await node_days.read_limited(connection)
    loads = await node_days.read_loads(connection, limited)
    loads = await node_days.with_days(connection, loads, limited, as_of)
    return Snapshot(
        as_of=as_of,
        nodes=await network.read_nodes(connection),
        rates=await network.read_rates(connection),
        zones=await zones.read_charts(connection),
        risks=await risks.read_risks(connection),
        idle=await ages.read_idle(connection, set(skus), as_of),
        trade=await trade.read_trade(connection, set(skus)),
        cartons=await read_cartons(connection),
        stock=stock,
        pooled=pooled,
        loads=await node_days.without(connection, loads, without) if without else loads,
        ineligible=selling.ineligible,
    )


async def has_risen(connection: AsyncConnection, seen: Snapshot, plan: Plan, skus: Collection[str]) -> bool:
    """Whether more of some items is free by now than a plan of a snapshot has left of them."""
    left = Counter({(stock.node_id, stock.sku): stock.available + stock.protected for stock in seen.stock})
    for shipment in plan.shipments:
        for line in shipment.lines:
            left[shipment.node_id, line.sku] -= line.quantity
    positions = await connection.execute(FREE_STOCK, {"skus": list(skus)})
    return any(row.free > left[row.node_id, row.sku] for row in positions)


def wanted_lines(lines: Sequence[tuple[int, str, int]], items: Mapping[str, Item]) -> tuple[WantedLine, ...]:
    """Lines of (number, SKU, quantity) with what the planner must know of their items.

    Raises:
        InvalidInput: items that are not in the catalogue.
    """
    faults = [
        Fault(pointer=f"/lines/{place}/sku", code="unknown_sku", message=f"no such item in the catalogue: {sku}")
        for place, (_, sku, _) in enumerate(lines)
        if sku not in items
    ]
    if faults:
        raise InvalidInput(faults)
    return tuple(_wanted(line_no, quantity, items[sku]) for line_no, sku, quantity in lines)


def _wanted(line_no: int, quantity: int, item: Item) -> WantedLine:
    return WantedLine(
        line_no=line_no,
        sku=item.sku,
        quantity=quantity,
        weight_g=item.weight_g,
        length_mm=item.length_mm,
        width_mm=item.width_mm,
        height_mm=item.height_mm,
        unit_price_minor=item.price_minor,
        own_container=item.own_container,
    )
