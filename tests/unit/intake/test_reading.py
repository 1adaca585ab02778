from __future__ import annotations

import json
import re
from typing import Any

import pytest

from shared.domain.catalogue import Item
from shared.domain.orders import Method
from shared.errors import InvalidInput
from shared.intake import MAX_BODY_BYTES, MAX_FAULTS, check_catalogue, read_orders
from shared.intake.strict_json import MAX_FIELDS

HUGE = "9" * 5_000


def faults_of(body: bytes | str, **options: Any) -> set[tuple[str, str]]:
    with pytest.raises(InvalidInput) as refusal:
        read_orders(body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body, **options)
    return {(fault.pointer, fault.code) for fault in refusal.value.faults}


def put(order: dict[str, Any], pointer: str, value: Any) -> dict[str, Any]:
    *path, last = [int(part) if part.isdigit() else part for part in pointer.split("/")[1:]]
    holder: Any = order
    for part in path:
        holder = holder[part]
    holder[last] = value
    return order


# What is put where, and the code it is refused with at that place.
VALUES: list[tuple[str, Any, str]] = [
    # numbers
    ("/lines/0/quantity", 0, "too_small"),
    ("/lines/0/quantity", -1, "too_small"),
    ("/lines/0/quantity", True, "not_an_integer"),
    ("/lines/0/quantity", 1.0, "not_an_integer"),
    ("/lines/0/quantity", "1", "not_an_integer"),
    ("/lines/0/quantity", "1_000", "not_an_integer"),
    ("/lines/0/quantity", "١٢", "not_an_integer"),
    ("/lines/0/quantity", None, "not_an_integer"),
    ("/lines/0/quantity", [1], "not_an_integer"),
    ("/lines/0/quantity", 1_000_001, "too_big"),
    ("/lines/0/quantity", 2**63 - 1, "too_big"),
    ("/lines/0/quantity", 2**63, "number_too_big"),
    ("/lines/0/quantity", -(2**63) - 1, "number_too_big"),
    ("/lines/0/line_no", 0, "too_small"),
    ("/lines/1/line_no", 1, "repeated_line_no"),
    ("/lines/0/unit_price_minor", -1, "too_small"),
    ("/lines/0/unit_price_minor", 19.99, "not_an_integer"),
    ("/lines/0/unit_price_minor", "19.99", "not_an_integer"),
    ("/lines/0/unit_price_minor", 10**12 + 1, "too_big"),
    ("/lines/0/discount_minor", 3999, "discount_above_price"),
    ("/lines/1/discount_minor", -1, "too_small"),
    ("/lines/0/tax_minor", False, "not_an_integer"),
    ("/shipping_minor", -5, "too_small"),
    ("/priority", 0, "too_small"),
    ("/priority", 6, "too_big"),
    ("/priority", "3", "not_an_integer"),
    # structure
    ("/lines", [], "empty"),
    ("/lines", {}, "not_a_list"),
    ("/lines", None, "not_a_list"),
    ("/lines/1", "KIT-2", "not_an_object"),
    ("/ship_to", [], "not_an_object"),
    ("/payment", "tok_ok", "not_an_object"),
    ("/status", "shipped", "unknown_field"),
    ("/ship_to/latitude", 1, "unknown_field"),
    ("/lines/0/unit_cost_minor", 1, "unknown_field"),
    ("/payment/refund_limit", 1, "unknown_field"),
    # text
    ("/channel", "", "empty"),
    ("/channel", "web shop", "bad_format"),
    ("/channel", 7, "not_a_string"),
    ("/channel_order_id", "../etc", "bad_format"),
    ("/channel_order_id", "x" * 65, "too_long"),
    ("/channel_order_id", "W-1\n", "bad_format"),
    ("/customer_ref", None, "not_a_string"),
    ("/ship_to/name", "", "empty"),
    ("/ship_to/name", "   ", "empty"),
    ("/ship_to/name", "x" * 201, "too_long"),
    ("/ship_to/name", "A\x00da", "unsafe_text"),
    ("/ship_to/name", "A\x1b[31mda", "unsafe_text"),
    ("/ship_to/name", "A\ud800da", "unsafe_text"),
    ("/lines/0/sku", "a\tb", "bad_format"),
    ("/service", "teleport", "unknown_value"),
    ("/method", "drone", "unknown_value"),
    ("/pickup_node_id", "store-1", "not_fetched"),
    ("/payment/kind", "cash", "unknown_value"),
    ("/payment/token", "4", "bad_format"),
    # dates
    ("/placed_at", "2026-03-02T09:00:00", "no_time_zone"),
    ("/placed_at", "2026-03-02", "not_a_date_time"),
    ("/placed_at", "yesterday", "not_a_date_time"),
    ("/placed_at", "1772442000", "not_a_date_time"),
    ("/placed_at", 1772442000, "not_a_date_time"),
    ("/placed_at", "2026-02-30T09:00:00Z", "not_a_date_time"),
    ("/placed_at", "٢٠٢٦-03-02T09:00:00Z", "not_a_date_time"),
    ("/placed_at", "0001-01-01T00:00:00+05:00", "implausible_date"),
    ("/placed_at", "9999-12-31T23:59:59-05:00", "implausible_date"),
    # tables
    ("/currency", "usd", "bad_format"),
    ("/currency", "ABC", "unknown_currency"),
    ("/currency", "XXX", "unknown_currency"),
    ("/currency", "DEM", "unknown_currency"),
    ("/ship_to/country", "us", "bad_format"),
    ("/ship_to/country", "UK", "unknown_country"),
    ("/ship_to/country", "ZZ", "unknown_country"),
    ("/ship_to/country", "EU", "unknown_country"),
    ("/ship_to/region", "", "missing"),
    ("/ship_to/region", "Ohio", "unknown_region"),
    ("/ship_to/region", "ZZ", "unknown_region"),
    ("/ship_to/postal_code", "", "missing"),
    ("/ship_to/postal_code", "4321", "bad_postal_code"),
    ("/ship_to/postal_code", "٤٣٢١٧", "bad_postal_code"),
    ("/ship_to/postal_code", "K1A 0B1", "bad_postal_code"),
    # card numbers (test numbers of the card brands)
    ("/ship_to/line2", "card 4111 1111 1111 1111", "card_number"),
    ("/ship_to/name", "5555555555554444", "card_number"),
    ("/ship_to/name", "３７８２８２２４６３１０００５", "card_number"),
    ("/ship_to/line1", "12 4111-1111-1111-1111", "card_number"),
    ("/customer_ref", "4111111111111111", "card_number"),
    ("/channel_order_id", "378282246310005", "card_number"),
    ("/payment/token", "tok_4242424242424242", "card_number"),
    ("/notes", {"anything": ["4012888888881881"]}, "unknown_field"),
]


@pytest.mark.parametrize(("pointer", "value", "code"), VALUES, ids=lambda value: str(value)[:30])
def test_one_bad_value_is_one_fault_at_its_place(order: dict[str, Any], pointer: str, value: Any, code: str) -> None:
    found = faults_of(json.dumps(put(order, pointer, value)))
    assert (pointer, code) in found
    assert {place for place, _ in found if not place.startswith(pointer)} == set()


REQUIRED = [
    "/channel",
    "/channel_order_id",
    "/placed_at",
    "/currency",
    "/ship_to",
    "/lines",
    "/payment",
    "/ship_to/name",
    "/ship_to/line1",
    "/ship_to/city",
    "/payment/token",
]


def test_what_is_fetched_names_its_store(order: dict[str, Any]) -> None:
    assert faults_of(json.dumps(order | {"method": "pickup"})) == {("/pickup_node_id", "missing")}
    (document,) = read_orders(json.dumps(order | {"method": "pickup", "pickup_node_id": "store-1"}).encode())
    assert (document.method, document.pickup_node_id) == (Method.PICKUP, "store-1")


@pytest.mark.parametrize("pointer", REQUIRED)
def test_a_missing_field_is_named(order: dict[str, Any], pointer: str) -> None:
    path = pointer.split("/")[1:]
    holder = order if len(path) == 1 else order[path[0]]
    del holder[path[-1]]
    assert faults_of(json.dumps(order)) == {(pointer, "missing")}


# Bodies that are no document at all.
BODIES: list[tuple[bytes, str]] = [
    (b"", "empty"),
    (b" \r\n\t", "empty"),
    (b"[]", "empty"),
    (b"null", "not_an_object"),
    (b"7", "not_an_object"),
    (b'"order"', "not_an_object"),
    (b"{", "not_json"),
    (b"{'channel': 1}", "not_json"),
    (b'{"a": 1,}', "not_json"),
    (b'{"a": 01}', "not_json"),
    (b'{"a": 1} trailing', "not_json"),
    (b'{"a": "line\nbreak"}', "not_json"),
    (b"channel,quantity\nweb,1\n", "not_json"),
    (b"\xef\xbb\xbf{}", "byte_order_mark"),
    ("{}".encode("utf-16"), "byte_order_mark"),
    ("{}".encode("utf-16-le"), "not_json"),
    (b'{"a": "\xff"}', "not_utf8"),
    (b'{"a": "\xed\xa0\x80"}', "not_utf8"),  # a surrogate written as UTF-8
    (b'{"a": "\xc0\x80"}', "not_utf8"),  # NUL in two bytes
    (b"[" * 100_000, "too_deep"),
    (b'{"a":' * 100_000, "too_deep"),
    (b" " * (MAX_BODY_BYTES + 1), "too_large"),
    (b"[" + b"0," * 600_000 + b"0]", "too_many"),
    (b"{" + b",".join(b'"%d":0' % i for i in range(MAX_FIELDS + 1)) + b"}", "too_many_fields"),
]


@pytest.mark.parametrize(("body", "code"), BODIES, ids=lambda value: str(value[:24]))
def test_a_body_that_is_no_document_is_refused_whole(body: bytes, code: str) -> None:
    assert faults_of(body) == {("", code)}


def test_what_json_libraries_let_pass_is_refused(order: dict[str, Any]) -> None:
    text = json.dumps(order)
    literals = {"NaN": "not_a_number", "-Infinity": "not_a_number", HUGE: "number_too_big", "1e999": "number_too_big"}
    for literal, code in literals.items():
        body = re.sub(r'"shipping_minor": \d+', f'"shipping_minor": {literal}', text)
        assert faults_of(body) == {("/shipping_minor", code)}
    doubled = text.replace('"sku": "TRN-1"', '"sku": "TRN-1", "sku": "TRN-2"')
    assert faults_of(doubled) == {("/lines/0/sku", "repeated_key")}
    assert faults_of(text.replace('"channel"', '"channel": "x", "channel"', 1)) == {("/channel", "repeated_key")}


def test_deep_values_point_at_where_it_becomes_too_deep(order: dict[str, Any]) -> None:
    found = faults_of(json.dumps(order | {"x": json.loads("[" * 200 + "]" * 200)}))
    assert {code for _, code in found} == {"too_deep", "unknown_field"}


def test_every_fault_of_every_order_is_listed(order: dict[str, Any]) -> None:
    bad = json.loads(json.dumps(order))
    bad["lines"][0]["quantity"] = 0
    bad["ship_to"]["postal_code"] = "x"
    del bad["currency"]
    expected = {
        ("/lines/0/quantity", "too_small"),
        ("/ship_to/postal_code", "bad_postal_code"),
        ("/currency", "missing"),
    }
    assert faults_of(json.dumps(bad)) == expected
    worse = [order, bad, 7, bad]
    assert faults_of(json.dumps(worse)) == {
        *((f"/{i}{pointer}", code) for i in (1, 3) for pointer, code in expected),
        ("/2", "not_an_object"),
    }


def test_a_total_no_provider_would_authorise_is_refused(order: dict[str, Any]) -> None:
    order["lines"][0] |= {"quantity": 1_000, "unit_price_minor": 10**10}
    assert faults_of(json.dumps(order)) == {("/lines", "total_too_big")}


def test_too_many_lines_and_too_many_faults_are_bounded(order: dict[str, Any]) -> None:
    order["lines"] = [{"line_no": i, "sku": "A", "quantity": 1} for i in range(1, 20_002)]
    assert faults_of(json.dumps(order)) == {("/lines", "too_many")}
    order["lines"] = [{"line_no": 1}] * 10_000
    with pytest.raises(InvalidInput) as refusal:
        read_orders(json.dumps(order).encode())
    assert len(refusal.value.faults) <= MAX_FAULTS + 1
    assert refusal.value.faults[-1].code == "too_many_faults"


def test_20_000_lines_are_taken(order: dict[str, Any]) -> None:
    order["lines"] = [{"line_no": i, "sku": "A", "quantity": 1} for i in range(1, 20_001)]
    assert len(read_orders(json.dumps(order).encode())[0].lines) == 20_000


def test_one_order_many_orders_and_json_lines_are_all_taken(order: dict[str, Any]) -> None:
    other = order | {"channel_order_id": "W-2"}
    one = read_orders(json.dumps(order).encode())
    assert [document.total_minor for document in one] == [2 * 1999 - 98 + 300 + 500 + 595]
    both = read_orders(json.dumps([order, other]).encode())
    lines = json.dumps(order) + "\r\n\n" + json.dumps(other, ensure_ascii=False) + "\n"
    assert read_orders(lines.encode()) == both
    assert [document.channel_order_id for document in both] == ["W-1", "W-2"]


def test_a_broken_line_of_json_lines_is_named(order: dict[str, Any]) -> None:
    lines = [json.dumps(order), '{"channel": ', json.dumps(order | {"priority": 9}), "oops"]
    assert faults_of("\n".join(lines)) == {("/1", "not_json"), ("/2/priority", "too_big"), ("/3", "not_json")}


def test_a_line_separator_inside_text_ends_no_line(order: dict[str, Any]) -> None:
    order["ship_to"]["line2"] = "back\u2028door"
    lines = "\n".join(json.dumps(order | {"channel_order_id": name}, ensure_ascii=False) for name in "AB")
    assert len(read_orders(lines.encode())) == 2


def test_other_countries_have_their_own_rules(order: dict[str, Any]) -> None:
    order["ship_to"] |= {"country": "GB", "region": "", "city": "London", "postal_code": "sw1a 1aa"}
    assert read_orders(json.dumps(order).encode())
    order["ship_to"] |= {"country": "HK", "postal_code": "", "region": "Kowloon"}
    assert read_orders(json.dumps(order).encode())
    order["ship_to"] |= {"country": "DE", "postal_code": "1011", "region": ""}
    assert faults_of(json.dumps(order)) == {("/ship_to/postal_code", "bad_postal_code")}


# Long numbers that are nobody's card.
@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/ship_to/phone", "+49 1512 3456786"),
        ("/customer_ref", "7211348492346"),
        ("/channel_order_id", "113-1234567-1234567"),
        ("/lines/0/sku", "4006381333931"),
        ("/ship_to/line2", "0000000000000000"),
        ("/ship_to/line1", "4111 1111 1111 1112"),
        ("/ship_to/name", "Ada 12345"),
    ],
)
def test_honest_numbers_are_no_cards(order: dict[str, Any], pointer: str, value: str) -> None:
    assert read_orders(json.dumps(put(order, pointer, value)).encode())


def test_a_refusal_repeats_nothing_personal(order: dict[str, Any]) -> None:
    order["ship_to"]["name"] = "CANARY 4111111111111111"
    order["ship_to"]["postal_code"] = "CANARY"
    order["4111111111111111\x00/~"] = "CANARY"
    with pytest.raises(InvalidInput) as refusal:
        read_orders(json.dumps(order).encode())
    told = str(refusal.value) + "".join(fault.model_dump_json() for fault in refusal.value.faults)
    assert "CANARY" not in told
    assert "4111111111111111" not in told


def test_the_catalogue_is_asked_for_each_line(order: dict[str, Any]) -> None:
    document = read_orders(json.dumps(order).encode())[0]
    items = {"TRN-1": Item(sku="TRN-1", currency="GBP")}
    faults = [(fault.pointer, fault.code) for fault in check_catalogue(document, items)]
    assert faults == [("/lines/0/sku", "wrong_currency"), ("/lines/1/sku", "unknown_sku")]
    good = {sku: Item(sku=sku) for sku in ("TRN-1", "KIT-2")}
    assert check_catalogue(document, good) == []


def test_a_fault_far_down_a_long_order_is_found(order: dict[str, Any]) -> None:
    order["lines"] = [{"line_no": i, "sku": "A", "quantity": 1} for i in range(1, 3_001)]
    order["lines"][2_998] |= {"quantity": 0, "colour": "red"}
    order["priority"] = 9
    assert faults_of(json.dumps(order)) == {
        ("/priority", "too_big"),
        ("/lines/2998/quantity", "too_small"),
        ("/lines/2998/colour", "unknown_field"),
    }
