"""A network and stock for a retailer's invoice file, which has neither.

The articles, their descriptions, prices and how much of each was sold are the file's. Everything else is
**constructed** from the seed: a US network for UK baskets, weights and sizes guessed from prices, stock as a
share of what the file sold, the demo's made-up rate card read as pence. Figures from it say how the software
behaves, nothing about the retailer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from random import Random
from statistics import median_low

from shared.domain.base import Minor, Model, OptionalText, Sku
from shared.domain.catalogue import Item, SourceOffer
from shared.domain.money import allocate
from workers.demo.network import demo_nodes, rate_card
from workers.demo.retail_rows import CURRENCY, Row, price_of, read_rows, refuse_goods, refuse_sale
from workers.demo.world import SHELF_UNITS, StockRow, World, partners_of

#: How the supply of one article is shared out, most of it lies at several places.
_SPREADS: tuple[tuple[int, dict[str, int]], ...] = (
    (45, {"wh-columbus": 5, "3pl-reno": 3, "vendor": 2}),
    (15, {"wh-columbus": 4, "3pl-reno": 3, "store-chicago": 1, "store-austin": 1}),
    (12, {"wh-columbus": 1}),
    (12, {"3pl-reno": 1}),
    (13, {"vendor": 1}),
    (3, {}),
)


class Article(Model):
    """What the file says of one stock code.

    Attributes:
        description: The one most rows have.
        price_minor: Median of the prices it was sold at.
        units: Units sold in the whole file.
    """

    sku: Sku
    description: OptionalText = ""
    price_minor: Minor
    units: int


def read_catalogue(path: Path) -> tuple[Article, ...]:
    """Every article the file sells, by SKU. Reads the whole file, so that any replay of it finds its items."""
    names: dict[str, Counter[str]] = defaultdict(Counter)
    prices: dict[str, list[int]] = defaultdict(list)
    units: Counter[str] = Counter()
    for row in read_rows(path):
        if isinstance(row, Row) and not row.cancels and refuse_goods(row) is None and refuse_sale(row) is None:
            names[row.sku][row.description] += 1
            prices[row.sku].append(price_of(row) or 0)
            units[row.sku] += row.quantity
    return tuple(
        Article(sku=sku, description=_name(names[sku]), price_minor=median_low(prices[sku]), units=units[sku])
        for sku in sorted(units)
    )


def constructed_world(catalogue: Iterable[Article], seed: int = 7, *, cover: float = 1.0) -> World:
    """Put the articles somewhere.

    Args:
        cover: Units in stock for each unit the file sold, on average; below 1 more orders wait.
    """
    nodes = demo_nodes()
    vendors = [node.node_id for node in nodes if node.node_id.startswith("vnd-")]
    items: list[Item] = []
    stock: list[StockRow] = []
    for article in catalogue:
        rng = Random(f"retail-world/{seed}/{article.sku}")
        items.append(_item(rng, article))
        stock += _stock(rng, article, rng.choice(vendors), cover)
    costs = {item.sku: item.cost_minor for item in items}
    return World(
        seed=seed,
        nodes=nodes,
        items=tuple(items),
        offers=tuple(_offer(row, costs[row.sku]) for row in stock),
        stock=tuple(stock),
        rates=rate_card(),
        partners=partners_of(nodes),
    )


def _name(names: Counter[str]) -> str:
    """The most frequent description, the first in the alphabet on a tie."""
    modal = min(names, key=lambda name: (-names[name], name))
    return "".join(ch for ch in modal if ch.isprintable())[:200]


def _item(rng: Random, article: Article) -> Item:
    # A pound buys some 150 g of giftware; a kilogram takes some 4 litres.
    weight = max(20, min(15_000, article.price_minor * rng.randint(80, 220) // 100))
    side = max(30, round((weight * 4000) ** (1 / 3)))
    return Item(
        sku=article.sku,
        name=article.description,
        weight_g=weight,
        length_mm=side * rng.randint(90, 150) // 100,
        width_mm=side,
        height_mm=side * rng.randint(40, 100) // 100,
        price_minor=article.price_minor,
        cost_minor=article.price_minor * rng.randint(40, 60) // 100,
        currency=CURRENCY,
    )


def _stock(rng: Random, article: Article, vendor: str, cover: float) -> list[StockRow]:
    shares = rng.choices([spread for _, spread in _SPREADS], weights=[weight for weight, _ in _SPREADS])[0]
    if not shares:
        return []
    supply = 1 + round(article.units * cover * rng.uniform(0.5, 1.5))
    parts = allocate(supply, list(shares.values()))
    rows = zip((vendor if name == "vendor" else name for name in shares), parts, strict=True)
    return [
        StockRow(node_id=node_id, sku=article.sku, on_hand=units, safety=_safety(node_id, units))
        for node_id, units in rows
        if units
    ]


def _safety(node_id: str, units: int) -> int:
    return min(SHELF_UNITS, units) if node_id.startswith("store-") else 0


def _offer(row: StockRow, cost: int) -> SourceOffer:
    vendor = row.node_id.startswith("vnd-")
    return SourceOffer(
        node_id=row.node_id,
        sku=row.sku,
        partner_sku=f"{row.node_id[4:7].upper()}-{row.sku}"[:64] if vendor else row.sku,
        cost_minor=cost * 112 // 100 if vendor else cost,
        lead_days=5 if vendor else 0,
    )
