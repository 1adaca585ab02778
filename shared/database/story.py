"""The read model: lists of orders, and the whole story of one in one statement, so that its parts agree."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.figures import FULFILLMENT, LIFECYCLE, UNITS
from shared.domain.orders import Fulfillment, Lifecycle, UnitCount, count_units, fulfillment_of, lifecycle_of
from shared.domain.policy import ProcessPolicy
from shared.domain.profit import profit_of
from shared.domain.rollups import Money, payment_of, return_of
from shared.domain.story import OrderStory, OrderSummary, ReturnStory, TimelineEvent
from shared.domain.waiting import waits_for
from shared.errors import Fault, InvalidInput, NotFound

__all__ = [
    "OrderStory",
    "OrderSummary",
    "ReturnStory",
    "TimelineEvent",
    "events_after",
    "find_return",
    "list_orders",
    "list_returns",
    "tell",
]

_LIST = f"""
    SELECT o.order_id, o.channel, o.channel_order_id, o.placed_at, o.received_at, o.promised_at, o.total_minor,
           o.currency, o.service, o.priority, o.lifecycle <> 'placed' AS started, o.closed_at IS NOT NULL AS finished,
           h.held AS on_hold, to_jsonb(u) AS units, u.lines,
           (SELECT coalesce(array_agg(DISTINCT node_id ORDER BY node_id), '{{}}') FROM fulfillment_order f
            WHERE f.order_id = o.order_id AND f.ended_at IS NULL) AS nodes,
           (SELECT count(*) FROM exception_case c WHERE c.order_id = o.order_id AND c.resolved_at IS NULL) AS cases
    FROM orders o
    CROSS JOIN LATERAL (SELECT {UNITS}, count(*) AS lines FROM order_line l WHERE l.order_id = o.order_id) u
    CROSS JOIN LATERAL (
        SELECT EXISTS (SELECT FROM hold WHERE hold.order_id = o.order_id AND released_at IS NULL) AS held) h
    WHERE %s
    ORDER BY o.received_at DESC, o.order_id DESC LIMIT :limit
"""  # noqa: S608 - assembled from this module's own fragments
_MERGED = """EXISTS (
    SELECT FROM fulfillment_order f JOIN consolidation_member m USING (fulfillment_order_id)
    JOIN consolidation_member other USING (consolidation_id)
    JOIN fulfillment_order g ON g.fulfillment_order_id = other.fulfillment_order_id
    WHERE f.order_id = o.order_id AND m.left_at IS NULL AND other.left_at IS NULL
      AND other.fulfillment_order_id <> m.fulfillment_order_id
      AND f.ended_at IS NULL AND f.shipped_at IS NULL AND g.ended_at IS NULL AND g.shipped_at IS NULL)"""
_STATUSES = frozenset([*Lifecycle, *Fulfillment])


def _all(query: str) -> str:
    """Rows of a sub-select as a JSON array."""
    return f"(SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM ({query}) r)"  # noqa: S608 - our own fragments


_RETURNS = """
    SELECT x.*, (SELECT c.currency FROM orders c WHERE c.order_id = x.order_id) AS currency,
           (SELECT jsonb_agg(to_jsonb(l) ORDER BY line_no) FROM return_line l
            WHERE l.return_id = x.return_id) AS lines
    FROM return_order x
"""
_STORY = text(f"""
    SELECT to_jsonb(o) - 'payment' AS document, o.payment ->> 'kind' AS payment_kind, p.process, to_jsonb(m) AS money,
           {
    _all('''SELECT l.*, i.name, to_jsonb(l) AS units FROM order_line l JOIN item i USING (sku)
                    WHERE l.order_id = o.order_id ORDER BY line_no''')
} AS lines,
           {
    _all('''SELECT b.*, i.name FROM bundle_line b JOIN item i USING (sku)
                    WHERE b.order_id = o.order_id ORDER BY line_no''')
} AS bundles,
           {
    _all('''SELECT f.*, f.packages AS planned_packages, n.name AS node_name, n.node_type,
                           (SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY line_no), '[]') FROM reservation c
                            WHERE c.owner = f.fulfillment_order_id) AS lines,
                           (SELECT coalesce(jsonb_agg(to_jsonb(g) || jsonb_build_object('rate_shop', s)
                                                      ORDER BY package_no), '[]')
                            FROM package g
                            LEFT JOIN rate_shop s ON s.reference = g.label_reference AND s.chosen_at IS NOT NULL
                            WHERE g.fulfillment_order_id = f.fulfillment_order_id) AS packages,
                           (SELECT jsonb_build_object('consolidation_id', c.consolidation_id, 'sealed_at', c.sealed_at,
                                                      'mates', jsonb_agg(b.fulfillment_order_id ORDER BY 1))
                            FROM consolidation_member a JOIN consolidation c USING (consolidation_id)
                            JOIN consolidation_member b USING (consolidation_id)
                            JOIN fulfillment_order g ON g.fulfillment_order_id = b.fulfillment_order_id
                            WHERE a.fulfillment_order_id = f.fulfillment_order_id AND a.left_at IS NULL
                              AND b.fulfillment_order_id <> a.fulfillment_order_id AND b.left_at IS NULL
                              AND (g.ended_at IS NULL OR g.shipped_at IS NOT NULL)
                            GROUP BY c.consolidation_id) AS consolidation
                    FROM fulfillment_order f JOIN node n USING (node_id)
                    WHERE f.order_id = o.order_id ORDER BY f.n''')
} AS fulfillments,
           {_all("SELECT * FROM hold WHERE order_id = o.order_id ORDER BY placed_at, hold_id")} AS holds,
           {
    _all('''SELECT * FROM payment_operation WHERE order_id = o.order_id
                    ORDER BY intended_at, reference''')
} AS operations,
           {_all(f"{_RETURNS} WHERE x.order_id = o.order_id ORDER BY n")} AS returns,
           (SELECT plan FROM decision d WHERE d.order_id = o.order_id ORDER BY attempt DESC LIMIT 1) AS plan,
           (SELECT count(*) FROM decision d WHERE d.order_id = o.order_id) AS plans,
           {
    _all('''SELECT b.line_no, b.inbound_id, i.node_id, b.quantity, i.expected_at, b.promised_at
                    FROM supply_binding b JOIN inbound i USING (inbound_id)
                    WHERE b.order_id = o.order_id ORDER BY b.line_no, b.promised_at, b.inbound_id''')
} AS supply,
           {_all("SELECT * FROM timeline WHERE order_id = o.order_id ORDER BY event_id")} AS timeline,
           {
    _all('''SELECT * FROM exception_case WHERE order_id = o.order_id AND resolved_at IS NULL
                    ORDER BY case_id''')
} AS cases,
           {
    _all('''SELECT 'out' AS direction, partner_id, message_key AS what, intended_at AS at,
                           answered_at AS done_at, attempts
                    FROM message_out WHERE order_id = o.order_id
                    UNION ALL
                    SELECT 'in', partner_id, type || ' ' || reference, received_at, applied_at, 1
                    FROM message_in WHERE order_id = o.order_id
                    ORDER BY at''')
} AS messages
    FROM orders o JOIN policy_version p ON p.version = o.policy_version JOIN payment m USING (order_id)
    WHERE o.order_id = :order_id
""")  # noqa: S608 - our own fragments
_EVENTS = text("""
    SELECT event_id, at, actor, event, detail FROM timeline
    WHERE order_id = :order_id AND event_id > :event_id ORDER BY event_id
""")


async def list_orders(
    connection: AsyncConnection,
    *,
    status: str | None = None,
    channel: str | None = None,
    waiting: bool = False,
    held: bool = False,
    merged: bool = False,
    limit: int = 50,
    after: str | None = None,
) -> list[OrderSummary]:
    """Orders, newest first.

    Args:
        status: A lifecycle or fulfilment status.
        waiting: Only orders with units that have no source.
        held: Only orders that a hold stands on.
        merged: Only orders that share a parcel which has not left.
        after: The last order of the page before this one.

    Raises:
        InvalidInput: there is no such status.
    """
    if status is not None and status not in _STATUSES:
        message = f"there is no status {status!r}; one of: {', '.join(sorted(_STATUSES))}"
        raise InvalidInput([Fault(pointer="/status", code="unknown_status", message=message)])
    wanted = {
        "o.channel = :channel": channel is not None,
        "o.closed_at IS NULL AND u.unallocated + u.backordered > 0": waiting,
        "h.held": held,
        _MERGED: merged,
        f":status IN ({FULFILLMENT}, {LIFECYCLE})": status is not None,
        "(o.received_at, o.order_id) < (SELECT received_at, order_id FROM orders WHERE order_id = :after)": bool(after),
    }
    conditions = " AND ".join(condition for condition, asked in wanted.items() if asked) or "true"
    values = {"channel": channel, "status": status, "after": after}
    given = {name: value for name, value in values.items() if value} | {"limit": limit}
    return [_summary(row) for row in await connection.execute(text(_LIST % conditions), given)]


def _summary(row: Any) -> OrderSummary:
    units = UnitCount.model_validate(row.units)
    rolled_up = {
        "units": units,
        "fulfillment": fulfillment_of(units),
        "lifecycle": lifecycle_of(units, started=row.started, finished=row.finished),
    }
    return OrderSummary.model_validate({**row._mapping, **rolled_up})


async def tell(connection: AsyncConnection, order_id: str) -> OrderStory:
    """Everything about one order.

    Raises:
        NotFound: there is no such order.
    """
    row = (await connection.execute(_STORY, {"order_id": order_id})).first()
    if row is None:
        raise NotFound(f"there is no order {order_id}", order_id=order_id)
    facts = dict(row._mapping)
    document = facts.pop("document")
    units = count_units(UnitCount.model_validate(line) for line in facts["lines"])
    money = _money(facts, document, units)
    lifecycle = lifecycle_of(units, started=document["lifecycle"] != "placed", finished=bool(document["closed_at"]))
    rolled_up = {
        "units": units,
        "money": money,
        "lifecycle": lifecycle,
        "fulfillment": fulfillment_of(units),
        "payment": payment_of(money),
        "returned": return_of(units, [each["status"] for each in facts["returns"]]),
        "on_hold": any(hold["released_at"] is None for hold in facts["holds"]),
    }
    told = OrderStory.model_validate(document | facts | rolled_up)
    waits = waits_for(told, ProcessPolicy.model_validate(facts["process"]))
    profit = profit_of(told) if told.fulfillments else None
    return told.model_copy(update={"waits_for": waits, "profit": profit})


def _money(facts: dict[str, Any], document: dict[str, Any], units: UnitCount) -> Money:
    """The order's amounts, and what its units make due: shares of a line as the capture computes them."""
    lines = facts["lines"]
    left = sum(n["total_minor"] * (n["shipped"] + n["delivered"] + n["returned"]) // n["quantity"] for n in lines)
    asked = [operation["status"] for operation in facts["operations"] if operation["kind"] == "authorize"]
    computed = {
        "due_minor": left + document["shipping_minor"] if units.left else 0,
        "owed_minor": sum(n["total_minor"] * n["returned"] // n["quantity"] for n in lines),
        "authorized": "succeeded" in asked,
        "declined": asked[-1:] == ["declined"],
    }
    return Money.model_validate(facts["money"] | computed)


async def events_after(connection: AsyncConnection, order_id: str, event_id: int) -> list[TimelineEvent]:
    """The order's events since ``event_id``, oldest first."""
    rows = await connection.execute(_EVENTS, {"order_id": order_id, "event_id": event_id})
    return [TimelineEvent.model_validate(dict(row._mapping)) for row in rows]


async def list_returns(
    connection: AsyncConnection, *, status: str | None = None, order_id: str | None = None, limit: int = 50
) -> list[ReturnStory]:
    """Returns, newest first."""
    wanted = {"x.status = :status": status, "x.order_id = :order_id": order_id}
    conditions = " AND ".join(condition for condition, value in wanted.items() if value) or "true"
    query = text(f"{_RETURNS} WHERE {conditions} ORDER BY x.requested_at DESC, x.return_id LIMIT :limit")
    values = {"status": status, "order_id": order_id}
    rows = await connection.execute(query, {k: v for k, v in values.items() if v} | {"limit": limit})
    return [ReturnStory.model_validate(dict(row._mapping)) for row in rows]


async def find_return(connection: AsyncConnection, return_id: str) -> ReturnStory:
    """One return.

    Raises:
        NotFound: there is no such return.
    """
    row = (await connection.execute(text(f"{_RETURNS} WHERE x.return_id = :id"), {"id": return_id})).first()
    if row is None:
        raise NotFound(f"there is no return {return_id}", return_id=return_id)
    return ReturnStory.model_validate(dict(row._mapping))
