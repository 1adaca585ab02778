"""What a simulation replays: stored orders on the stock of their day, or order documents on the stock of now.

Read it in one transaction that begins with ``snapshots.AGREEING``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import ages, network, node_days, prices, quotes, risks, trade, zones
from shared.database.cartons import read_cartons
from shared.database.channels import read_rules, read_selling
from shared.database.snapshots import FREE_STOCK, wanted_lines
from shared.database.stored_orders import lines_as_json, order_of
from shared.domain.catalogue import Item
from shared.domain.orders import Method, OrderDocument
from shared.domain.pricing.models import PriceSpan
from shared.domain.quotes import area_of
from shared.domain.sourcing.models import SourcingOrder, WantedLine
from shared.domain.sourcing.simulation import Arrival, Leaving, Replay, ReplayedOrder
from shared.errors import NotFound
from shared.messages import order_id_of
from shared.places import locate

_WHOLE = f"""
    SELECT o.order_id, o.channel, o.currency, o.place, o.service, o.received_at, o.promised_at, o.priority, o.tags,
           o.method, o.pickup_node_id, lines.lines
    FROM orders o CROSS JOIN LATERAL (
        SELECT {lines_as_json("l", "quantity")} AS lines
        FROM order_line l JOIN item i USING (sku) WHERE l.order_id = o.order_id) lines
"""  # noqa: S608 - our own fragment
_ORDERS = text(f"{_WHOLE} WHERE o.received_at >= :since ORDER BY o.received_at, o.order_id LIMIT :limit")
_LATEST = text(f"""{_WHOLE}
    WHERE o.order_id IN (SELECT order_id FROM orders ORDER BY received_at DESC, order_id LIMIT :limit)
    ORDER BY o.received_at DESC, o.order_id
""")  # noqa: S608 - our own fragment
_NAMED = text(f"{_WHOLE} WHERE o.order_id = :order_id")
#: Positions as the ledger had them at a moment. Orders placed before it keep what they had reserved by then; what was
#: held back then for what counts and feeds said is not known any more.
_STOCK = text("""
    SELECT p.node_id, p.sku, coalesce(s.cost_minor, i.cost_minor) AS unit_cost_minor,
           coalesce((SELECT sum(m.on_hand - m.reserved - m.held) FROM stock_move m
                     WHERE m.node_id = p.node_id AND m.sku = p.sku AND m.at < :at), 0) - p.safety AS free
    FROM stock_position p JOIN item i USING (sku) LEFT JOIN source_offer s USING (node_id, sku)
    WHERE p.sku = ANY(:skus)
""")
_ARRIVALS = text("""
    SELECT at, node_id, sku, on_hand AS units FROM stock_move
    WHERE at >= :at AND sku = ANY(:skus) AND on_hand <> 0
      AND cause NOT IN ('reserve', 'release', 'ship', 'hold', 'expire')
    ORDER BY at, move_id
""")
_LEAVING = text("""
    SELECT ship_by AS at, node_id, units FROM fulfillment_order
    WHERE created_at < :at AND coalesce(least(shipped_at, ended_at), 'infinity') >= :at AND ship_by > :at
""")


async def stored_orders(connection: AsyncConnection, since: datetime, limit: int) -> Replay:
    """The first ``limit`` orders received from ``since`` on, the stock they met and what has arrived since."""
    rows = (await connection.execute(_ORDERS, {"since": since, "limit": limit})).all()
    orders = [_stored(row) for row in rows]
    areas = [area_of(each.order.ship_to, row.currency) for each, row in zip(orders, rows, strict=True)]
    spans = await quotes.read_spans(connection, set(areas), [each.at for each in orders])
    orders = [
        each._replace(quotes=tuple(span for span in spans.get(area, ()) if span.begins <= each.at < span.expires_at))
        for each, area in zip(orders, areas, strict=True)
    ]
    skus = _skus(orders)
    stock = (await connection.execute(_STOCK, {"skus": skus, "at": since})).all()
    replay = await _replay(connection, orders, since, stock)
    return replay._replace(prices=await prices.read_spans(connection, skus, [each.at for each in orders]))


def _skus(orders: Iterable[ReplayedOrder]) -> list[str]:
    return sorted({line.sku for each in orders for line in each.order.lines})


def _stored(row: Any) -> ReplayedOrder:
    order = order_of(row, method=Method(row.method), pickup_node_id=row.pickup_node_id)
    return ReplayedOrder(order, row.received_at, row.promised_at)


async def latest_orders(connection: AsyncConnection, limit: int, now: datetime, order_id: str = "") -> Replay:
    """The latest orders, or the one named, whole, as if they came now and met the stock of now.

    Raises:
        NotFound: there is no such order.
    """
    named = (_NAMED, {"order_id": order_id}) if order_id else (_LATEST, {"limit": limit})
    rows = (await connection.execute(*named)).all()
    if order_id and not rows:
        raise NotFound(f"there is no order {order_id}", order_id=order_id)
    orders = [ReplayedOrder(_stored(row).order.model_copy(update={"received_at": now}), now) for row in rows]
    return await _replay_now(connection, orders, [row.currency for row in rows], now)


async def documents(connection: AsyncConnection, given: Sequence[OrderDocument], now: datetime) -> Replay:
    """Orders that may never have been placed, on the stock of now; each comes when it says it was placed.

    Raises:
        InvalidInput: an item is not in the catalogue.
    """
    items = await network.read_items(connection, sorted({line.sku for document in given for line in document.lines}))
    orders = [
        ReplayedOrder(
            SourcingOrder(
                order_id=order_id_of(document.channel, document.channel_order_id),
                channel=document.channel,
                ship_to=locate(document.ship_to),
                service=document.service,
                lines=_priced(document, items),
                priority=document.priority,
                tags=document.tags,
                received_at=document.placed_at,
            ),
            document.placed_at,
        )
        for document in given
    ]
    return await _replay_now(connection, orders, [document.currency for document in given], now)


def _priced(document: OrderDocument, items: Mapping[str, Item]) -> tuple[WantedLine, ...]:
    """The document's lines at its own prices."""
    lines = wanted_lines([(line.line_no, line.sku, line.quantity) for line in document.lines], items)
    return tuple(
        line.model_copy(update={"unit_price_minor": sold.unit_price_minor})
        for line, sold in zip(lines, document.lines, strict=True)
    )


async def _replay_now(
    connection: AsyncConnection, orders: Sequence[ReplayedOrder], currencies: Sequence[str], now: datetime
) -> Replay:
    """Orders on the stock of now, whenever they come, at the prices and by the quotes of now."""
    areas = [area_of(each.order.ship_to, currency) for each, currency in zip(orders, currencies, strict=True)]
    quoted = await quotes.read_quotes(connection, set(areas), now)
    orders = [each._replace(quotes=quoted.get(area, ())) for each, area in zip(orders, areas, strict=True)]
    skus = _skus(orders)
    stock = (await connection.execute(FREE_STOCK, {"skus": skus})).all()
    replay = await _replay(connection, orders, now, stock)
    whenever = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    return replay._replace(prices=(PriceSpan(*whenever, await prices.read_for(connection, skus, now)),))


async def _replay(
    connection: AsyncConnection, orders: Sequence[ReplayedOrder], at: datetime, stock: Sequence[Any]
) -> Replay:
    skus = _skus(orders)
    arrivals = await connection.execute(_ARRIVALS, {"skus": skus, "at": at})
    leaving = await connection.execute(_LEAVING, {"at": at})
    selling = await read_selling(connection)
    return Replay(
        nodes=await network.read_nodes(connection),
        rates=await network.read_rates(connection),
        stock={(row.node_id, row.sku): int(row.free) for row in stock},
        unit_cost={(row.node_id, row.sku): row.unit_cost_minor for row in stock},
        orders=tuple(orders),
        arrivals=tuple(Arrival(*row) for row in arrivals),
        leaving=tuple(Leaving(*row) for row in leaving),
        zones=await zones.read_charts(connection),
        risks=await risks.read_risks(connection),
        trade=await trade.read_trade(connection, skus),
        cartons=await read_cartons(connection),
        ineligible=selling.ineligible,
        rules=await read_rules(connection, selling, skus),
        limits=await node_days.read_limits(connection, at.date() - timedelta(days=1)),
        idle=await ages.read_idle(connection, skus, at),
    )
