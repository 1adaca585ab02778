"""How fulfillment orders come to be: rows of planned shipments, written by whoever makes a plan true."""

from __future__ import annotations

from datetime import datetime

from pydantic import TypeAdapter

from shared.domain.base import Instant, Model
from shared.domain.cartons import PlannedPackage
from shared.domain.sourcing.plans import CostTerms, PlannedShipment
from shared.messages import fulfillment_order_id


class Opened(Model):
    """A fulfillment order that nobody was told of yet.

    Attributes:
        staff_chose: It is at a node of staff's choice, and only staff move it.
    """

    fulfillment_order_id: str
    order_id: str
    n: int
    node_id: str
    units: int
    carrier: str
    service: str
    release_at: Instant | None
    ship_by: Instant
    deliver_by: Instant
    cost: CostTerms
    planned_minor: int
    staff_chose: bool
    packages: tuple[PlannedPackage, ...]


#: A part of statements that write ``:opened``, rows as ``rows_of`` gives them.
OPEN = """
    INSERT INTO fulfillment_order (fulfillment_order_id, order_id, n, node_id, units, status, carrier, service,
                                   release_at, ship_by, deliver_by, cost, planned_minor, staff_chose, packages)
    SELECT fulfillment_order_id, order_id, n, node_id, units, 'open', carrier, service, release_at, ship_by,
           deliver_by, cost, planned_minor, staff_chose, packages
    FROM jsonb_to_recordset(CAST(:opened AS jsonb)) AS f(
        fulfillment_order_id text, order_id text, n int, node_id text, units int, carrier text, service text,
        release_at timestamptz, ship_by timestamptz, deliver_by timestamptz, cost jsonb, planned_minor bigint,
        staff_chose boolean, packages jsonb)
"""
_ROWS = TypeAdapter(list[Opened])


def opened(
    order_id: str, n: int, shipment: PlannedShipment, release_at: datetime | None, *, staff_chose: bool = False
) -> Opened:
    """A planned shipment as the order's fulfillment order ``n``."""
    return Opened.model_construct(
        fulfillment_order_id=fulfillment_order_id(order_id, n),
        order_id=order_id,
        n=n,
        node_id=shipment.node_id,
        units=sum(line.quantity for line in shipment.lines),
        carrier=shipment.carrier,
        service=shipment.service,
        release_at=release_at,
        ship_by=shipment.ship_by,
        deliver_by=shipment.deliver_by,
        cost=shipment.cost,
        planned_minor=shipment.cost.total,
        staff_chose=staff_chose,
        packages=shipment.packages,
    )


def rows_of(openings: list[Opened]) -> str:
    return _ROWS.dump_json(openings).decode()
