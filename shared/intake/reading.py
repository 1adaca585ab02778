"""From a request's body to order documents."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

from shared.domain.orders import OrderDocument
from shared.errors import Fault, InvalidInput
from shared.gateways.channels import shopify
from shared.intake.cards import card_faults
from shared.intake.checks import raw_faults
from shared.intake.strict_json import MAX_FAULTS, Parsed, bounded, parse
from shared.intake.validation import validate

Source = Literal["doms", "shopify", "auto"]


def read_orders(body: bytes, *, source: Source = "doms", shopify_channel: str = "shopify") -> list[OrderDocument]:
    """The orders in a body: one, an array of them, or JSON Lines.

    Args:
        source: Whose layout the body has; ``auto`` looks at each order.
        shopify_channel: The channel Shopify's orders belong to; a merchant may have several shops.

    Raises:
        InvalidInput: with every fault of every order, at most ``MAX_FAULTS`` and a last one that says
            that there are more. Nothing of the body may be used then.
    """
    parsed = parse(body)
    orders: list[OrderDocument] = []
    faults = list(parsed.faults)
    for place, value in parsed.documents:
        read = _read(value, source, shopify_channel)
        if isinstance(read, OrderDocument):
            orders.append(read)
        else:
            faults += _placed(read, place, parsed)
        if len(faults) > MAX_FAULTS:
            break
    if faults:
        raise InvalidInput(bounded(faults))
    return orders


def _read(value: Any, source: Source, shopify_channel: str) -> OrderDocument | list[Fault]:
    if source == "shopify" or (source == "auto" and shopify.looks_like_order(value)):
        return _read_shopify(value, shopify_channel)
    return _checked(value)


def _read_shopify(value: Any, channel: str) -> OrderDocument | list[Fault]:
    mapped = shopify.map_order(value, channel=channel)
    faults = [*mapped.faults]
    for pointer, text in mapped.free_text:
        faults += card_faults(text, pointer)
    if mapped.document is None:
        return faults
    checked = _checked(mapped.document)
    if isinstance(checked, list):
        told = {fault.pointer for fault in faults}
        moved = [fault.model_copy(update={"pointer": mapped.origin(fault.pointer)}) for fault in checked]
        return faults + [fault for fault in moved if fault.pointer not in told]
    return faults or checked


def _checked(value: Any) -> OrderDocument | list[Fault]:
    document = validate(value)
    special = list(islice(raw_faults(value), MAX_FAULTS + 1)) if isinstance(value, dict) else []
    if isinstance(document, OrderDocument):
        return special or document
    faults = {(fault.pointer, fault.code): fault for fault in [*special, *document]}
    return list(faults.values()) or [Fault(pointer="", code="invalid", message="not an order document")]


def _placed(faults: list[Fault], place: str, parsed: Parsed) -> Iterator[Fault]:
    """The faults with pointers into the body, without those that only repeat what the JSON's own faults say."""
    for fault in faults:
        pointer = place + fault.pointer
        if pointer not in parsed.unreadable:
            yield fault.model_copy(update={"pointer": pointer})
