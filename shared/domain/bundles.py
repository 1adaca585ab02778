"""Items sold as bundles of others: what their lines come to in stock and in money."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from shared.domain.base import Model
from shared.domain.catalogue import Component, SoldItem
from shared.domain.money import allocate
from shared.domain.orders import OrderLine


class StockLine(Model):
    """A line of items that have stock.

    Attributes:
        total_minor: What the customer pays, tax included.
        bundle_line_no: The line of the bundle that these units are a component of.
    """

    line_no: int
    sku: str
    quantity: int
    unit_price_minor: int
    total_minor: int
    tax_minor: int = 0
    bundle_line_no: int | None = None


def stock_lines(lines: Sequence[OrderLine], items: Mapping[str, SoldItem]) -> list[StockLine]:
    """An order's lines, each of a bundle replaced by one for each component, numbered after the channel's own.

    The components' totals add up to the bundle's line exactly, and without discount and tax those of every single
    bundle do, so that bundles can be cancelled one by one to the cent.
    """
    kept: list[StockLine] = []
    number = max(line.line_no for line in lines)
    for line in lines:
        components = items[line.sku].components
        parts = _components(line, components, number) if components else [_plain(line)]
        number += len(components)
        kept += parts
    return kept


def _plain(line: OrderLine) -> StockLine:
    return StockLine.model_construct(
        line_no=line.line_no,
        sku=line.sku,
        quantity=line.quantity,
        unit_price_minor=line.unit_price_minor,
        total_minor=line.total_minor,
        tax_minor=line.tax_minor,
    )


def _components(line: OrderLine, components: Sequence[Component], number: int) -> Iterator[StockLine]:
    """A bundle's price goes to its components by their own; discount by that share, tax by what is then left."""
    each = allocate(line.unit_price_minor, [part.price_minor * part.quantity for part in components])
    gross = [price * line.quantity for price in each]
    discount = allocate(line.discount_minor, gross)
    net = [price - less for price, less in zip(gross, discount, strict=True)]
    tax = allocate(line.tax_minor, net)
    for n, part in enumerate(components):
        yield StockLine(
            line_no=number + 1 + n,
            sku=part.sku,
            quantity=line.quantity * part.quantity,
            unit_price_minor=each[n] // part.quantity,
            total_minor=net[n] + tax[n],
            tax_minor=tax[n],
            bundle_line_no=line.line_no,
        )


def stock_units(lines: Iterable[tuple[str, int]], items: Mapping[str, SoldItem]) -> dict[str, int]:
    """Units of items that have stock, by SKU, that lines of (SKU, quantity) come to."""
    units: dict[str, int] = {}
    for sku, quantity in lines:
        for part in items[sku].components or (Component(sku=sku, quantity=1),):
            units[part.sku] = units.get(part.sku, 0) + quantity * part.quantity
    return units


class BundledUnits(Model):
    """One component line of a bundle's line.

    Attributes:
        each: Units of it in one bundle.
        there: Units of it that have neither left nor been cancelled.
    """

    bundle_line_no: int
    line_no: int
    each: int
    there: int


def in_components(wanted: Mapping[int, int], bundled: Sequence[BundledUnits]) -> tuple[dict[int, int], int]:
    """Units to cancel by line, bundles told as their components: only bundles all of whose parts are still there.

    Returns:
        The units by line, and how many of the bundles asked for are no longer whole.
    """
    parts: dict[int, list[BundledUnits]] = {}
    for part in bundled:
        parts.setdefault(part.bundle_line_no, []).append(part)
    units = {line_no: quantity for line_no, quantity in wanted.items() if line_no not in parts}
    too_late = 0
    for line_no in parts.keys() & wanted.keys():
        whole = min(part.there // part.each for part in parts[line_no])
        bundles = min(wanted[line_no], whole)
        too_late += wanted[line_no] - bundles
        for part in parts[line_no]:
            units[part.line_no] = units.get(part.line_no, 0) + bundles * part.each
    return {line_no: quantity for line_no, quantity in units.items() if quantity}, too_late
