"""Which lanes are closed, what customs ask, and what is known of items for both."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.trade import NO_TRADE, ItemTrade, Trade, TradeRules

_ITEMS = TypeAdapter(tuple[ItemTrade, ...])
_RULES = text("""
    SELECT jsonb_build_object(
        'lanes', (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY node_id, country, region, carrier, service), '[]')
                  FROM lane_rule r WHERE closed_to <> 'nothing'),
        'customs', (SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY country, hs_prefix), '[]') FROM customs_rule c),
        'any_items', EXISTS (SELECT FROM item_trade))
""")
_OF_ITEMS = text("""
    SELECT coalesce(jsonb_agg(to_jsonb(i) ORDER BY sku), '[]') FROM item_trade i WHERE sku = ANY(:skus)
""")


async def read_rules(connection: AsyncConnection) -> TradeRules:
    """The rules of every lane."""
    return TradeRules.model_validate((await connection.execute(_RULES)).scalar_one())


async def read_for(connection: AsyncConnection, rules: TradeRules, skus: Collection[str]) -> Trade:
    """The rules with what is known of these items; asks nothing where nothing was ever said."""
    if not rules.bind:
        return NO_TRADE
    rows = (await connection.execute(_OF_ITEMS, {"skus": sorted(skus)})).scalar_one() if rules.any_items else ()
    return Trade(rules=rules, items=_ITEMS.validate_python(rows))


async def read_trade(connection: AsyncConnection, skus: Collection[str]) -> Trade:
    """Rules and items, read anew."""
    return await read_for(connection, await read_rules(connection), skus)
