"""What the kinds of cases mean, and what a person does about them."""

from __future__ import annotations

from collections.abc import Mapping

_UNKNOWN = "Something needs a person; its detail says what was seen."

#: By kind. What a check of the facts finds begins with ``recon.``.
EXPLANATIONS: Mapping[str, str] = {
    "recon.stock_moves": "A position is not the sum of its moves: it was changed around the ledger. Count it.",
    "recon.stock_reserved": "Units are reserved that no reservation claims, or the other way round.",
    "recon.stock_held": "Units are held for carts that hold nothing, or the other way round.",
    "recon.supply_bound": "Expected supply is promised to other units than wait for it.",
    "recon.bound_waits": "More supply is kept for an order line than waits for it.",
    "recon.inbound_moves": "What came of a delivery is not what was booked of it. Count what is there.",
    "recon.ended_reservations": "Units are reserved for what is over: nobody else can have them.",
    "recon.line_units": "Where an order line says its units are is not what its reservations say.",
    "recon.capacity_claims": "A day of a node is not the sum of what fulfillment orders claim of it.",
    "recon.capacity_owners": "A node's day is kept for more units than its fulfillment order still ships.",
    "capacity_exceeded": "A day's limit was lowered below what was promised of it. Raise it, or reroute some of it.",
    "recon.payment_operations": "What a payment comes to is not the sum of its operations.",
    "recon.captured_within_shipped": "More money was taken than what has left is worth: refund the difference.",
    "recon.refunds": "More is being refunded than came back or was taken.",
    "recon.closed_order_money": "The order is over, and its money is not settled: capture, void or refund the rest.",
    "recon.messages_unanswered": "A partner has not answered for long; the request may have had its effect. Ask them.",
    "recon.payments_unanswered": "The payment provider has not answered for long. Look the operation up with them.",
    "recon.messages_unmatched": "A partner told of something we know nothing of. Ask them what it is about.",
    "recon.partner_stock": "A partner holds another number of units than the ledger says, and no order under way "
    "explains it. It is corrected when it is the same again and nobody's claim is in the way; else count the position.",
    "recon.partner_unreachable": "A partner did not tell its stock: nothing is known to be wrong or right there.",
    "recon.process_missing": "An order is open and has no process. It is started again and goes on by the facts.",
    "recon.process_ended": "An order is open and its process is over. One that failed is started again; one that was "
    "terminated or cancelled waits for you: `doms cases restart ORDER` has it go on.",
    "recon.process_left": "An order is over and its process still runs. Look at it in Temporal, then end it there.",
    "recon.process_unknown": "A process runs for an order nobody knows: the database is older than Temporal. What it "
    "did outside is real; enter the order again, or end the process and take back what it did.",
    "recon.return_process_missing": "A return is open and has no process. It is started again and goes on by what "
    "is on record.",
    "recon.return_process_ended": "A return is open and its process is over. One that failed is started again; one "
    "that was terminated or cancelled waits for you: `doms cases restart RETURN` has it go on.",
    "recon.return_process_left": "A return is over and its process still runs. Look at it in Temporal, then end it "
    "there.",
    "recon.return_process_unknown": "A process runs for a return nobody knows: the database is older than Temporal. "
    "Open the return again, or end the process and take back what it did.",
    "overdue_shipment": "A node should have shipped by now. Ask it, or reroute.",
    "overdue_delivery": "A parcel should have been delivered by now. Ask the carrier.",
    "count.below_claims": "Fewer units were counted than orders and carts have claimed. Find them, or reroute.",
    "stock.below_claims": "A source tells of fewer units than orders and carts have claimed. Reroute or cancel.",
    "over_receipt": "More came than was expected. Keep it and settle it with who sent it, or send it back.",
    "lost_in_transfer": "Less of a transfer arrived than left. Look for it on both sides, then write it off.",
    "transfer_not_advised": "A warehouse refuses what it is told of a transfer on its way. Tell it, and mend why.",
    "pickup": "A store does not take back what its customer has not fetched. It is asked again a day later; call it.",
    "queued": "A policy's stage found no source and leaves it to you: release the hold to have it look again, or "
    "cancel. It is resolved when the hold is released or nothing of the order waits any more.",
    "failed step": "A step of an order's process failed for good. It is tried again after a while; mend what it names.",
    "label": "No label could be bought for a parcel that is packed. Buy one, or have the node send it otherwise.",
    "capture": "The payment provider does not capture what has shipped. Ask the customer for another payment.",
    "void": "The payment provider does not void what was not captured. Void it there before it runs out by itself.",
    "refund": "The payment provider does not refund a return. Pay it back another way.",
    "return_refused": "The receiving node refuses to expect a return. Agree with it, or name the customer another one.",
    "feed.refused": "A source's file was refused as a whole; its run says why. Have it sent again.",
    "feed.stale": "A source has not told its stock for too long; less of it is sold until it does.",
    "shipped_more_than_asked": "A node shipped more than asked. Let the customer keep the rest, or send it back.",
    "shipped_after_cancel": "A node shipped what it had given back. Intercept the parcel, or take it back.",
    "request_refused": "A node refused a request for what it says, not for its stock. Mend the data and reroute.",
    "parcel_exception": "A carrier reports trouble with a parcel. Ask it, and tell the customer.",
    "parcel_return_to_sender": "A carrier brings a parcel back. Refund or send it again when it is here.",
    "returned_after_all": "A return came that was declined or had expired. Decide what the customer gets.",
    "more_returned_than_asked": "More units came back than were announced. Decide what the customer gets for them.",
    "label_not_voided": "A label that is not needed was not voided: claim it back from the carrier.",
}


def explain(kind: str) -> str:
    """What a kind of case means and what to do."""
    return EXPLANATIONS.get(kind, _UNKNOWN)
