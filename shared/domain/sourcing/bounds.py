"""What no plan can undercut: how far a plan that is not proven may be from the best one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shared.domain.sourcing.freight import volume_mm3
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.sources import Source


def lower_bound(lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy, units: int) -> int:
    """No plan that ships ``units`` of these lines costs less.

    One shipment that carries everything is priced as it is. Any other plan pays every term at the node where
    it is least, and freight either by the gram at the best rate there is or as the smallest parcel.
    """
    if units < sum(line.quantity for line in lines):
        return _spread(1, lines, sources, policy, units)
    wanted: Counter[str] = Counter()
    for line in lines:
        wanted[line.sku] += line.quantity
    everything = [(line, line.quantity) for line in lines]
    alone = [
        priced.terms.total
        for source in sources
        if all(source.holds(sku) >= quantity for sku, quantity in wanted.items())
        and (priced := source.price(everything, policy.dim_divisor)) is not None
    ]
    return min([_spread(2, lines, sources, policy, units), *alone])


def _spread(shipments: int, lines: Sequence[WantedLine], sources: Sequence[Source], policy: Policy, units: int) -> int:
    """Bound for so many shipments or more."""
    tariffs = [[way.tariff for way in source.ways] for source in sources]
    slopes = [min(tariff.least_per_gram() for tariff in ways) for ways in tariffs]
    parcel = min(tariff.price[0] for ways in tariffs for tariff in ways)
    weights = [float(max(0, line.weight_g)) for line in lines]
    volumes = [volume_mm3(line) / policy.dim_divisor for line in lines]
    freight = max(
        _linear(lines, sources, weights, slopes, units),
        _linear(lines, sources, volumes, slopes, units),
        _linear(lines, sources, [0.0] * len(lines), slopes, units) + shipments * parcel,
    )
    fixed = shipments * min(source.fixed for source in sources) + (shipments - 1) * policy.split_penalty_minor
    late = units * min(way.each for source in sources for way in source.ways)
    # Floats lose less than a part in a billion here, and a bound must not be too high.
    return fixed + late + int(freight * (1 - 1e-9))


def _linear(
    lines: Sequence[WantedLine], sources: Sequence[Source], grams: list[float], slopes: list[float], units: int
) -> float:
    """Cost of the cheapest ``units`` units, each at its cheapest holder."""
    costs = sorted(
        (
            min(
                source.node.handling_unit_minor + source.unit_cost(line.sku) + slope * gram
                for source, slope in zip(sources, slopes, strict=True)
                if source.holds(line.sku)
            ),
            line.quantity,
        )
        for line, gram in zip(lines, grams, strict=True)
    )
    total, left = 0.0, units
    for cost, quantity in costs:
        total += cost * min(left, quantity)
        left -= min(left, quantity)
    return total
