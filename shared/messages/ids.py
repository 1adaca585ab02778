"""How orders, fulfillment orders, returns and their processes are named."""

from __future__ import annotations


def order_id_of(channel: str, channel_order_id: str) -> str:
    """The order's id. Neither part may hold a slash, so no two orders share one."""
    return f"{channel}/{channel_order_id}"


def order_workflow_id(order_id: str) -> str:
    return f"order/{order_id}"


def return_workflow_id(return_id: str) -> str:
    return f"return/{return_id}"


def wave_workflow_id(channel: str) -> str:
    """One at a time for each channel."""
    return f"wave/{channel}"


def fulfillment_order_id(order_id: str, n: int) -> str:
    return f"{order_id}/f{n}"


def return_id_of(order_id: str, n: int) -> str:
    return f"{order_id}/r{n}"


def order_of_return(return_id: str) -> str:
    return return_id.rpartition("/")[0]
