"""Stored orders as the planner knows them, where many are read at once."""

from __future__ import annotations

from typing import Any

from shared.domain.network import Place
from shared.domain.orders import ServiceLevel
from shared.domain.sourcing.models import SourcingOrder, WantedLine


def lines_as_json(line: str, units: str) -> str:
    """SQL of an order's ``WantedLine``s as one array, of lines of this alias joined with their item ``i``."""
    return f"""
        jsonb_agg(jsonb_build_object(
            'line_no', {line}.line_no, 'sku', {line}.sku, 'quantity', {line}.{units}, 'weight_g', i.weight_g,
            'length_mm', i.length_mm, 'width_mm', i.width_mm, 'height_mm', i.height_mm,
            'unit_price_minor', {line}.unit_price_minor, 'group', {line}.bundle_line_no,
            'own_container', i.own_container) ORDER BY {line}.line_no)
    """


def order_of(row: Any, **more: Any) -> SourcingOrder:
    """The order of a row of ``orders`` with its ``lines``; what not every caller reads is given by name."""
    return SourcingOrder(
        order_id=row.order_id,
        channel=row.channel,
        ship_to=Place.model_validate(row.place),
        service=ServiceLevel(row.service),
        lines=tuple(WantedLine.model_validate(line) for line in row.lines),
        priority=row.priority,
        tags=tuple(row.tags),
        received_at=row.received_at,
        **more,
    )
