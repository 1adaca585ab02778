"""What a channel may show of an item: its stock, less what is kept for others, shaped by its allocation.

A channel's *pool* is a standing level, not a budget: as long as there is stock, that many units are there for
it alone. Pools are filled by the channels' rank from the nodes each may sell from, so that together they never
hold more than lies there; what is left is common. More stock never shows less of it, in any channel.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from shared.domain.base import Identifier, Model, Sku

Units = Annotated[int, Field(ge=0, le=10**12)]


class Channel(Model):
    """Where orders come from.

    Attributes:
        rank: The lower goes first when there is not enough for all pools.
        every_node: Whether it sells from every node that ships unless told otherwise, or from none.
        partner_id: Who is told what it may sell, as it changes; ``None`` when the channel asks instead.
    """

    channel: Identifier
    rank: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    every_node: bool = True
    partner_id: Identifier | None = None


class ChannelNode(Model):
    """Whether a channel sells from a node, against what holds for its others."""

    channel: Identifier
    node_id: Identifier
    sells: bool = True


class Allocation(Model):
    """How much of an item a channel shows.

    Attributes:
        sku: Empty for every SKU of the channel that has no allocation of its own.
        pool: Units kept for the channel alone; ``None`` keeps none.
        fall_through: Whether a channel with a pool sells common stock, too.
        percent: The share of common stock it shows.
        buffer: Units it never shows.
        floor: Fewer than this are shown as none.
        cap: It never shows more; ``None`` is no limit.
    """

    channel: Identifier
    sku: Sku | None = None
    pool: Units | None = None
    fall_through: bool = True
    percent: Annotated[int, Field(ge=0, le=100)] = 100
    buffer: Units = 0
    floor: Units = 0
    cap: Units | None = None


class Pool(Model):
    """A channel's claim on units of one item, at the nodes it sells from."""

    channel: str
    units: int
    nodes: frozenset[str]


def fill_pools(stock: Mapping[str, int], pools: Sequence[Pool]) -> tuple[dict[str, int], dict[str, int]]:
    """Fill each pool in turn; returns what each channel's holds, and what is left at each node.

    Args:
        stock: Free units by node.
        pools: In the order of the channels' rank.
    """
    left = {node_id: stock[node_id] for node_id in sorted(stock)}
    held: dict[str, int] = {}
    for pool in pools:
        wanted = pool.units
        for node_id, units in left.items():
            if not wanted:
                break
            if node_id in pool.nodes:
                taken = min(wanted, units)
                left[node_id] = units - taken
                wanted -= taken
        held[pool.channel] = pool.units - wanted
    return held, left


def shown(common: int, pooled: int = 0, allocation: Allocation | None = None) -> int:
    """Units a channel shows, of what is common at its nodes and what its pool holds."""
    if allocation is None:
        return common
    sells_common = allocation.pool is None or allocation.fall_through
    units = pooled + (common * allocation.percent // 100 if sells_common else 0) - allocation.buffer
    if units < max(1, allocation.floor):
        return 0
    return units if allocation.cap is None else min(units, allocation.cap)


def available(
    stock: Mapping[str, int],
    channel: str,
    eligible: Collection[str],
    pools: Sequence[Pool] = (),
    allocation: Allocation | None = None,
) -> int:
    """Units of one item a channel shows.

    Args:
        stock: Free units by node.
        eligible: The nodes the channel sells from.
        pools: Every channel's pool of this item, its own among them, in the order of rank.
    """
    held, left = fill_pools(stock, pools)
    common = sum(units for node_id, units in left.items() if node_id in eligible)
    return shown(common, held.get(channel, 0), allocation)
