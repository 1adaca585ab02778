"""What the planner decided and why, as it was kept with each plan that was made true."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rate_shops
from shared.domain.decisions import Decision, Explanation
from shared.domain.sourcing.plans import Plan
from shared.errors import NotFound

_DECISIONS = text("""
    SELECT o.currency, d.attempt, d.plan FROM orders o LEFT JOIN decision d USING (order_id)
    WHERE o.order_id = :order_id ORDER BY d.attempt
""")


async def explain(connection: AsyncConnection, order_id: str) -> Explanation:
    """Every decision on an order with every candidate's cost or the reason it fell out.

    Raises:
        NotFound: there is no such order.
    """
    rows = (await connection.execute(_DECISIONS, {"order_id": order_id})).all()
    if not rows:
        raise NotFound(f"there is no order {order_id}", order_id=order_id)
    decisions = tuple(Decision.of(row.attempt, Plan.model_validate(row.plan)) for row in rows if row.plan)
    shops = await rate_shops.of_order(connection, order_id)
    return Explanation(order_id=order_id, currency=rows[0].currency, decisions=decisions, rate_shops=shops)
