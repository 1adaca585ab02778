from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.domain.orders import OrderDocument, ServiceLevel
from shared.errors import InvalidInput
from shared.intake import read_orders

REAL = Path(__file__).parents[4] / "shared/data/shopify"

WEBHOOK: dict[str, Any] = {
    "id": 5100000000001,
    "created_at": "2026-03-02T09:00:00-05:00",
    "currency": "USD",
    "email": "ada@example.com",
    "customer": {"id": 7211348492346},
    "financial_status": "paid",
    "taxes_included": False,
    "test": False,
    "note": "leave at the door",
    "line_items": [
        {
            "sku": "TRN-1",
            "quantity": 3,
            "price": "19.99",
            "requires_shipping": True,
            "fulfillable_quantity": 3,
            "discount_allocations": [{"amount": "5.00"}, {"amount": "0.97"}],
            "tax_lines": [{"price": "3.10"}, {"price": "0.45"}],
        },
        {"sku": "GIFT", "quantity": 1, "price": "50.00", "gift_card": True, "requires_shipping": False},
        {"sku": "KIT-2", "quantity": 1, "price": "5", "fulfillable_quantity": 1, "tax_lines": []},
    ],
    "shipping_lines": [
        {
            "title": "Express",
            "price": "12.50",
            "tax_lines": [{"price": "0.94"}],
            "discount_allocations": [{"amount": "2.50"}],
        }
    ],
    "shipping_address": {
        "name": "Ada Ito",
        "company": "Ito & Daughters",
        "address1": "12 Elm Court",
        "address2": "Apt 3",
        "city": "Columbus",
        "province": "Ohio",
        "province_code": "OH",
        "zip": "43217",
        "country_code": "US",
        "phone": None,
    },
}


@pytest.fixture
def webhook() -> dict[str, Any]:
    return copy.deepcopy(WEBHOOK)


def read(body: Any, source: Any = "shopify") -> OrderDocument:
    return read_orders(json.dumps(body).encode(), source=source)[0]


def faults_of(body: Any) -> set[tuple[str, str]]:
    with pytest.raises(InvalidInput) as refusal:
        read(body)
    return {(fault.pointer, fault.code) for fault in refusal.value.faults}


def test_money_is_mapped_to_the_cent(webhook: dict[str, Any]) -> None:
    order = read(webhook)
    first, second = order.lines
    assert (first.unit_price_minor, first.discount_minor, first.tax_minor) == (1999, 597, 355)
    assert (second.line_no, second.unit_price_minor) == (3, 500)  # the gift card keeps its number to itself
    assert order.shipping_minor == 1250 - 250 + 94
    assert order.service is ServiceLevel.EXPEDITED


def test_identity_and_address_are_mapped(webhook: dict[str, Any]) -> None:
    order = read(webhook)
    assert (order.channel, order.channel_order_id, order.customer_ref) == ("shopify", "5100000000001", "7211348492346")
    assert order.placed_at.isoformat() == "2026-03-02T14:00:00+00:00"
    assert order.ship_to.line2 == "Ito & Daughters, Apt 3"
    assert (order.ship_to.region, order.ship_to.postal_code) == ("OH", "43217")
    assert order.payment.token == "shopify-5100000000001"


def test_auto_tells_the_layouts_apart(webhook: dict[str, Any], order: dict[str, Any]) -> None:
    documents = read_orders(json.dumps([webhook, order, {"order": webhook}]).encode(), source="auto")
    assert [document.channel for document in documents] == ["shopify", "webshop", "shopify"]


def test_a_merchant_with_two_shops_has_two_channels(webhook: dict[str, Any]) -> None:
    documents = read_orders(json.dumps(webhook).encode(), source="shopify", shopify_channel="shopify-uk")
    assert documents[0].channel == "shopify-uk"


def test_tax_inclusive_prices_stay_gross(webhook: dict[str, Any]) -> None:
    order = read(webhook | {"taxes_included": True})
    assert [line.tax_minor for line in order.lines] == [0, 0]
    assert order.shipping_minor == 1000


def test_an_order_s_own_tax_is_shared_over_its_lines(webhook: dict[str, Any]) -> None:
    for item in webhook["line_items"]:
        item.pop("tax_lines", None)
    order = read(webhook | {"tax_lines": [{"price": "5.00"}]})
    assert sum(line.tax_minor for line in order.lines) == 500 - 94  # the shipping carries its own


Change = Callable[[dict[str, Any]], Any]

CHANGES: list[tuple[Change, str, str]] = [
    (lambda o: o.update(test=True), "/test", "test_order"),
    (lambda o: o.update(cancelled_at="2026-03-02T10:00:00Z"), "/cancelled_at", "not_open"),
    (lambda o: o.update(financial_status="voided"), "/financial_status", "not_payable"),
    (lambda o: o.update(id="51"), "/id", "not_an_integer"),
    (lambda o: o.update(created_at="today"), "/created_at", "not_a_date_time"),
    (lambda o: o.update(currency="QQQ"), "/currency", "unknown_currency"),
    (lambda o: o.update(line_items=[]), "/line_items", "nothing_to_ship"),
    (lambda o: o.update(line_items=WEBHOOK["line_items"][1:2]), "/line_items", "nothing_to_ship"),
    (lambda o: o.update(line_items=7), "/line_items", "not_a_list"),
    (lambda o: o.pop("shipping_address"), "/shipping_address", "missing"),
    (lambda o: o["shipping_address"].update(zip="4321"), "/shipping_address/zip", "bad_postal_code"),
    (lambda o: o["shipping_address"].update(country_code=None), "/shipping_address/country_code", "missing"),
    (lambda o: o["shipping_address"].update(address1=None), "/shipping_address/address1", "missing"),
    (lambda o: o["line_items"][2].update(sku=""), "/line_items/2/sku", "missing"),
    (lambda o: o["line_items"][2].update(quantity=0), "/line_items/2/quantity", "too_small"),
    (lambda o: o["line_items"][2].update(quantity="1"), "/line_items/2/quantity", "not_an_integer"),
    (lambda o: o["line_items"][2].update(price="5.001"), "/line_items/2/price", "not_an_amount"),
    (lambda o: o["line_items"][2].update(price=5.0), "/line_items/2/price", "not_an_amount"),
    (lambda o: o["line_items"][2].update(price="-5.00"), "/line_items/2/price", "not_an_amount"),
    (lambda o: o["line_items"][2].update(price="٥"), "/line_items/2/price", "not_an_amount"),
    (lambda o: o["line_items"][0].update(fulfillable_quantity=1), "/line_items/0", "partly_fulfilled"),
    (lambda o: o["line_items"][0].update(tax_lines="3.10"), "/line_items/0/tax_lines", "not_a_list"),
    (
        lambda o: o["line_items"][0]["tax_lines"][1].update(price="x"),
        "/line_items/0/tax_lines/1/price",
        "not_an_amount",
    ),
    (lambda o: o.update(note="4111 1111 1111 1111"), "/note", "card_number"),
    (
        lambda o: o["line_items"][0].update(properties=[{"name": "n", "value": "5555555555554444"}]),
        "/line_items/0/properties/0/value",
        "card_number",
    ),
]


@pytest.mark.parametrize(("change", "pointer", "code"), CHANGES, ids=[f"{p} {c}" for _, p, c in CHANGES])
def test_faults_point_into_shopify_s_own_body(webhook: dict[str, Any], change: Change, pointer: str, code: str) -> None:
    change(webhook)
    found = faults_of(webhook)
    assert (pointer, code) in found
    if code not in ("partly_fulfilled", "not_an_integer"):
        assert {place for place, _ in found if not place.startswith(pointer)} <= {"/line_items/2/fulfillable_quantity"}
    assert (f"/order{pointer}", code) in faults_of({"order": webhook})


@pytest.mark.skipif(not REAL.exists(), reason=f"Shopify's sample payloads are not here: {REAL}")
@pytest.mark.parametrize("name", ["order.json"])
def test_shopify_s_own_sample_is_taken(name: str) -> None:
    order = read_orders((REAL / name).read_bytes(), source="auto")[0]
    assert order.channel_order_id == "450789469"
    assert [line.tax_minor for line in order.lines] == [398, 398, 398]
