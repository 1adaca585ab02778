"""Nodes that an order is kept from for a while, because they rejected it or let it wait."""

from __future__ import annotations


def excluded_since(moment: str) -> str:
    """SQL for the nodes that have given the order ``o`` up since a moment, itself SQL; NULL when there are none."""
    return f"""(SELECT array_agg(DISTINCT f.node_id ORDER BY f.node_id) FROM fulfillment_order f
                WHERE f.order_id = o.order_id AND f.excludes_node
                  AND coalesce(f.ended_at, f.shipped_at) > {moment})"""  # noqa: S608 - our own fragments
