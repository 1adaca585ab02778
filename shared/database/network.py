"""Nodes, rates, partners, items and offers: what changes rarely and is read always."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.base import Model
from shared.domain.catalogue import Component, Item, SoldItem, SourceOffer
from shared.domain.network import Node
from shared.domain.partners import PartnerEndpoint
from shared.domain.sourcing.models import ServiceRate
from shared.errors import NotFound

_NODES, _RATES = TypeAdapter(tuple[Node, ...]), TypeAdapter(tuple[ServiceRate, ...])

_READ_NODES = text("""
    SELECT coalesce(jsonb_agg(to_jsonb(node) ORDER BY node_id), '[]') FROM node
""")
_READ_RATES = text("""
    SELECT coalesce(jsonb_agg(to_jsonb(service_rate) ORDER BY carrier, service, max_distance_km), '[]')
    FROM service_rate
""")
_READ_ITEMS = text("""
    SELECT i.*, (SELECT jsonb_agg(jsonb_build_object(
                    'sku', p.sku, 'quantity', c.quantity, 'price_minor', p.price_minor) ORDER BY p.sku)
                 FROM bundle_component c JOIN item p ON p.sku = c.component_sku
                 WHERE c.bundle_sku = i.sku) AS components
    FROM item i WHERE i.sku = ANY(:skus)
""")
_SAVE_NODES = text("""
    INSERT INTO node (node_id, name, node_type, partner_id, place, calendar, handling_days, daily_units,
                      handling_order_minor, handling_unit_minor, dropship_fee_minor, ship_enabled,
                      pickup_enabled)
    SELECT node_id, name, node_type, partner_id, place, calendar, handling_days, daily_units,
           handling_order_minor, handling_unit_minor, dropship_fee_minor, ship_enabled, pickup_enabled
    FROM jsonb_populate_recordset(NULL::node, CAST(:rows AS jsonb))
    ON CONFLICT (node_id) DO UPDATE SET
        name = excluded.name, node_type = excluded.node_type, partner_id = excluded.partner_id,
        place = excluded.place, calendar = excluded.calendar, handling_days = excluded.handling_days,
        daily_units = excluded.daily_units, handling_order_minor = excluded.handling_order_minor,
        handling_unit_minor = excluded.handling_unit_minor, dropship_fee_minor = excluded.dropship_fee_minor,
        ship_enabled = excluded.ship_enabled, pickup_enabled = excluded.pickup_enabled
""")
_SWITCH = text("""
    UPDATE node SET ship_enabled = coalesce(CAST(:ship AS boolean), ship_enabled),
                    pickup_enabled = coalesce(CAST(:pickup AS boolean), pickup_enabled)
    WHERE node_id = :node_id RETURNING node_id, ship_enabled, pickup_enabled
""")
_SAVE_RATES = text("""
    INSERT INTO service_rate SELECT * FROM jsonb_populate_recordset(NULL::service_rate, CAST(:rows AS jsonb))
    ON CONFLICT (carrier, service, max_distance_km) DO UPDATE SET
        level = excluded.level, breaks = excluded.breaks, transit_days = excluded.transit_days, zone = excluded.zone
""")
_SAVE_PARTNERS = text("""
    INSERT INTO partner SELECT * FROM jsonb_populate_recordset(NULL::partner, CAST(:rows AS jsonb))
    ON CONFLICT (partner_id) DO UPDATE SET kind = excluded.kind, base_url = excluded.base_url, quotes = excluded.quotes,
        connector = excluded.connector, edi_id = excluded.edi_id, edi_sender_id = excluded.edi_sender_id
""")
_SAVE_ITEMS = text("""
    INSERT INTO item SELECT * FROM jsonb_populate_recordset(NULL::item, CAST(:rows AS jsonb))
    ON CONFLICT (sku) DO UPDATE SET
        name = excluded.name, weight_g = excluded.weight_g, length_mm = excluded.length_mm,
        width_mm = excluded.width_mm, height_mm = excluded.height_mm, price_minor = excluded.price_minor,
        cost_minor = excluded.cost_minor, currency = excluded.currency, own_container = excluded.own_container
""")
_SAVE_OFFERS = text("""
    INSERT INTO source_offer SELECT * FROM jsonb_populate_recordset(NULL::source_offer, CAST(:rows AS jsonb))
    ON CONFLICT (node_id, sku) DO UPDATE SET
        partner_sku = excluded.partner_sku, cost_minor = excluded.cost_minor,
        pack_size = excluded.pack_size, lead_days = excluded.lead_days
""")
_SAVE_SAFETY = text("""
    UPDATE stock_position p SET safety = s.safety
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS s(node_id text, sku text, safety bigint)
    WHERE p.node_id = s.node_id AND p.sku = s.sku
""")


def _rows(models: Iterable[Any]) -> dict[str, str]:
    return {"rows": json.dumps([model.model_dump(mode="json") for model in models])}


class Switches(Model):
    """Whether a node ships, and whether customers may fetch their orders there."""

    node_id: str
    ship_enabled: bool
    pickup_enabled: bool


async def read_nodes(connection: AsyncConnection) -> tuple[Node, ...]:
    return _NODES.validate_python((await connection.execute(_READ_NODES)).scalar_one())


async def read_rates(connection: AsyncConnection) -> tuple[ServiceRate, ...]:
    return _RATES.validate_python((await connection.execute(_READ_RATES)).scalar_one())


async def read_partners(connection: AsyncConnection) -> dict[str, PartnerEndpoint]:
    rows = await connection.execute(text("SELECT * FROM partner"))
    return {row.partner_id: PartnerEndpoint.model_validate(dict(row._mapping)) for row in rows}


async def read_items(connection: AsyncConnection, skus: Sequence[str]) -> dict[str, SoldItem]:
    """The named items that exist, by SKU, bundles with their components."""
    rows = await connection.execute(_READ_ITEMS, {"skus": list(skus)})
    return {row.sku: _sold(dict(row._mapping)) for row in rows}


def _sold(row: dict[str, Any]) -> SoldItem:
    components = tuple(Component.model_construct(**part) for part in row["components"] or ())
    return SoldItem.model_construct(**(row | {"components": components}))


async def save_partners(connection: AsyncConnection, partners: Iterable[PartnerEndpoint]) -> None:
    await connection.execute(_SAVE_PARTNERS, _rows(partners))


async def save_nodes(connection: AsyncConnection, nodes: Iterable[Node]) -> None:
    await connection.execute(_SAVE_NODES, _rows(nodes))


async def switch(connection: AsyncConnection, node_id: str, *, ship: bool | None, pickup: bool | None) -> Switches:
    """Let a node ship and hand over, or not; ``None`` leaves it as it is.

    Raises:
        NotFound: there is no such node.
    """
    row = (await connection.execute(_SWITCH, {"node_id": node_id, "ship": ship, "pickup": pickup})).one_or_none()
    if row is None:
        raise NotFound(f"there is no node {node_id}", node_id=node_id)
    return Switches.model_validate(dict(row._mapping))


async def save_rates(connection: AsyncConnection, rates: Iterable[ServiceRate]) -> None:
    await connection.execute(_SAVE_RATES, _rows(rates))


async def save_items(connection: AsyncConnection, items: Iterable[Item]) -> None:
    await connection.execute(_SAVE_ITEMS, _rows(items))


async def save_offers(connection: AsyncConnection, offers: Iterable[SourceOffer]) -> None:
    await connection.execute(_SAVE_OFFERS, _rows(offers))


async def save_safety(connection: AsyncConnection, safety: Iterable[dict[str, Any]]) -> None:
    """Set how many units of a position are never offered; rows of ``node_id``, ``sku``, ``safety``."""
    await connection.execute(_SAVE_SAFETY, {"rows": json.dumps(list(safety))})
