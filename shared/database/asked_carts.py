"""Carts as the planner sees them, read before it is asked where their units may come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import network, policies
from shared.database.snapshots import read_snapshot, wanted_lines
from shared.domain.bundles import stock_units
from shared.domain.carts import Cart
from shared.domain.catalogue import SoldItem
from shared.domain.network import Place
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder, WantedLine
from shared.errors import Fault, InvalidInput


class AskedCart(NamedTuple):
    """One line for each item that has stock, components for bundles.

    Attributes:
        items: What the cart itself names.
    """

    lines: tuple[WantedLine, ...]
    items: Mapping[str, SoldItem]
    currency: str

    @property
    def skus(self) -> list[str]:
        return [line.sku for line in self.lines]

    def order(self, channel: str, ship_to: Place) -> SourcingOrder:
        """An order of it, by the slowest service."""
        return SourcingOrder(order_id="cart", channel=channel, ship_to=ship_to, lines=self.lines)


async def read_cart(connection: AsyncConnection, lines: Sequence[tuple[str, int]]) -> AskedCart:
    """What lines of (SKU, quantity) come to.

    Raises:
        InvalidInput: an item is unknown, or the items are sold in different currencies.
    """
    items = await network.read_items(connection, sorted({sku for sku, _ in lines}))
    wanted_lines([(n, sku, quantity) for n, (sku, quantity) in enumerate(lines, start=1)], items)
    currencies = sorted({item.currency for item in items.values()})
    if len(currencies) > 1:
        message = f"the items are sold in {' and '.join(currencies)}"
        raise InvalidInput([Fault(pointer="/lines", code="wrong_currency", message=message)])
    units = stock_units(lines, items)
    components = sorted(units.keys() - items.keys())
    stocked = items | (await network.read_items(connection, components) if components else {})
    wanted = wanted_lines([(n, sku, quantity) for n, (sku, quantity) in enumerate(units.items(), start=1)], stocked)
    return AskedCart(wanted, items, currencies[0])


async def read_question(
    connection: AsyncConnection, cart: Cart, ship_to: Place, as_of: datetime
) -> tuple[AskedCart, Policy, Snapshot]:
    """The cart, the policy in force, and all the planner may know of them.

    Raises:
        InvalidInput: as ``read_cart``.
    """
    asked = await read_cart(connection, [(line.sku, line.quantity) for line in cart.lines])
    policy = (await policies.active_version(connection)).sourcing
    seen = await read_snapshot(
        connection, asked.skus, as_of, channel=cart.channel, ship_to=ship_to, currency=asked.currency
    )
    return asked, policy, seen
