"""What a channel may show of an item: its stock, less what is kept for others, shaped by its allocation.

A channel's *pool* is a standing level, not a budget: as long as there is stock, that many units are there for
it alone, wherever they lie (``shared.domain.pools``); what no pool holds is common. More stock never shows less of it,
in any channel.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import Field

from shared.domain.base import Identifier, Instant, Model, Sku
from shared.domain.pools import Pool, Pooled, fill_pools, takeable

#: Units shown of a stock, by node.
Sell = Callable[[Mapping[str, int]], int]
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


class InStock(Model):
    """What a channel counts as in stock, from a moment on. Where orders ship from is not decided here.

    Attributes:
        effective_at: From when; ``None`` is from now.
        counts_supplier: Whether what vendors say they have counts.
        future_days: How many days ahead supply that is to come may be sold; 0 counts what is there alone.
        threshold: Fewer units than this are shown as none.
    """

    channel: Identifier
    effective_at: Instant | None = None
    counts_supplier: bool = True
    future_days: Annotated[int, Field(ge=0, le=365)] = 0
    threshold: Units = 0


class Dated(Model):
    """Units that may be sold as well from a moment on."""

    at: Instant
    units: int


class Arrival(NamedTuple):
    """Units of an item that come to a node, and that nobody waits for."""

    at: datetime
    node_id: str
    units: int


def _sells_common(allocation: Allocation | None) -> bool:
    return allocation is None or allocation.pool is None or allocation.fall_through


def shown(common: int, pooled: int = 0, allocation: Allocation | None = None) -> int:
    """Units a channel shows, of what is common at its nodes and what its pool holds."""
    if allocation is None:
        return common
    sold = common * allocation.percent // 100 if _sells_common(allocation) else 0
    units = pooled + sold - allocation.buffer
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
        eligible: The nodes the channel sells from, of those whose stock it counts.
        pools: Every channel's pool of this item, its own among them, in the order of rank.
    """
    held = fill_pools(stock, pools)
    units = takeable(stock, [pool for pool in held if pool.channel != channel], eligible)
    pooled = min(units, sum(pool.units for pool in held if pool.channel == channel))
    return shown(units - pooled, pooled, allocation)


def reaching(threshold: int, units: int) -> int:
    """Units where there are as many as the threshold, else none."""
    return units if units >= threshold else 0


def coming(arrivals: Iterable[Arrival], stock: Mapping[str, int], now: int, sell: Sell) -> tuple[Dated, ...]:
    """What may be sold beyond what may be sold now: as much as would be shown were the units there.

    Args:
        arrivals: In the order of their moments.
        stock: Free units by node.
        now: Units shown of that stock.
        sell: Units shown of a stock; more stock must never show less.
    """
    by_then, shown_by, told = dict(stock), now, list[Dated]()
    for at, group in itertools.groupby(arrivals, key=lambda arrival: arrival.at):
        for _, node_id, units in group:
            by_then[node_id] = by_then.get(node_id, 0) + units
        if (more := sell(by_then) - shown_by) > 0:
            told.append(Dated.model_construct(at=at, units=more))
            shown_by += more
    return tuple(told)


def of_bundle(parts: Sequence[tuple[int, Sequence[Dated], int]]) -> tuple[int, tuple[Dated, ...]]:
    """What may be sold of a bundle, now and later, as its scarcest component allows.

    Args:
        parts: Of each component what may be sold now, what later, and how many the bundle holds.
    """

    def by(moment: datetime | None) -> int:
        return min(
            (now + sum(more.units for more in later if moment is not None and more.at <= moment)) // quantity
            for now, later, quantity in parts
        )

    units = shown_by = by(None)
    told: list[Dated] = []
    for at in sorted({more.at for _, later, _ in parts for more in later}):
        if (more_units := by(at) - shown_by) > 0:
            told.append(Dated.model_construct(at=at, units=more_units))
            shown_by += more_units
    return units, tuple(told)


class Rules:
    """Every channel's allocations and nodes: which pools there are of an item, and what they keep from whom.

    Args:
        allocations: In the order of the channels' rank; an item's own goes before its channel's.
        eligible: The nodes that ship for each channel with an allocation.
    """

    def __init__(self, allocations: Iterable[Allocation], eligible: Mapping[str, frozenset[str]]) -> None:
        self._eligible = eligible
        self._by_channel: dict[str, dict[str | None, Allocation]] = {}
        for each in allocations:
            self._by_channel.setdefault(each.channel, {})[each.sku] = each
        self._pooled = [
            channel for channel, each in self._by_channel.items() if any(rule.pool for rule in each.values())
        ]

    def allocation(self, channel: str, sku: str) -> Allocation | None:
        own = self._by_channel.get(channel, {})
        return own.get(sku) or own.get(None)

    def pools(self, sku: str) -> list[Pool]:
        """Every channel's pool of an item, in the order of rank."""
        return [
            Pool.model_construct(channel=channel, units=own.pool, nodes=self._eligible.get(channel, frozenset()))
            for channel in self._pooled
            if (own := self.allocation(channel, sku)) is not None and own.pool
        ]

    def pooled(self, channel: str, sku: str) -> Pooled | None:
        """What is kept of an item, as a channel meets it; ``None`` where it may take all there is."""
        sells_common = _sells_common(self.allocation(channel, sku))
        pooled = Pooled(sku=sku, channel=channel, pools=tuple(self.pools(sku)), sells_common=sells_common)
        return pooled if pooled.binds else None


#: Nothing is kept for anybody.
NO_RULES = Rules((), {})
