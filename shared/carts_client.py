"""What channels do with carts that hold stock: hold, extend, release, show."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from shared.client import Doms, reachable
from shared.database import asked_carts, carts, policies, snapshots, wakes
from shared.database.asked_carts import AskedCart
from shared.database.engine import around_races
from shared.database.rises import line_up
from shared.domain.carts import CartHold, HoldCart, WantedUnits, gather
from shared.domain.network import Place
from shared.domain.pools import Pooled
from shared.domain.sourcing.methods import pickup_stores, seen_by
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder
from shared.domain.sourcing.pooling import lay_down
from shared.errors import Conflict, Fault, InvalidInput, NotFound
from shared.places import locate_postal
from shared.wakes_client import give_overdue_back, tell_waiting

#: How often the units are looked for again when others were faster.
_ATTEMPTS = 3

Claims = dict[tuple[str, str], int]


async def hold_cart(doms: Doms, request: HoldCart) -> CartHold:
    """Hold a cart's units where the planner would ship them from; the same cart again is answered as it was.

    Raises:
        InvalidInput: an item is unknown, nobody picks up at the node, or a cart with a bundle is to be held partially.
        Conflict: there is too little, or the id was used for another cart before. Nothing is held then.
    """
    with reachable():
        for _ in range(_ATTEMPTS):
            asked, claims, seen = await _plan(doms, request)
            wanted = sum(line.quantity for line in asked.lines)
            if claims and (request.partial or sum(claims.values()) == wanted):
                held = await _hold(doms, request, asked, claims, seen.pooled)
                if held is not None:
                    return held
            known = await _known(doms, request)
            if known is not None:
                return known
            if not claims or sum(claims.values()) < wanted:
                break
    found = {sku: sum(n for (_, of), n in claims.items() if of == sku) for sku in asked.skus}
    short = {line.sku: line.quantity - found[line.sku] for line in asked.lines if found[line.sku] < line.quantity}
    missing = ", ".join(f"{units} of {sku}" for sku, units in short.items()) or "others were faster"
    raise Conflict(f"the cart cannot be held: {missing}; nothing is", cart_id=request.cart_id, short=short)


async def _plan(doms: Doms, request: HoldCart) -> tuple[AskedCart, Claims, Snapshot]:
    """Where the units would come from, of what was seen; no transaction is open while the planner works."""
    as_of = datetime.now(UTC)
    await give_overdue_back(doms.database, doms, [line.sku for line in request.lines])
    async with doms.database.reading() as connection:
        asked = await asked_carts.read_cart(connection, [(line.sku, line.quantity) for line in request.lines])
        if request.partial and any(item.components for item in asked.items.values()):
            message = "a cart with a bundle is held whole or not at all"
            raise InvalidInput([Fault(pointer="/partial", code="holds_a_bundle", message=message)])
        policy = (await policies.active_version(connection)).sourcing
        seen = await snapshots.read_snapshot(
            connection, asked.skus, as_of, channel=request.channel, ship_to=_home(request), currency=asked.currency
        )
    to, usable = _by_method(request, seen)
    if to is None:
        return asked, _gathered(request, asked, usable), seen
    return asked, await asyncio.to_thread(_planned, request, to, asked, usable, policy), seen


def _home(request: HoldCart) -> Place | None:
    where = request.ship_to
    return locate_postal(where.country, where.region, where.postal_code, where.city) if where else None


def _by_method(request: HoldCart, seen: Snapshot) -> tuple[Place | None, Snapshot]:
    """Where the units go, if that is said, and what of the snapshot may give them."""
    if not request.method.ends_at_store:
        to = _home(request)
        return to, seen_by(request.method, None, seen)
    stores = pickup_stores(seen, request.channel)
    store = next((node for node in stores if node.node_id == request.pickup_node_id), None)
    if store is None:
        message = f"customers of {request.channel} cannot pick up at {request.pickup_node_id}"
        raise InvalidInput([Fault(pointer="/pickup_node_id", code="no_pickup_here", message=message)])
    return store.place, seen


def _gathered(request: HoldCart, asked: AskedCart, seen: Snapshot) -> Claims:
    ineligible = seen.ineligible.get(request.channel, ())
    shipping = {node.node_id for node in seen.nodes if node.ship_enabled and node.node_id not in ineligible}
    wanted = {line.sku: line.quantity for line in asked.lines}
    free = {(one.node_id, one.sku): one.available for one in seen.stock if one.node_id in shipping}
    laid = lay_down(seen, gather(wanted, free))
    return gather(wanted, {(one.node_id, one.sku): one.available for one in laid.stock if one.node_id in shipping})


def _planned(request: HoldCart, to: Place, asked: AskedCart, seen: Snapshot, policy: Policy) -> Claims:
    from shared.domain.sourcing import plan  # loads numpy, which other calls do without

    order = SourcingOrder(
        order_id="cart",
        channel=request.channel,
        ship_to=to,
        service=request.service,
        lines=asked.lines,
        method=request.method,
        pickup_node_id=request.pickup_node_id,
    )
    claims: Claims = {}
    for shipment in plan(order, seen, policy).shipments:
        for line in shipment.lines:
            key = (shipment.node_id, line.sku)
            claims[key] = claims.get(key, 0) + line.quantity
    return claims


async def _hold(
    doms: Doms, request: HoldCart, asked: AskedCart, claims: Claims, pooled: Sequence[Pooled]
) -> CartHold | None:
    now = datetime.now(UTC)
    expires_at = now + timedelta(minutes=request.minutes)
    wanted = tuple(
        WantedUnits(sku=line.sku, quantity=line.quantity, bundle=bool(asked.items[line.sku].components))
        for line in request.lines
    )
    units = await carts.hold_units(
        doms.database,
        request.cart_hold_id,
        claims,
        channel=request.channel,
        lines=wanted,
        content_hash=request.content_hash(),
        way=(request.method, request.pickup_node_id, request.service),
        expires_at=expires_at,
        partial=request.partial,
        pooled=pooled,
    )
    if units is None:
        return None
    return CartHold(
        cart_hold_id=request.cart_hold_id,
        channel=request.channel,
        held_at=now,
        expires_at=expires_at,
        overdue=False,
        wanted=wanted,
        units=units,
    )


async def _known(doms: Doms, request: HoldCart) -> CartHold | None:
    """What was held for this cart before."""
    async with doms.database.reading() as connection:
        try:
            content_hash, held = await carts.read_hold(connection, request.cart_hold_id)
        except NotFound:
            return None
    if content_hash != request.content_hash():
        raise Conflict(f"{request.cart_hold_id} holds another cart: choose another id", cart_id=request.cart_id)
    return held


async def show_cart(doms: Doms, cart_hold_id: str) -> CartHold:
    """What is held for a cart, and what has become of it.

    Raises:
        NotFound: nothing was ever held for the cart.
    """
    with reachable():
        async with doms.database.reading() as connection:
            return (await carts.read_hold(connection, cart_hold_id))[1]


async def extend_cart(doms: Doms, cart_hold_id: str, minutes: int) -> CartHold:
    """Hold a cart's units for so many minutes from now; what is held for longer already stays so.

    Raises:
        NotFound: nothing was ever held for the cart.
        Conflict: the hold is over, or its time is up.
    """
    with reachable():
        async with doms.database.transaction() as connection:
            await carts.read_hold(connection, cart_hold_id)
            await carts.extend(connection, cart_hold_id, datetime.now(UTC) + timedelta(minutes=minutes))
    return await show_cart(doms, cart_hold_id)


async def release_cart(doms: Doms, cart_hold_id: str, *, actor: str) -> CartHold:
    """Give a cart's units back, for the orders that wait first, and wake those; a hold that is over stays as it is.

    Raises:
        NotFound: nothing was ever held for the cart.
    """
    with reachable():
        async for attempt in around_races():
            with attempt:
                async with doms.database.transaction() as connection:
                    _, held = await carts.read_hold(connection, cart_hold_id)
                    queue = await line_up(connection, {unit.sku for unit in held.units})
                    more = await carts.release(connection, cart_hold_id, actor=actor)
                    await queue.serve(connection)
                    await wakes.ask_waiting(connection, more)
        await tell_waiting(doms.database, doms, more)
    return await show_cart(doms, cart_hold_id)
