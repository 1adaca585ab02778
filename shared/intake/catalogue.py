"""Whether what was ordered is sold, and in this currency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.domain.catalogue import Item
from shared.domain.orders import OrderDocument
from shared.errors import Fault


def check_catalogue(document: OrderDocument, items: Mapping[str, Item]) -> list[Fault]:
    """Every line whose item is unknown or priced in another currency than the order."""
    return list(_faults(document, items))


def _faults(document: OrderDocument, items: Mapping[str, Item]) -> Iterator[Fault]:
    for index, line in enumerate(document.lines):
        item = items.get(line.sku)
        pointer = f"/lines/{index}/sku"
        if item is None:
            yield Fault(pointer=pointer, code="unknown_sku", message="no such item in the catalogue")
        elif item.currency != document.currency:
            message = f"the item is sold in {item.currency}, the order is in {document.currency}"
            yield Fault(pointer=pointer, code="wrong_currency", message=message)
