from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.orders import Address, OrderDocument, OrderLine, PaymentMethod, ServiceLevel
from shared.errors import Fault, InvalidInput
from shared.intake import read_orders
from shared.intake.cards import holds_card, luhn

_text = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Nd")), min_size=1, max_size=60).filter(
    lambda text: text.strip() == text and bool(text)
)
_identifier = st.from_regex(r"[A-Za-z][A-Za-z0-9._:-]{0,20}", fullmatch=True).filter(lambda t: not holds_card(t))
_addresses = st.builds(
    Address,
    name=_text,
    line1=_text,
    line2=st.just("") | _text,
    city=_text,
    region=st.sampled_from(["OH", "NV", "TX"]),
    postal_code=st.from_regex(r"[0-9]{5}", fullmatch=True),
    country=st.just("US"),
)


@st.composite
def _orders(draw: st.DrawFn) -> OrderDocument:
    numbers = draw(st.lists(st.integers(1, 1_000_000), min_size=1, max_size=8, unique=True))
    lines = []
    for number in numbers:
        quantity, price = draw(st.integers(1, 1_000_000)), draw(st.integers(0, 10_000))
        lines.append(
            OrderLine(
                line_no=number,
                sku=draw(_identifier.map(str.upper)),
                quantity=quantity,
                unit_price_minor=price,
                discount_minor=draw(st.integers(0, quantity * price)),
                tax_minor=draw(st.integers(0, 10_000)),
            )
        )
    return OrderDocument(
        channel=draw(_identifier),
        channel_order_id=draw(_identifier),
        placed_at=draw(st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC))),  # noqa: DTZ001
        currency=draw(st.sampled_from(["USD", "GBP", "JPY"])),
        ship_to=draw(_addresses),
        lines=tuple(lines),
        shipping_minor=draw(st.integers(0, 10**6)),
        service=draw(st.sampled_from(ServiceLevel)),
        priority=draw(st.integers(1, 5)),
        payment=PaymentMethod(token=draw(_identifier)),
    )


@given(st.lists(_orders(), min_size=1, max_size=3))
def test_any_order_document_comes_through_the_door_as_it_is(orders: list[OrderDocument]) -> None:
    assert read_orders(orders[0].model_dump_json().encode()) == [orders[0]]
    assert read_orders(b"\n".join(order.model_dump_json().encode() for order in orders), source="auto") == orders


_json: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text("0123456789 -\ud800\x00"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def _mutate(draw: st.DrawFn, node: Any) -> Any:
    if isinstance(node, dict) and node and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(node)))
        return node | {key: _mutate(draw, node[key])}
    if isinstance(node, list) and node and draw(st.integers(0, 3)):
        place = draw(st.integers(0, len(node) - 1))
        return [*node[:place], _mutate(draw, node[place]), *node[place + 1 :]]
    return draw(_json)


SHOPIFY: dict[str, Any] = {
    "id": 1,
    "test": False,
    "currency": "USD",
    "created_at": "2026-03-02T09:00:00-05:00",
    "email": "a@example.com",
    "customer": {"id": 3},
    "note": "",
    "note_attributes": [{"name": "a", "value": "b"}],
    "taxes_included": False,
    "tax_lines": [{"price": "1.00"}],
    "financial_status": "paid",
    "total_discounts": "0.00",
    "shipping_lines": [{"code": "Express", "price": "5.00", "tax_lines": [], "discount_allocations": []}],
    "shipping_address": {
        "name": "A",
        "address1": "B",
        "city": "C",
        "province_code": "OH",
        "zip": "43217",
        "country_code": "US",
    },
    "line_items": [
        {
            "sku": "A-1",
            "quantity": 1,
            "price": "9.99",
            "properties": [],
            "fulfillable_quantity": 1,
            "discount_allocations": [{"amount": "1.00"}],
            "total_discount": "0.00",
        }
    ],
}


@pytest.mark.parametrize("source", ["doms", "shopify", "auto"])
@given(data=st.data())
@settings(max_examples=150)
def test_mutated_json_is_taken_or_refused(source: Any, data: st.DataObject, order: dict[str, Any]) -> None:
    whole = data.draw(st.sampled_from([order, SHOPIFY, [order, SHOPIFY], {"order": SHOPIFY}]))
    mutated = data.draw(st.composite(_mutate)(whole))
    _taken_or_refused(json.dumps(mutated).encode(), source)


@given(st.binary(max_size=200) | st.text('{}[]":,0123456789eE+-.\\u nultrfasNaI', max_size=120).map(str.encode))
def test_any_bytes_are_taken_or_refused_and_nothing_else(body: bytes) -> None:
    _taken_or_refused(body, "auto")


def _taken_or_refused(body: bytes, source: Any) -> None:
    faults: tuple[Fault, ...] = ()
    orders: list[OrderDocument] = []
    try:
        orders = read_orders(body, source=source)
    except InvalidInput as refusal:
        faults = refusal.faults
    assert bool(orders) != bool(faults)
    assert all(Fault.model_validate_json(fault.model_dump_json()) == fault for fault in faults)
    assert all(order.total_minor >= 0 for order in orders)


@given(st.integers(10**11, 10**17))
def test_every_number_with_a_check_digit_is_a_card_in_free_text(stem: int) -> None:
    number = next(f"{stem}{digit}" for digit in range(10) if luhn(f"{stem}{digit}"))
    if 13 <= len(number) <= 19 and len(set(number)) > 1:
        assert holds_card(f"please charge {number}, thanks")
