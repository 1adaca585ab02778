"""Policies a merchant understands by their name. Amounts are minor units."""

from __future__ import annotations

from shared.domain.sourcing.models import Policy
from shared.domain.sourcing.weights import Weights

#: By name; each says nothing of nodes and distances, which are the merchant's own.
PRESETS: dict[str, Policy] = {
    # What is paid for this order, and nothing else: not even what later orders may lose by it.
    "cheapest": Policy(
        version="cheapest", split_penalty_minor=0, late_day_minor=0, weights=Weights(scarcity=0, capacity=0)
    ),
    # A day sooner is worth 20.00 for each unit; what it costs to get there hardly counts.
    "fastest": Policy(version="fastest", split_penalty_minor=0, wait_day_minor=200, weights=Weights(lateness=1000)),
    # A second parcel is only sent when nothing else fills the order, or for some 60.00 saved.
    "fewest-parcels": Policy(version="fewest-parcels", weights=Weights(split_penalty=2000)),
    # Stock leaves where most of it lies, or longest: there a unit may cost up to 3.00 more than where there is next to
    # none, and 3.00 more than where the item sells.
    "clear-overstock": Policy(version="clear-overstock", clear_unit_minor=300, clear_aged_minor=300),
    # Money first, with a price on splitting an order and on each late day.
    "balanced": Policy(version="balanced"),
}
