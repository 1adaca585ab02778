"""What a cart could be promised."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from workers.cli.output import Answer, money, table, when
from workers.connect import doms_client, quoting

if TYPE_CHECKING:
    from shared.domain.carts import CartSource, DeliveryOption, Promise


async def promise(
    postal_code: str,
    *lines: Annotated[str, Parameter(help="Items, as SKU or SKU:UNITS.")],
    country: str = "US",
    region: str = "",
    channel: str = "",
    method: str = "ship",
) -> Answer:
    """Tell the delivery options of a cart: for each the date, the cost, the sources. Nothing is reserved.

    What is shipped or drop-shipped is told by each service level, what is picked up or shipped to a store by each of
    three stores. To make an option yours, hold the cart by its method: `doms carts hold --help`. Freight is by the rate
    card, or by a carrier's quote and then told with the moment it ends: carriers that quote (`doms quotes`) are asked
    for a third of a second about what they have not quoted yet.

    ```
    doms promise 10001 TRN-1001:2 KIT-1007 --channel webshop
    doms promise 60614 TRN-1001 --method all
    doms --json promise 10001 TRN-1001 | jq '.options[].promised_at'
    ```

    Args:
        postal_code: Where the cart would go.
        country: ISO 3166 code.
        region: State or province; places the order when the postal code is not known.
        channel: Who sells it: its nodes and what is kept for it. Without one any node, and nothing that is kept.
        method: ship, dropship (by vendors alone), pickup (at a store that has it), ship_to_store, or all.
    """
    from shared.domain.carts import Cart
    from shared.domain.orders import Method

    asked = [cart_line(line) for line in lines]
    methods = list(Method) if method == "all" else [method]
    where = {"postal_code": postal_code, "country": country, "region": region, "methods": methods}
    cart = Cart.model_validate(where | {"lines": asked} | ({"channel": channel} if channel else {}))
    async with doms_client() as doms, quoting(doms) as asking:
        told = await doms.promise(cart, quoting=asking)
    return Answer(told, show=lambda: _shown(told))


def cart_line(line: str) -> dict[str, Any]:
    """``TRN-1001:2`` is two units; what follows the last colon is a part of the SKU unless it is a number."""
    sku, _, units = line.rpartition(":")
    return {"sku": sku, "quantity": int(units)} if sku and units.isdecimal() else {"sku": line}


def _shown(told: Promise) -> Any:
    columns = ("method", "by", "there by", "delivery cost#", "goods cost#", "from", "without a source")
    rows = [
        (
            option.method,
            option.pickup_node_id or option.service,
            when(option.promised_at) or "never",
            money(option.delivery_minor, told.currency),
            money(option.item_minor, told.currency),
            ", ".join(f"{one.units} {one.node_id}{_carried(one, option)}{_packed(one)}" for one in option.sources),
            _short(option),
        )
        for option in told.options
    ]
    return table(
        f"delivery options, {when(told.as_of)}, policy {told.policy_version}; nothing is reserved", columns, rows
    )


def _carried(one: CartSource, option: DeliveryOption) -> str:
    if option.service is None:
        return ""
    until = f" (quoted until {when(one.quoted_until)})" if one.quoted_until else ""
    return f" by {one.carrier} {one.service}{until}"


def _packed(one: CartSource) -> str:
    cartons = Counter(package.carton or "as it is" for package in one.packages)
    return f" in {' + '.join(f'{count} {name}' for name, count in cartons.items())}" if cartons else ""


def _short(option: DeliveryOption) -> str:
    return ", ".join(f"{short.quantity} {short.sku} ({short.because})" for short in option.shortages)
