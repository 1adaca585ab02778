"""How long a process waits, as data. A running order keeps the policy it began with."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from shared.domain.base import Minor, Model


class ProcessPolicy(Model):
    """The durations and limits of order and return processes.

    Attributes:
        release_after: How long a node is not told of what was planned for it, so that it may be planned again together
            with other orders; never past the node's cut-off. What staff send to a node of their choice does not wait.
        consolidate: Whether orders of one recipient, planned for one node while neither was told, share a parcel.
        answer_within: A node that has not answered by then is asked to cancel and the units go elsewhere.
        exclude_for: How long a node that rejected, stayed silent or shipped short is not asked again for the order.
        backorder_patience: After this, what is still backordered is cancelled.
        backorder_retry: How often a backorder looks for stock by itself; arriving stock wakes it at once.
        payment_patience: How long an order whose payment was declined waits for a new decision before it is cancelled.
        pickup_within: What the customer does not fetch in this time once it is ready goes back on the shelf, and is
            cancelled.
        return_within: A return not received by then expires.
        return_window: Units may be returned for this long after delivery.
        auto_approve_minor: Returns worth at most this are approved without staff.
    """

    release_after: timedelta = timedelta(0)
    consolidate: bool = False
    answer_within: timedelta = timedelta(hours=4)
    exclude_for: timedelta = timedelta(days=7)
    backorder_patience: timedelta = timedelta(days=30)
    backorder_retry: timedelta = timedelta(hours=12)
    payment_patience: timedelta = timedelta(days=2)
    pickup_within: timedelta = timedelta(days=7)
    return_within: timedelta = timedelta(days=21)
    return_window: timedelta = timedelta(days=30)
    auto_approve_minor: Minor = Field(default=50_000)
