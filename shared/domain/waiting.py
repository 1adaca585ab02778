"""What an order waits for now, in sentences a person can act on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from shared.domain.orders import HoldKind
from shared.domain.policy import ProcessPolicy
from shared.domain.story import FulfillmentStory, LineStory, OrderStory, ReturnStory, SupplyStory

#: More short items than this are counted, not named.
_NAMED = 5


def waits_for(order: OrderStory, policy: ProcessPolicy) -> tuple[str, ...]:
    """The sentences; none when nothing will happen to the order any more."""
    return tuple(_sentences(order, policy))


def _sentences(order: OrderStory, policy: ProcessPolicy) -> Iterator[str]:
    standing = [hold for hold in order.holds if hold.released_at is None]
    for hold in standing:
        yield f"release of hold {hold.hold_id} ({hold.kind}: {hold.reason})"
    stopped = any(hold.kind is not HoldKind.SOURCING for hold in standing)
    if order.closed_at is None:
        yield from _before_shipping(order, policy)
    for operation in order.operations:
        if operation.status == "intended":
            yield f"the payment provider's answer to {operation.kind} {operation.reference}"
    for fulfillment in order.fulfillments:
        if fulfillment.ended_at is None:
            yield from _fulfillment(fulfillment, policy, held=stopped or order.lifecycle == "placed")
    for returned in order.returns:
        yield from _return(returned, policy)


def _before_shipping(order: OrderStory, policy: ProcessPolicy) -> Iterator[str]:
    if not order.accepted:
        yield "its first plan: the channel has no verdict yet"
    elif order.units.unallocated:
        yield f"a source for {order.units.unallocated} units"
    if order.accepted and order.lifecycle == "placed" and not order.operations:
        yield "its payment to be authorised"
    short = [line for line in order.lines if line.units.backordered]
    until = _at(_ends(order, policy))
    for line in short[:_NAMED]:
        yield from _backorder(line, [each for each in order.supply if each.line_no == line.line_no], until)
    if len(short) > _NAMED:
        yield f"stock of {len(short) - _NAMED} more items, until {until}"


def _backorder(line: LineStory, supply: Sequence[SupplyStory], until: str) -> Iterator[str]:
    for each in supply:
        where = f"{each.inbound_id} at {each.node_id}, expected {_at(each.expected_at)}"
        yield f"stock of {line.sku}: {each.quantity} units of {where}, delivered by {_at(each.promised_at)}"
    if undated := line.units.backordered - sum(each.quantity for each in supply):
        yield f"stock of {line.sku}: {undated} units, until {until}"


def _ends(order: OrderStory, policy: ProcessPolicy) -> datetime:
    """When what waits for stock is cancelled, at the latest."""
    patience = order.received_at + policy.backorder_patience
    rest = order.plan.rest if order.plan is not None else None
    if order.plan is None or rest is None or rest.after is None:
        return patience
    return min(patience, order.plan.as_of + rest.after)


def _fulfillment(f: FulfillmentStory, policy: ProcessPolicy, *, held: bool) -> Iterator[str]:
    name = f"fulfillment order {f.n} ({f.units} units)"
    if f.shipped_at is not None:
        parcels = ", ".join(p.tracking_no for p in f.packages if p.tracking_no and p.delivered_at is None)
        yield f"delivery of {name} by {f.carrier}, due {_at(f.deliver_by)}" + (f": {parcels}" if parcels else "")
    elif f.request_status == "unsubmitted":
        if not held:
            then = f", not before {_at(f.release_at)}" if f.release_at is not None else ""
            yield f"{f.node_id} to be told of {name}{then}"
    elif f.request_status == "submitted":
        answer_by = (f.submitted_at or f.created_at) + policy.answer_within
        yield f"{f.node_id} to answer {name} until {_at(answer_by)}"
    elif f.ready_at is not None:
        yield f"the customer to fetch {name} at {f.node_id} until {_at(f.ready_at + policy.pickup_within)}"
    elif f.packed_at is not None and f.consolidation is not None and f.consolidation.sealed_at is None:
        mates = ", ".join(f.consolidation.mates)
        yield f"{mates} to be packed into one parcel with {name}, at most until {_at(f.ship_by)}"
    elif f.request_status == "cancel_requested":
        yield f"{f.node_id} to say whether it gives {name} back"
    else:
        yield f"{f.node_id} to ship {name}, due {_at(f.ship_by)}"


def _return(r: ReturnStory, policy: ProcessPolicy) -> Iterator[str]:
    until = _at(r.requested_at + policy.return_within)
    if r.status == "requested":
        yield f"a decision on return {r.return_id} until {until}"
    elif r.status == "approved":
        yield f"the goods of return {r.return_id} at {r.node_id} until {until}"
    elif r.status == "received":
        yield f"return {r.return_id} to be restocked and refunded"


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
