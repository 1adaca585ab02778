"""The demo's orders: plausible, endless, and the same for the same seed.

ZIP codes, cities and states are real; people and streets are not. Tax rates are rough and made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import accumulate
from random import Random
from typing import TypeVar

from shared.domain.catalogue import Item
from shared.domain.network import Place
from shared.domain.orders import Address, OrderDocument, OrderLine, PaymentMethod, ServiceLevel
from workers.demo.places import us_places
from workers.demo.world import World

_T = TypeVar("_T")

#: Share of orders whose token the payment provider never accepts, and of those it accepts at the second try.
DECLINED, DECLINED_ONCE = 0.02, 0.02

_FIRST = ("Ada", "Bruno", "Carmen", "Dmitri", "Esi", "Farah", "Goran", "Hana", "Ines", "Jonas", "Keiko", "Liam",
          "Mei", "Noor", "Omar", "Priya", "Quinn", "Rosa", "Sven", "Thandi", "Uma", "Yara", "Zoë")  # fmt: skip
_LAST = ("Abara", "Brightwater", "Castellano", "Dunmore", "Eriksen", "Fairweather", "Greenhalgh", "Hollis", "Ito",
         "Jaworski", "Kettleby", "Lind", "Marchetti", "Nakamura", "Okonkwo", "Pemberton", "Quillfeather", "Rossi",
         "Sandoval", "Tremblay", "Underhill", "Vance", "Whitlock", "Yilmaz", "Ziegler")  # fmt: skip
_STREETS = ("Acorn Lane", "Birch Street", "Clover Road", "Dogwood Drive", "Elm Court", "Foxglove Way", "Hickory Place",
            "Juniper Avenue", "Larch Close", "Mulberry Street", "Orchard Road", "Willow Bend")  # fmt: skip

_CHANNELS = {"webshop": ("W", 70), "market": ("M", 22), "store-pos": ("P", 8)}
_LINES = {1: 46, 2: 24, 3: 13, 4: 8, 5: 5, 6: 4}
_QUANTITIES = {1: 79, 2: 14, 3: 4, 4: 2, 6: 1}
_SERVICES = {ServiceLevel.STANDARD: 82, ServiceLevel.EXPEDITED: 13, ServiceLevel.OVERNIGHT: 5}
_SHIPPING_MINOR = {ServiceLevel.STANDARD: 595, ServiceLevel.EXPEDITED: 1495, ServiceLevel.OVERNIGHT: 2995}
_PRIORITIES = {1: 2, 2: 8, 3: 75, 4: 10, 5: 5}
_FREE_SHIPPING_FROM_MINOR = 4900
_NO_SALES_TAX = frozenset(["AK", "DE", "MT", "NH", "OR"])


def make_orders(
    world: World, n: int, seed: int, start: datetime, *, mean_gap: timedelta = timedelta(seconds=20)
) -> Iterator[OrderDocument]:
    """``n`` orders from ``start`` on, one after the other, ``mean_gap`` apart on average."""
    rng = Random(f"orders/{world.seed}/{seed}")
    shelf = _Shelf(world.items, Random(f"popularity/{world.seed}"))
    at = start
    for number in range(1, n + 1):
        at += timedelta(seconds=round(rng.expovariate(1 / mean_gap.total_seconds())))
        yield _order(rng, shelf, seed, number, at)


class _Shelf:
    """The items by popularity: a few sell all the time, most seldom (Zipf)."""

    def __init__(self, items: tuple[Item, ...], rng: Random) -> None:
        self._items = rng.sample(items, k=len(items))
        self._weights = list(accumulate(1 / (rank + 12) for rank in range(len(items))))

    def pick(self, rng: Random, count: int) -> list[Item]:
        return rng.choices(self._items, cum_weights=self._weights, k=count)


def _order(rng: Random, shelf: _Shelf, seed: int, number: int, at: datetime) -> OrderDocument:
    channel = _one_of(rng, {name: weight for name, (_, weight) in _CHANNELS.items()})
    place = rng.choice(us_places())
    order_id = f"{_CHANNELS[channel][0]}{seed}-{number:06d}"
    lines = _lines(rng, shelf.pick(rng, _one_of(rng, _LINES)), place.region)
    service = _one_of(rng, _SERVICES)
    goods = sum(line.quantity * line.unit_price_minor - line.discount_minor for line in lines)
    free = service is ServiceLevel.STANDARD and goods >= _FREE_SHIPPING_FROM_MINOR
    return OrderDocument(
        channel=channel,
        channel_order_id=order_id,
        placed_at=at,
        currency="USD",
        customer_ref=f"C{rng.randint(1, 50_000):05d}",
        ship_to=make_address(rng, place),
        lines=lines,
        shipping_minor=0 if free else _SHIPPING_MINOR[service],
        service=service,
        priority=_one_of(rng, _PRIORITIES),
        payment=PaymentMethod(kind=rng.choice(("card", "card", "wallet")), token=_token(rng, order_id)),
    )


def make_address(rng: Random, place: Place) -> Address:
    """An invented person in an invented street of a real town. The telephone numbers are reserved for fiction."""
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    return Address(
        name=f"{first} {last}",
        line1=f"{rng.randint(1, 980)} {rng.choice(_STREETS)}",
        line2=f"Apt {rng.randint(1, 40)}" if rng.random() < 0.2 else "",
        city=place.city,
        region=place.region,
        postal_code=place.postal_code,
        country=place.country,
        phone=f"555-01{rng.randint(0, 99):02d}",
        email=f"{first}.{last}@example.com".lower().replace("ë", "e"),
    )


def _lines(rng: Random, items: list[Item], region: str) -> tuple[OrderLine, ...]:
    # Basis points; the same in one state for every order.
    rate = 0 if region in _NO_SALES_TAX else 400 + (ord(region[0]) * 31 + ord(region[1]) * 7) % 55 * 10
    return tuple(_line(rng, number, item, rate) for number, item in enumerate(items, start=1))


def _line(rng: Random, number: int, item: Item, rate: int) -> OrderLine:
    quantity = _one_of(rng, _QUANTITIES)
    price = quantity * item.price_minor
    discount = price * rng.choice((5, 10, 15, 25)) // 100 if rng.random() < 0.15 else 0
    return OrderLine(
        line_no=number,
        sku=item.sku,
        quantity=quantity,
        unit_price_minor=item.price_minor,
        discount_minor=discount,
        tax_minor=((price - discount) * rate + 5000) // 10_000,
    )


def _token(rng: Random, order_id: str) -> str:
    draw = rng.random()
    if draw < DECLINED:
        return "tok_declined"
    # The provider declines each such token once, so every order has its own.
    return f"tok_decline_once-{order_id}" if draw < DECLINED + DECLINED_ONCE else f"tok_ok-{order_id}"


def _one_of(rng: Random, weights: dict[_T, int]) -> _T:
    return rng.choices(list(weights), weights=list(weights.values()))[0]
