"""Hold stock for carts: hold, list, show, extend, release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from workers.cli.output import Answer, table, when
from workers.cli.promise import cart_line
from workers.cli.staff import Actor
from workers.connect import doms_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.domain.carts import CartHold

app = App(name="carts", help=__doc__)


@app.command
async def hold(
    cart: str,
    *lines: Annotated[str, Parameter(help="Items, as SKU or SKU:UNITS.")],
    minutes: int = 15,
    postal_code: str = "",
    country: str = "US",
    region: str = "",
    service: str = "standard",
    method: str = "ship",
    store: str = "",
    partial: Annotated[bool, Parameter(negative="")] = False,
) -> Answer:
    """Hold the units of a cart: nobody else gets them until it is ordered, released, or its time is up.

    All of the cart is held or none, unless `--partial`. The same cart again is answered as it was. An order whose
    `cart_id` names the cart takes exactly these units.

    ```
    doms carts hold webshop/c-77 TRN-1001:2 KIT-1007 --postal-code 10001
    doms carts hold webshop/c-79 TRN-1001 --method pickup --store store-chicago
    doms --json carts hold webshop/c-78 TRN-1001:50 --partial | jq '.lines'
    ```

    Args:
        cart: The channel and its cart, as CHANNEL/CART.
        minutes: How long, up to a day.
        postal_code: Where the cart would go: the units are held where the planner would ship them from. Without it
            they come from as few nodes as can give them.
        country: ISO 3166 code.
        region: State or province; places the cart when the postal code is not known.
        service: The service level chosen: standard, expedited, overnight.
        method: The option chosen: ship, dropship, pickup, ship_to_store. Units are held where it would take them from.
        store: The node where the customer fetches the cart, for pickup and ship_to_store.
        partial: Hold what there is.
    """
    from shared.carts_client import hold_cart
    from shared.domain.carts import HoldCart

    channel, _, cart_id = cart.partition("/")
    request = HoldCart.model_validate(
        {
            "channel": channel,
            "cart_id": cart_id,
            "lines": [cart_line(line) for line in lines],
            "ship_to": {"postal_code": postal_code, "country": country, "region": region} if postal_code else None,
            "service": service,
            "method": method,
            "pickup_node_id": store or None,
            "minutes": minutes,
            "partial": partial,
        }
    )
    async with doms_client() as doms:
        held = await hold_cart(doms, request)
    return Answer(held, show=lambda: _shown(held))


@app.command(name="list")
async def list_(*, channel: str = "", limit: int = 50) -> Answer:
    """List the carts that keep units now, the one whose time is up first first.

    ```
    doms carts list --channel webshop
    doms --json carts list | jq -r '.[] | select(.status == "overdue").cart_hold_id'
    ```

    Args:
        channel: Only carts of this channel.
        limit: At most so many.
    """
    from shared.database.carts import list_holds

    async with doms_client() as doms, doms.database.reading() as connection:
        found = await list_holds(connection, channel=channel, limit=limit)
    return Answer(found, show=lambda: _listed(found))


@app.command
async def show(cart: str) -> Answer:
    """Show what is held for a cart, where, until when, and what has become of it.

    ```
    doms carts show webshop/c-77
    ```

    Args:
        cart: The channel and its cart, as CHANNEL/CART.
    """
    from shared.carts_client import show_cart

    async with doms_client() as doms:
        held = await show_cart(doms, cart)
    return Answer(held, show=lambda: _shown(held))


@app.command
async def extend(cart: str, *, minutes: int = 15) -> Answer:
    """Hold a cart's units for longer. Refused when the hold is over: then hold the cart again under another id.

    ```
    doms carts extend webshop/c-77 --minutes 30
    ```

    Args:
        cart: The channel and its cart, as CHANNEL/CART.
        minutes: How long from now.
    """
    from shared.carts_client import extend_cart
    from shared.domain.carts import MAX_MINUTES
    from shared.errors import Fault, InvalidInput

    if not 1 <= minutes <= MAX_MINUTES:
        message = f"must be from 1 to {MAX_MINUTES}"
        raise InvalidInput([Fault(pointer="/minutes", code="out_of_range", message=message)])
    async with doms_client() as doms:
        held = await extend_cart(doms, cart, minutes)
    return Answer(held, show=lambda: _shown(held))


@app.command
async def release(cart: str, *, actor: Actor = "staff") -> Answer:
    """Give a cart's units back at once, and wake the orders that wait for them.

    ```
    doms carts release webshop/c-77
    ```

    Args:
        cart: The channel and its cart, as CHANNEL/CART.
    """
    from shared.carts_client import release_cart

    async with doms_client() as doms:
        held = await release_cart(doms, cart, actor=actor)
    return Answer(held, show=lambda: _shown(held))


def _listed(found: Sequence[CartHold]) -> Any:
    rows = [
        (one.cart_hold_id, one.status, when(one.held_at), when(one.expires_at), sum(units.open for units in one.units),
         ", ".join(sorted({units.node_id for units in one.units if units.open})))
        for one in found
    ]  # fmt: skip
    return table(f"{len(found)} cart(s)", ("cart", "status", "held at", "until", "units held#", "at"), rows)


def _shown(held: CartHold) -> Any:
    from rich.console import Group

    lines = [(line.sku, line.quantity, line.held) for line in held.lines]
    units = [(u.node_id, u.sku, u.quantity, u.open, u.ordered, u.given_back) for u in held.units]
    title = f"{held.cart_hold_id}: {held.status}, until {when(held.expires_at)}"
    return Group(
        table(title, ("item", "asked for#", "held#"), lines),
        table("where", ("node", "item", "held#", "still#", "ordered#", "given back#"), units),
    )
