"""Whether goods may come back, and where they go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from shared.domain.base import Model
from shared.domain.geo import distance_km
from shared.domain.network import Node, NodeType, Place
from shared.domain.policy import ProcessPolicy


class Judgement(Model):
    """What the policy says of a return request."""

    decision: Literal["approved", "declined", "ask_staff"]
    reason: str


def judge(value_minor: int, delivered_at: datetime, as_of: datetime, policy: ProcessPolicy) -> Judgement:
    """Approve within the window up to the limit; decline after the window; ask staff above the limit.

    Args:
        value_minor: What the customer paid for the units, minor units.
        delivered_at: When the last of them was delivered.
    """
    if as_of - delivered_at > policy.return_window:
        return Judgement(decision="declined", reason=f"the return window of {policy.return_window.days} days is over")
    if value_minor > policy.auto_approve_minor:
        return Judgement(decision="ask_staff", reason=f"worth more than {policy.auto_approve_minor}")
    return Judgement(decision="approved", reason="within window and limit")


def receiving_node(nodes: Sequence[Node], shipped_from: str, customer: Place) -> str:
    """Back to where it came from when that place is ours or holds our stock; otherwise the nearest that does.

    Raises:
        ValueError: no node of the network can receive returns.
    """
    able = [node for node in nodes if node.node_type is not NodeType.VENDOR]
    if not able:
        raise ValueError("no warehouse, store or 3PL in the network can receive returns")
    if any(node.node_id == shipped_from for node in able):
        return shipped_from
    return min(able, key=lambda node: (distance_km(node.place, customer), node.node_id)).node_id
