"""What the sandbox's nodes answer at once. What they do afterwards is in ``floor``."""

from __future__ import annotations

import sqlite3

from shared.domain.fulfillment import PICKUP
from shared.gateways.fulfillment.client import CancelReceipt, Receipt
from shared.gateways.fulfillment.mapping import PickPackTask, PurchaseOrder, ReturnNotice, ShippingOrder
from shared.gateways.protocol import CancelRequest, SendLabel, TransferAdvice
from shared.gateways.x12 import X12Error, read_interchanges
from workers.sandbox import jobs
from workers.sandbox.config import Behaviour
from workers.sandbox.jobs import Work
from workers.sandbox.packing import Pick
from workers.sandbox.world import Call, Refused, World


def take_task(world: World, call: Call, asked: PickPackTask) -> Receipt:
    picks = tuple(Pick(line.line_no, line.sku, line.quantity, line.unit_weight_g) for line in asked.lines)
    consolidation = asked.consolidation.consolidation_id if asked.consolidation else ""
    work = Work(
        node=asked.node, carrier=asked.carrier, service=asked.service, picks=picks, consolidation=consolidation,
        packages=asked.packages,
    )  # fmt: skip
    return _take(world, call, "task", work)


def take_shipping_order(world: World, call: Call, asked: ShippingOrder) -> Receipt:
    picks = tuple(Pick(line.line_no, line.depositor_item, line.quantity, line.unit_weight_g) for line in asked.lines)
    work = Work(
        node=asked.warehouse, carrier=asked.carrier, service=asked.service, picks=picks, packages=asked.packages
    )
    return _take(world, call, "shipping_order", work)


def take_purchase_order(world: World, call: Call, asked: PurchaseOrder) -> Receipt:
    picks = tuple(Pick(line.line_no, line.buyer_item, line.quantity, line.unit_weight_g) for line in asked.lines)
    work = Work(node=asked.vendor, carrier=asked.carrier, service=asked.service, picks=picks, packages=asked.packages)
    return _take(world, call, "purchase_order", work)


def cancel(world: World, call: Call, asked: CancelRequest) -> CancelReceipt:
    """Cancel what is not packed, and what no customer has fetched.

    A reference never heard of is cancelled too: its request may yet arrive.
    """
    job = jobs.find(world, call.partner, asked.reference)
    if job is None:
        jobs.forestall(world, call.partner, asked.reference)
    elif job.state == "shipped" or (job.state == "packed" and jobs.work_of(world, job).carrier != PICKUP):
        return CancelReceipt(reference=call.reference, accepted=False, reason=job.state)
    elif job.state in ("requested", "accepted", "packed"):
        jobs.move(world, job, "cancelled")
        world.agenda.drop(call.partner, asked.reference)
        world.effect(call, f"{job.kind}.cancelled", asked.reference)
    return CancelReceipt(reference=call.reference, accepted=True)


def take_label(world: World, call: Call, asked: SendLabel) -> Receipt:
    """Stick a label on a package. The parcels leave once every package in them has one."""
    job = jobs.find(world, call.partner, asked.reference)
    if job is None:
        raise Refused("unknown_task", 404)
    if job.state in ("requested", "accepted"):
        raise Refused("not_packed_yet", 409)
    if job.state not in ("packed", "shipped"):
        raise Refused(f"task_{job.state}")
    if not 1 <= asked.package_no <= job.packages:
        raise Refused("unknown_package")
    try:
        last = jobs.stick(world, job, asked)
    except sqlite3.IntegrityError:
        raise Refused("other_label_on_package") from None
    for ready in jobs.ready_with(world, job) if last else ():
        world.later(world.config.pace.ship_after, "ship", call.partner, ready.reference)
    return Receipt(reference=call.reference)


def expect_return(world: World, call: Call, asked: ReturnNotice) -> Receipt:
    world.effect(call, "return.expected", asked.reference)
    world.later(world.config.pace.return_after, "receive", call.partner, asked.reference, asked.model_dump_json())
    return Receipt(reference=call.reference)


def take_transfer_advice(world: World, call: Call, asked: TransferAdvice) -> Receipt:
    """Take an advice of goods on their way, if it reads as one."""
    try:
        interchange, *others = read_interchanges(asked.interchange.encode())
    except (X12Error, ValueError):
        raise Refused("unreadable_interchange") from None
    if others or [each.set_id for each in interchange.transactions] != ["943"]:
        raise Refused("not_an_advice")
    units = [int(segment[1]) for segment in interchange.transactions[0].segments if segment.tag == "W04"]
    world.effect(call, "transfer.advised", asked.reference, amount=sum(units))
    return Receipt(reference=call.reference)


def _take(world: World, call: Call, kind: str, work: Work) -> Receipt:
    if jobs.find(world, call.partner, call.reference) is not None:
        raise Refused("cancelled_before_it_came", 410)
    pace = world.config.pace
    behaviour = jobs.open_job(world, call.partner, call.reference, kind, work)
    world.effect(call, f"{kind}.taken", call.reference)
    if behaviour is not Behaviour.SILENT:
        delay = pace.late_by if behaviour is Behaviour.LATE else pace.accept_after
        world.later(delay, "accept", call.partner, call.reference)
    return Receipt(reference=call.reference)
