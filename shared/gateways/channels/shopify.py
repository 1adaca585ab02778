"""Shopify's ``orders/create`` webhook, mapped to our order document. Pure.

The body is the order itself, or the order under ``{"order": …}`` as the REST Admin API wraps it. What is done
with what, on purpose:

=============================  ============================================================================
``test: true``                 refused, ``test_order``: nothing may be picked for a test
cancelled, voided, refunded    refused, ``not_open`` and ``not_payable``
gift cards, ``requires_shipping: false``  left out: delivered by mail, there is nothing to source. Their money
                               stays with Shopify, so our total is that of the goods
a line already fulfilled       left out (``fulfillable_quantity`` 0 or ``fulfillment_status`` fulfilled); a
                               line fulfilled in part is refused, ``partly_fulfilled``: staff decide
nothing left                   refused, ``nothing_to_ship``
line numbers                   the place in ``line_items``, from 1: Shopify's ids pass our limit, and the
                               place is the same on every delivery of the webhook
discounts                      ``discount_allocations`` of the line, ``total_discount`` where there are none
tax                            ``tax_lines`` of the line; an order that has them at the top only is shared out
                               over its lines by what each costs, to the cent
``taxes_included``             prices stay gross and tax 0: a unit price net of tax is no whole cent, and the
                               total is what the customer pays either way
shipping                       price less discounts plus tax. The service is told by words in code and title:
                               overnight or next day; express, expedited, priority or 2 day; else standard
payment                        Shopify authorised it: token ``shopify-{order id}``
presentment money, tips,       not read: we keep the shop's currency and the goods' money
duties
=============================  ============================================================================

Money is decimal strings there and integer minor units here, converted exactly or refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.currency import parse_minor
from shared.domain.money import allocate
from shared.domain.orders import ServiceLevel
from shared.errors import Fault

_SERVICE_WORDS = (
    (re.compile(r"overnight|next.?day", re.IGNORECASE), ServiceLevel.OVERNIGHT),
    (re.compile(r"express|expedited|priority|(2|two).?day", re.IGNORECASE), ServiceLevel.EXPEDITED),
)


_MAX_FAULTS = 1_000


@dataclass
class Mapped:
    """A Shopify order in our layout, not yet validated.

    Attributes:
        document: Our document as raw JSON, ``None`` when the body is no Shopify order at all.
        faults: What could not be mapped, pointers into Shopify's body.
        free_text: Notes that are not kept but must not hold a card number either.
    """

    document: dict[str, Any] | None = None
    faults: list[Fault] = field(default_factory=list)
    free_text: list[tuple[str, str]] = field(default_factory=list)
    _origins: dict[str, str] = field(default_factory=dict)

    def origin(self, pointer: str) -> str:
        """Where in Shopify's body the value at ``pointer`` of our document came from."""
        rest = pointer
        while rest and rest not in self._origins:
            rest = rest.rpartition("/")[0]
        return self._origins.get(rest, "")


def looks_like_order(value: Any) -> bool:
    """Whether a JSON value has the layout of a Shopify order rather than ours."""
    if isinstance(value, dict) and isinstance(inner := value.get("order"), dict):
        value = inner
    return isinstance(value, dict) and "line_items" in value and "lines" not in value


def map_order(body: Any, *, channel: str = "shopify") -> Mapped:
    """Map one webhook body. Every fault is collected; nothing is raised."""
    wrapped = isinstance(body, dict) and isinstance(body.get("order"), dict)
    order = body["order"] if wrapped else body
    if not isinstance(order, dict):
        return Mapped(faults=[Fault(pointer="", code="not_an_object", message="a Shopify order is an object")])
    return _Mapping(order, "/order" if wrapped else "", channel).run()


class _Mapping:
    """The mapping of one order: reads values and notes where each came from and what was wrong."""

    def __init__(self, order: dict[str, Any], root: str, channel: str) -> None:
        self.order, self.root, self.channel = order, root, channel
        self.currency = _text(order.get("currency"))
        self.out = Mapped(_origins={"": root})
        self._told: set[tuple[str, str]] = set()

    def run(self) -> Mapped:
        self._refuse_closed()
        lines = list(self._lines())
        order_id = _number(self.order.get("id"))
        if order_id is None:
            self._fault("/id", "not_an_integer", "must be the order's number")
        self.out.document = {
            "channel": self.channel,
            "channel_order_id": self._from("channel_order_id", "/id", order_id or "0"),
            "placed_at": self._from("placed_at", "/created_at", self.order.get("created_at")),
            "currency": self._from("currency", "/currency", self.order.get("currency")),
            "customer_ref": self._from(
                "customer_ref", "/customer/id", _number(_dict(self.order, "customer").get("id"))
            ),
            "ship_to": self._address(),
            "lines": self._from("lines", "/line_items", lines),
            "payment": {"kind": "card", "token": f"shopify-{order_id or 0}"},
        } | self._shipping()
        self.out.document = {key: value for key, value in self.out.document.items() if value is not None}
        self.out.free_text += self._notes()
        return self.out

    def _refuse_closed(self) -> None:
        if self.order.get("test") is True:
            self._fault("/test", "test_order", "a test order is not fulfilled")
        if self.order.get("cancelled_at") or self.order.get("closed_at"):
            self._fault("/cancelled_at", "not_open", "the order was cancelled or closed before it reached us")
        if self.order.get("financial_status") in ("voided", "refunded"):
            self._fault("/financial_status", "not_payable", "the order's payment was voided or refunded")

    # --- lines ---

    def _lines(self) -> Iterator[dict[str, Any]]:
        items = self.order.get("line_items")
        if not isinstance(items, list):
            self._fault("/line_items", "not_a_list", "must be a list of line items")
            return
        shippable = [(place, item) for place, item in enumerate(items) if self._ships(item, f"/line_items/{place}")]
        if not shippable:
            self._fault("/line_items", "nothing_to_ship", "no line of the order is a physical good still to be shipped")
        taxes = self._order_tax([item for _, item in shippable])
        for index, (place, item) in enumerate(shippable):
            yield self._line(index, place, item, taxes[index] if taxes else None)

    def _ships(self, item: Any, at: str) -> bool:
        if not isinstance(item, dict):
            self._fault(at, "not_an_object", "must be a line item")
            return False
        if item.get("gift_card") is True or item.get("requires_shipping") is False:
            return False
        left = item.get("fulfillable_quantity")
        if left == 0 or item.get("fulfillment_status") == "fulfilled":
            return False
        if item.get("fulfillment_status") == "partial" or (isinstance(left, int) and left < _count(item)):
            self._fault(at, "partly_fulfilled", "part of the line has been fulfilled elsewhere")
        return True

    def _line(self, index: int, place: int, item: dict[str, Any], shared_tax: int | None) -> dict[str, Any]:
        at, ours = f"/line_items/{place}", f"lines/{index}"
        self._from(ours, at, None)
        self.out._origins[f"/{ours}/tax_minor"] = self.root + at + "/tax_lines"
        sku = item.get("sku")
        if not sku:
            self._fault(f"{at}/sku", "missing", "a line needs a SKU to be sourced")
        return {
            "line_no": place + 1,
            "sku": self._from(f"{ours}/sku", f"{at}/sku", sku or None),
            "quantity": self._from(f"{ours}/quantity", f"{at}/quantity", item.get("quantity")),
            "unit_price_minor": self._from(f"{ours}/unit_price_minor", f"{at}/price", self._money(item, "price", at)),
            "discount_minor": self._from(f"{ours}/discount_minor", f"{at}/discount_allocations", self._off(item, at)),
            "tax_minor": self._sum(item, "tax_lines", "price", at, taxed=True) if shared_tax is None else shared_tax,
        }

    def _off(self, item: dict[str, Any], at: str) -> int:
        if "discount_allocations" in item:
            return self._sum(item, "discount_allocations", "amount", at)
        return self._money(item, "total_discount", at) if item.get("total_discount") is not None else 0

    def _order_tax(self, items: list[dict[str, Any]]) -> list[int] | None:
        """The order's own tax shared over its lines, when no line says its tax itself."""
        if not items or any("tax_lines" in item for item in items) or self._gross:
            return None
        quiet = _Mapping({**self.order}, self.root, self.channel)  # its faults are told by the lines
        nets = [quiet._money(item, "price", "") * _count(item) - quiet._off(item, "") for item in items]
        tax = self._sum(self.order, "tax_lines", "price", "", taxed=True)
        carried = sum(
            self._sum(row, "tax_lines", "price", "", taxed=True) for row in self._rows(self.order, "shipping_lines")
        )
        return allocate(max(0, tax - carried), [max(0, net) for net in nets])

    # --- shipping ---

    def _shipping(self) -> dict[str, Any]:
        total, words = 0, ""
        for place, row in enumerate(self._rows(self.order, "shipping_lines")):
            at = f"/shipping_lines/{place}"
            off = self._sum(row, "discount_allocations", "amount", at)
            total += max(0, self._money(row, "price", at) - off) + self._sum(row, "tax_lines", "price", at, taxed=True)
            words += f" {_text(row.get('code'))} {_text(row.get('title'))}"
        level = next((level for pattern, level in _SERVICE_WORDS if pattern.search(words)), ServiceLevel.STANDARD)
        return {
            "shipping_minor": self._from("shipping_minor", "/shipping_lines", total),
            "service": self._from("service", "/shipping_lines", level.value),
        }

    def _address(self) -> Any:
        theirs = self.order.get("shipping_address")
        self._from("ship_to", "/shipping_address", None)
        if not isinstance(theirs, dict):
            self._fault("/shipping_address", "missing", "goods that are shipped need a shipping address")
            return {}
        name = _text(theirs.get("name")) or f"{_text(theirs.get('first_name'))} {_text(theirs.get('last_name'))}"
        second = ", ".join(filter(None, (_text(theirs.get("company")), _text(theirs.get("address2")))))
        fields: dict[str, tuple[str, Any]] = {
            "name": ("name", name),
            "line1": ("address1", theirs.get("address1")),
            "line2": ("address2", second),
            "city": ("city", theirs.get("city")),
            "region": ("province_code", theirs.get("province_code") or theirs.get("province")),
            "postal_code": ("zip", theirs.get("zip")),
            "country": ("country_code", theirs.get("country_code")),
            "phone": ("phone", theirs.get("phone") or self.order.get("phone")),
        }
        address = {
            ours: self._from(f"ship_to/{ours}", f"/shipping_address/{key}", value)
            for ours, (key, value) in fields.items()
        }
        if address["country"] is None:
            self._fault("/shipping_address/country_code", "missing", "an address needs a country")
        address["email"] = self._from("ship_to/email", "/email", self.order.get("email"))
        return {key: value for key, value in address.items() if value is not None}

    def _notes(self) -> Iterator[tuple[str, str]]:
        yield f"{self.root}/note", _text(self.order.get("note"))
        lists = [("/note_attributes", self._rows(self.order, "note_attributes"))]
        for place, item in enumerate(_list(self.order, "line_items")):
            at = f"/line_items/{place}"
            if isinstance(item, dict):
                lists.append((f"{at}/properties", self._rows(item, "properties", at)))
        for at, rows in lists:
            for place, row in enumerate(rows):
                yield f"{self.root}{at}/{place}/name", _text(row.get("name"))
                yield f"{self.root}{at}/{place}/value", _text(row.get("value"))

    # --- reading ---

    @property
    def _gross(self) -> bool:
        return self.order.get("taxes_included") is True

    def _sum(self, holder: dict[str, Any], rows: str, key: str, at: str, *, taxed: bool = False) -> int:
        if taxed and self._gross:
            return 0
        return sum(self._money(row, key, f"{at}/{rows}/{i}") for i, row in enumerate(self._rows(holder, rows, at)))

    def _rows(self, holder: dict[str, Any], key: str, at: str = "") -> list[dict[str, Any]]:
        """The objects of an optional list. What is no such list is a fault: half a tax is worse than none."""
        value = holder.get(key)
        if value is None:
            return []
        if isinstance(value, list) and all(isinstance(row, dict) for row in value):
            return value
        self._fault(f"{at}/{key}", "not_a_list", "must be a list of objects")
        return []

    def _money(self, holder: dict[str, Any], key: str, at: str) -> int:
        value = holder.get(key)
        if not isinstance(value, str):
            self._fault(f"{at}/{key}", "not_an_amount", "must be a decimal string")
            return 0
        try:
            return parse_minor(value, self.currency)
        except ValueError as error:
            self._fault(f"{at}/{key}", "not_an_amount", str(error))
            return 0

    def _from(self, ours: str, theirs: str, value: Any) -> Any:
        self.out._origins[f"/{ours}"] = self.root + theirs
        return value

    def _fault(self, pointer: str, code: str, message: str) -> None:
        if (pointer, code) in self._told or len(self._told) > _MAX_FAULTS:
            return  # a list may be read twice, and nobody reads the thousandth fault
        self._told.add((pointer, code))
        self.out.faults.append(Fault(pointer=self.root + pointer, code=code, message=message))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> str | None:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _count(item: dict[str, Any]) -> int:
    quantity = item.get("quantity")
    return quantity if isinstance(quantity, int) and not isinstance(quantity, bool) and quantity > 0 else 0


def _dict(holder: dict[str, Any], key: str) -> dict[str, Any]:
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def _list(holder: dict[str, Any], key: str) -> list[Any]:
    value = holder.get(key)
    return value if isinstance(value, list) else []
