"""How and where the customer gets an order: as it says, else as its cart was held."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.carts import cart_hold_id_of
from shared.domain.network import Place
from shared.domain.orders import Address, Method, OrderDocument, ServiceLevel
from shared.errors import Fault, InvalidInput

_HELD = text("SELECT method, pickup_node_id, service FROM cart_hold WHERE cart_hold_id = :cart_hold_id")
_STORE = text("""
    SELECT n.name, n.place FROM node n
    LEFT JOIN channel c ON c.channel = :channel
    LEFT JOIN channel_node x ON x.channel = :channel AND x.node_id = n.node_id
    WHERE n.node_id = :node_id AND n.pickup_enabled AND coalesce(x.sells, c.every_node, true)
""")


class Delivery(NamedTuple):
    """What an order's delivery comes to.

    Attributes:
        ship_to: Where parcels go: the store where the customer fetches them, or the customer.
        place: Where that lies.
    """

    method: Method
    pickup_node_id: str | None
    service: ServiceLevel
    ship_to: Address
    place: Place


async def read_delivery(connection: AsyncConnection, document: OrderDocument, place: Place) -> Delivery:
    """An order's delivery: what it does not say itself is as its cart was held.

    Args:
        place: Of the customer's address.

    Raises:
        InvalidInput: it says otherwise than its cart was held, or the channel's customers cannot pick up there.
    """
    delivery = Delivery(
        document.method or Method.SHIP, document.pickup_node_id, document.service, document.ship_to, place
    )
    if document.cart_id is not None:
        delivery = await _as_held(connection, document, document.cart_id, delivery)
    return delivery if delivery.pickup_node_id is None else await _at_store(connection, document, delivery)


async def _as_held(connection: AsyncConnection, document: OrderDocument, cart_id: str, told: Delivery) -> Delivery:
    cart_hold_id = cart_hold_id_of(document.channel, cart_id)
    row = (await connection.execute(_HELD, {"cart_hold_id": cart_hold_id})).first()
    if row is None:
        return told
    if document.method is not None and (row.method, row.pickup_node_id) != (told.method, told.pickup_node_id):
        where = f" at {row.pickup_node_id}" if row.pickup_node_id else ""
        message = f"the units of cart {cart_id} are held for {row.method}{where}; leave it out, or hold another cart"
        raise InvalidInput([Fault(pointer="/method", code="not_as_held", message=message)])
    service = told.service if "service" in document.model_fields_set else ServiceLevel(row.service)
    return told._replace(method=Method(row.method), pickup_node_id=row.pickup_node_id, service=service)


async def _at_store(connection: AsyncConnection, document: OrderDocument, delivery: Delivery) -> Delivery:
    values = {"channel": document.channel, "node_id": delivery.pickup_node_id}
    store = (await connection.execute(_STORE, values)).first()
    if store is None:
        message = f"customers of {document.channel} cannot pick up at {delivery.pickup_node_id}"
        raise InvalidInput([Fault(pointer="/pickup_node_id", code="no_pickup_here", message=message)])
    place = Place.model_validate(store.place)
    at = {"line1": store.name, "line2": "", "city": place.city or store.name, "region": place.region}
    address = document.ship_to.model_copy(update=at | {"postal_code": place.postal_code, "country": place.country})
    return delivery._replace(ship_to=address, place=place)
