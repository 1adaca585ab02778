"""Who sells the labels of parcels: what the choice goes by, and the choice, written down before a label is bought."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import network, trade
from shared.database.steps import lock_order, note
from shared.domain.network import Node, Place
from shared.domain.rate_shopping import Parcel, RateShop, Refusal
from shared.gateways.protocol import BuyLabel

_SHOPS = TypeAdapter(tuple[RateShop, ...])

#: Those who share the parcel are all in it: it must not fly for one of them, and be there in time for each.
_PARCEL = text("""
    WITH bearer AS (
        SELECT f.fulfillment_order_id, f.deliver_by FROM fulfillment_order f
        WHERE f.fulfillment_order_id = :owner
           OR f.fulfillment_order_id IN (SELECT fulfillment_order_id FROM package WHERE label_reference = :reference)
    )
    SELECT f.carrier, f.service, to_jsonb(whence) AS node, o.place, o.currency,
           (SELECT min(deliver_by) FROM bearer) AS deliver_by,
           EXISTS (SELECT FROM reservation r JOIN bearer b ON b.fulfillment_order_id = r.owner
                   JOIN item_trade t USING (sku) WHERE t.hazmat) AS hazmat,
           coalesce((SELECT z.zone FROM carrier_zone z
                     WHERE z.carrier = f.carrier AND whence.place ->> 'country' = o.place ->> 'country'
                       AND z.origin = left(whence.place ->> 'postal_code', 3)
                       AND z.destination = left(o.place ->> 'postal_code', 3)), 0) AS zone
    FROM fulfillment_order f JOIN node whence USING (node_id) JOIN orders o USING (order_id)
    WHERE f.fulfillment_order_id = :owner
""")
_OPEN = text("""
    INSERT INTO rate_shop (reference, order_id)
    SELECT reference, :order_id FROM unnest(CAST(:references AS text[])) AS reference ORDER BY reference
    ON CONFLICT (reference) DO NOTHING
""")
_OF_ORDER = text("""
    SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY reference), '[]') FROM rate_shop s
    WHERE s.chosen_at IS NOT NULL AND s.reference IN (SELECT label_reference FROM package WHERE order_id = :order_id)
""")
_OWNER = text("SELECT order_id, n FROM fulfillment_order WHERE fulfillment_order_id = :owner")
_FIND = text("SELECT to_jsonb(s) AS shop, s.chosen_at FROM rate_shop s WHERE s.reference = :reference")
#: Of two choices the first stands.
_KEEP = text("""
    UPDATE rate_shop r
    SET chosen_at = now(), weight_g = s.weight_g, deliver_by = s.deliver_by, carrier = s.carrier, service = s.service,
        quote_id = s.quote_id, price_minor = s.price_minor, currency = s.currency, delivered_by = s.delivered_by,
        because = s.because, offers = s.offers, unanswered = s.unanswered
    FROM jsonb_populate_record(NULL::rate_shop, CAST(:shop AS jsonb)) s
    WHERE r.reference = s.reference AND r.chosen_at IS NULL
    RETURNING r.reference
""")
#: Told to all whose packages wait for the label.
_REFUSED = text("""
    WITH turned AS (
        UPDATE rate_shop SET refusals = refusals || CAST(:refusal AS jsonb)
        WHERE reference = :reference AND jsonb_array_length(refusals) = :turn
        RETURNING reference
    )
    INSERT INTO timeline (order_id, actor, event, detail)
    SELECT DISTINCT f.order_id, 'doms', 'label refused',
           CAST(:refusal AS jsonb) || jsonb_build_object('n', f.n, 'label', t.reference)
    FROM turned t JOIN package p ON p.label_reference = t.reference
    JOIN fulfillment_order f USING (fulfillment_order_id)
    WHERE p.label_status = 'purchasing'
""")


class Opened(NamedTuple):
    """A parcel whose rates are compared; ``shop`` is the choice, once it is made."""

    shop: RateShop | None


async def open_shops(connection: AsyncConnection, order_id: str, references: Collection[str]) -> None:
    """Say that rates are compared before these labels are bought: in the transaction that begins their purchase."""
    await connection.execute(_OPEN, {"order_id": order_id, "references": list(references)})


async def find(connection: AsyncConnection, reference: str) -> Opened | None:
    """What is on record of a label; ``None`` where the plan's choice is bought."""
    row: Any = (await connection.execute(_FIND, {"reference": reference})).first()
    if row is None:
        return None
    return Opened(RateShop.model_validate(row.shop) if row.chosen_at is not None else None)


async def of_order(connection: AsyncConnection, order_id: str) -> tuple[RateShop, ...]:
    """What was chosen for the parcels of an order, also where others bought the label they share."""
    return _SHOPS.validate_python((await connection.execute(_OF_ORDER, {"order_id": order_id})).scalar_one())


async def read_parcel(connection: AsyncConnection, owner: str, label: BuyLabel) -> Parcel:
    """What decides who may sell a label.

    Args:
        owner: The fulfillment order that buys it.
        label: The purchase as it was planned.
    """
    row: Any = (await connection.execute(_PARCEL, {"owner": owner, "reference": label.reference})).one()
    return Parcel(
        reference=label.reference,
        weight_g=label.weight_g,
        node=Node.model_validate(row.node),
        ship_to=Place.model_validate(row.place),
        deliver_by=row.deliver_by,
        currency=row.currency,
        carrier=row.carrier,
        service=row.service,
        rates=await network.read_rates(connection),
        zone=row.zone,
        rules=await trade.read_rules(connection),
        hazmat=row.hazmat,
    )


async def keep(connection: AsyncConnection, owner: str, shop: RateShop) -> RateShop:
    """Write a choice down; returns the one that stands."""
    who: Any = (await connection.execute(_OWNER, {"owner": owner})).one()
    await lock_order(connection, who.order_id)
    if (await connection.execute(_KEEP, {"shop": shop.model_dump_json()})).first() is None:
        standing = await find(connection, shop.reference)
        assert standing is not None, "what is compared was opened"
        assert standing.shop is not None, "what cannot be chosen was chosen before"
        return standing.shop
    await note(
        connection,
        who.order_id,
        "rates compared",
        n=who.n,
        label=shop.reference,
        by=f"{shop.carrier} {shop.service}",
        price_minor=shop.price_minor,
        because=shop.because,
        unanswered=dict(shop.unanswered),
    )
    return shop


async def refuse(connection: AsyncConnection, reference: str, turn: int, refusal: Refusal) -> None:
    """The seller whose turn it is does not sell: it is the next one's. Safe to repeat.

    Args:
        turn: How many refused before.
    """
    values = {"reference": reference, "turn": turn, "refusal": refusal.model_dump_json()}
    await connection.execute(_REFUSED, values)
