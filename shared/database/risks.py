"""How often nodes fail what they are asked to ship, learned from what became of their fulfillment orders.

A node's rate is the mean of the beta distribution that what it did makes of a prior: the network's own rate, worth
``PRIOR_ORDERS`` fulfillment orders. A node that did little is judged like the others, one that did much by itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.sourcing.models import NodeRisk

#: What is older than this says nothing about a node of today.
WINDOW = timedelta(days=90)
PRIOR_ORDERS = 20

_RISKS = TypeAdapter(tuple[NodeRisk, ...])

#: What staff rerouted and what customers cancelled was not the node's fault, and is not counted.
_ASSESS = text("""
    WITH judged AS (
        SELECT node_id, excludes_node AND reason NOT LIKE 'rerouted:%' AS rejected,
               shipped_at IS NOT NULL AS shipped, coalesce(coalesce(ready_at, shipped_at) > ship_by, false) AS late
        FROM fulfillment_order
        WHERE coalesce(shipped_at, ended_at) > :since
    ), history AS (
        SELECT node_id, count(*) AS asked, count(*) FILTER (WHERE rejected) AS rejected,
               count(*) FILTER (WHERE shipped) AS shipped, count(*) FILTER (WHERE late) AS late
        FROM judged WHERE rejected OR shipped GROUP BY node_id
    ), prior AS (
        SELECT coalesce(sum(rejected) / nullif(sum(asked), 0), 0) AS rejection,
               coalesce(sum(late) / nullif(sum(shipped), 0), 0) AS lateness
        FROM history
    ), assessed AS (
        SELECT n.node_id, coalesce(h.asked, 0) AS asked, coalesce(h.rejected, 0) AS rejected,
               coalesce(h.shipped, 0) AS shipped, coalesce(h.late, 0) AS late,
               round(1000000 * (coalesce(h.rejected, 0) + :prior * p.rejection) / (coalesce(h.asked, 0) + :prior))
                   AS rejection_ppm,
               round(1000000 * (coalesce(h.late, 0) + :prior * p.lateness) / (coalesce(h.shipped, 0) + :prior))
                   AS lateness_ppm
        FROM node n CROSS JOIN prior p LEFT JOIN history h USING (node_id)
    ), kept AS (
        INSERT INTO node_risk AS r (node_id, asked, rejected, shipped, late, rejection_ppm, lateness_ppm, assessed_at)
        SELECT node_id, asked, rejected, shipped, late, rejection_ppm, lateness_ppm, :as_of FROM assessed
        ORDER BY node_id
        ON CONFLICT (node_id) DO UPDATE SET
            asked = excluded.asked, rejected = excluded.rejected, shipped = excluded.shipped, late = excluded.late,
            rejection_ppm = excluded.rejection_ppm, lateness_ppm = excluded.lateness_ppm,
            assessed_at = excluded.assessed_at
        WHERE r.assessed_at <= excluded.assessed_at
          AND (r.asked, r.rejected, r.shipped, r.late, r.rejection_ppm, r.lateness_ppm) IS DISTINCT FROM (
            excluded.asked, excluded.rejected, excluded.shipped, excluded.late, excluded.rejection_ppm,
            excluded.lateness_ppm)
        RETURNING r.node_id
    )
    SELECT (SELECT count(*) FROM assessed) AS nodes, (SELECT count(*) FROM kept) AS changed
""")
_READ = text("""
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'node_id', node_id, 'rejection_ppm', rejection_ppm, 'lateness_ppm', lateness_ppm) ORDER BY node_id), '[]')
    FROM node_risk WHERE rejection_ppm > 0 OR lateness_ppm > 0
""")


class Assessed(NamedTuple):
    """Nodes there are, and those whose figures are others now."""

    nodes: int
    changed: int


async def assess(connection: AsyncConnection, *, as_of: datetime) -> Assessed:
    """Work every node's risk out anew. Repeated, it changes nothing; an earlier assessment replaces no later one."""
    values = {"since": as_of - WINDOW, "prior": PRIOR_ORDERS, "as_of": as_of}
    row = (await connection.execute(_ASSESS, values)).one()
    return Assessed(row.nodes, row.changed)


async def read_risks(connection: AsyncConnection) -> tuple[NodeRisk, ...]:
    """The nodes that are not known to be faultless."""
    return _RISKS.validate_python((await connection.execute(_READ)).scalar_one())
