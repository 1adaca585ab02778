"""Labels of packed parcels: bought, handed over, voided."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.steps import lock_order, note, open_case
from shared.domain.base import Model
from shared.domain.orders import Address
from shared.gateways.protocol import BuyLabel, Label
from shared.messages import FulfillmentCall

_WORK = text("""
    SELECT f.fulfillment_order_id, f.node_id, f.carrier, f.service, f.shipped_at, f.ended_at, n.partner_id, o.ship_to
    FROM fulfillment_order f JOIN node n USING (node_id) JOIN orders o USING (order_id)
    WHERE f.order_id = :order_id AND f.n = :n
""")
_PACKAGES = text("""
    SELECT package_id, package_no, weight_g, carrier, service, label_id, label_cost_minor, tracking_no, label_status
    FROM package WHERE fulfillment_order_id = :owner ORDER BY package_no
""")
_PURCHASING = text("""
    UPDATE package SET label_status = 'purchasing' WHERE fulfillment_order_id = :owner AND label_status = 'none'
""")
_LABELLED = text("""
    UPDATE package
    SET label_status = 'completed', label_id = :label_id, label_cost_minor = :cost_minor, tracking_no = :tracking_no,
        carrier = :carrier, service = :service
    WHERE package_id = :package_id
""")
_VOIDED = text("UPDATE package SET label_status = 'voided' WHERE package_id = :package_id")


class PackageRow(Model):
    """A packed parcel and its label, if it has one."""

    package_id: str
    package_no: int
    weight_g: int
    carrier: str
    service: str
    label_id: str | None
    label_cost_minor: int
    tracking_no: str
    label_status: str

    def label(self) -> Label:
        assert self.label_id is not None
        return Label(
            label_id=self.label_id,
            reference=self.package_id,
            carrier=self.carrier,
            service=self.service,
            tracking_no=self.tracking_no,
            cost_minor=self.label_cost_minor,
        )


class Labelling(Model):
    """A fulfillment order's parcels and what a carrier must know to label them."""

    node_id: str
    partner_id: str
    carrier: str
    service: str
    ship_to: Address
    packages: tuple[PackageRow, ...]
    live: bool
    ended: bool
    unsure: bool

    def purchase(self, package: PackageRow) -> BuyLabel:
        return BuyLabel(
            reference=package.package_id,
            carrier=self.carrier,
            service=self.service,
            from_node=self.node_id,
            ship_to=self.ship_to,
            weight_g=package.weight_g,
        )


async def read_labelling(connection: AsyncConnection, call: FulfillmentCall, *, purchase: bool) -> Labelling:
    """The parcels of a fulfillment order; with ``purchase`` it is written down that labels are being bought."""
    await lock_order(connection, call.order_id)
    row: Any = (await connection.execute(_WORK, {"order_id": call.order_id, "n": call.n})).one()
    owner = row.fulfillment_order_id
    packages = (await connection.execute(_PACKAGES, {"owner": owner})).all()
    unsure = any(package.label_status == "purchasing" for package in packages)
    if purchase and row.ended_at is None:
        await connection.execute(_PURCHASING, {"owner": owner})
    return Labelling(
        node_id=row.node_id,
        partner_id=row.partner_id,
        carrier=row.carrier,
        service=row.service,
        ship_to=Address.model_validate(row.ship_to),
        packages=tuple(PackageRow.model_validate(dict(package._mapping)) for package in packages),
        live=row.ended_at is None,
        ended=row.shipped_at is not None,
        unsure=unsure,
    )


async def record_label(connection: AsyncConnection, call: FulfillmentCall, label: Label) -> None:
    """A label was bought."""
    values = {
        "package_id": label.reference,
        "label_id": label.label_id,
        "cost_minor": label.cost_minor,
        "tracking_no": label.tracking_no,
        "carrier": label.carrier,
        "service": label.service,
    }
    await connection.execute(_LABELLED, values)
    await note(
        connection,
        call.order_id,
        "label bought",
        n=call.n,
        package_id=label.reference,
        tracking_no=label.tracking_no,
        cost_minor=label.cost_minor,
    )


async def record_void(connection: AsyncConnection, call: FulfillmentCall, package_id: str, outcome: str) -> None:
    """A label was voided, or the carrier will not take it back: then somebody has to look."""
    if outcome not in ("voided", "unknown_label", "never_bought"):
        await open_case(connection, "label_not_voided", package_id, call.order_id, outcome=outcome)
    else:
        await connection.execute(_VOIDED, {"package_id": package_id})
    await note(connection, call.order_id, "label voided", n=call.n, package_id=package_id, outcome=outcome)
