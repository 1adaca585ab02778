"""What prices are worked out from, and what they come to.

A price is what later orders are expected to lose by one unit less: of stock at a node until its next supply, or
of what a node can ship on a day. Prices are thousandths of a minor unit, as the policy weighs costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, NamedTuple

from pydantic import Field

from shared.domain.base import Identifier, Instant, Model, Sku
from shared.domain.catalogue import Item
from shared.domain.network import Place
from shared.domain.sourcing.models import DayPrice, Policy, Snapshot

#: Thousandths of a minor unit.
Milli = Annotated[int, Field(gt=0)]
MILLI = 1000


class Kind(NamedTuple):
    """Orders alike: what they want, and the region it goes to.

    Attributes:
        place: The middle of the region's orders.
        items: (SKU, units) of one order, by SKU.
        by_age: Orders by age of the day they came, see ``forecast``.
    """

    region: str
    place: Place
    items: tuple[tuple[str, int], ...]
    by_age: Mapping[int, int]


class Outlook(NamedTuple):
    """Everything that prices depend on.

    Attributes:
        snapshot: Stock, network and loads now, without prices.
        history_days: How many days demand was looked back at.
        units: Units by SKU and age of the day they were ordered.
        kinds: Orders of which some item may run short, or all of them where a day may.
        supply: When more is expected, by (node, SKU).
        horizon_days: Demand counts this far, or to the next supply.
    """

    snapshot: Snapshot
    policy: Policy
    items: Mapping[str, Item]
    history_days: int
    units: Mapping[str, Mapping[int, int]]
    kinds: tuple[Kind, ...]
    supply: Mapping[tuple[str, str], datetime]
    horizon_days: int


class StockPrice(Model):
    """Price of a unit of an item at a node."""

    node_id: Identifier
    sku: Sku
    unit_milli: Milli


class ShippingPrice(Model):
    """Price of a unit that a node ships on a day of its own calendar."""

    node_id: Identifier
    day: date
    unit_milli: Milli


class PriceList(Model):
    """The prices that are above zero.

    Attributes:
        orders: Orders the prices look at until the horizon, of ``kinds`` kinds.
        merged: Of these, orders taken apart into single units because there were too many kinds.
        cost_minor: What those orders are expected to cost at best, as the policy weighs it.
        doubted: SKUs whose prices are lower than the duals because demand did not come as forecast.
    """

    stock: tuple[StockPrice, ...] = ()
    days: tuple[ShippingPrice, ...] = ()
    orders: float = 0.0
    kinds: int = 0
    merged: float = 0.0
    cost_minor: int = 0
    doubted: tuple[str, ...] = ()


class PriceVersion(PriceList):
    """A price list as it was kept; it never changes.

    Attributes:
        expires_at: From then on planners ignore it: nobody has looked at the world for too long.
        inputs_hash: SHA-256 of everything the prices were worked out from.
    """

    version: str
    created_at: Instant
    expires_at: Instant
    horizon_days: int
    policy_version: str
    inputs_hash: str

    @classmethod
    def of(cls, prices: PriceList, outlook: Outlook, inputs_hash: str, expires_at: datetime) -> PriceVersion:
        """The version named by when it was worked out, and from what."""
        created_at = outlook.snapshot.as_of
        return cls(
            **dict(prices),
            version=f"{created_at:%Y%m%dT%H%M%S}-{inputs_hash[:8]}",
            created_at=created_at,
            expires_at=expires_at,
            horizon_days=outlook.horizon_days,
            policy_version=outlook.policy.version,
            inputs_hash=inputs_hash,
        )


class Prices:
    """One version's prices as a planner asks for them, in minor units.

    A frozen lookup, remembered between plans; ``NO_PRICES`` stands for none.
    """

    def __init__(self, version: str | None, expires_at: datetime | None, kept: PriceList) -> None:
        self.version, self._expires_at = version, expires_at
        self._stock = {(price.node_id, price.sku): minor(price.unit_milli) for price in kept.stock}
        self.days = tuple(
            DayPrice(node_id=price.node_id, day=price.day, unit_minor=minor(price.unit_milli)) for price in kept.days
        )

    def at(self, moment: datetime) -> Prices:
        """These prices, or none when they are stale."""
        return self if self._expires_at is not None and moment < self._expires_at else NO_PRICES

    def put_on(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with these prices."""
        if self.version is None:
            return snapshot
        stock = tuple(
            row.model_copy(update={"scarcity_minor": price})
            if (price := self._stock.get((row.node_id, row.sku)))
            else row
            for row in snapshot.stock
        )
        return snapshot.model_copy(update={"stock": stock, "day_prices": self.days, "price_version": self.version})


class PriceSpan(NamedTuple):
    """Prices, and the time in which planners saw them: ``ends`` is when they were stale, or others came."""

    begins: datetime
    ends: datetime
    prices: Prices


def minor(milli: int) -> int:
    """A price in whole minor units, halves up."""
    return (milli + MILLI // 2) // MILLI


NO_PRICES = Prices(None, None, PriceList())
