"""The reports: a simulation's comparison of policies, and where nodes would stand best."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from shared.domain.locating import FAST_DAYS, Layout, Locations
from shared.domain.sourcing.simulation import Comparison, Replay
from shared.domain.sourcing.tally import PolicyResult
from workers.report.charts import Chart, bars, colour, grouped
from workers.report.maps import drawn_map

if TYPE_CHECKING:
    from jinja2 import Template

#: What is compared, as a chart each: a figure of ``PolicyResult``, and what it is called.
_CHARTS = {
    "paid_per_order_minor": "Cost per order",
    "profit_per_order_minor": "Profit per order",
    "split_rate": "Share of orders split",
    "shipments": "Shipments",
    "late_orders": "Late orders",
    "days_to_deliver": "Mean days to deliver",
    "short_units": "Units short (stock-outs)",
}
_FIGURES = (
    "orders", "filled_orders", "units", "short_units", "shipments", "parcels", "split_orders", "split_rate",
    "paid_minor", "paid_per_order_minor", "paid_per_unit_minor", "revenue_minor", "profit_minor",
    "profit_per_order_minor", "late_orders", "late_days", "days_to_deliver", "unproven",
)  # fmt: skip


@cache
def _template(name: str) -> Template:
    house = Environment(
        loader=PackageLoader("workers.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return house.get_template(name)


def simulation_page(found: Comparison, replay: Replay) -> str:
    """A comparison of policies as one HTML page; needs at least one policy."""
    policies = found.policies
    names = [one.policy_version for one in policies]
    nodes = sorted({node.node_id for one in policies for node in one.nodes})
    reasons = sorted({reason for one in policies for reason in one.short_by_reason})
    return _template("simulation.html.j2").render(
        found=found,
        legend=[(name, colour(turn)) for turn, name in enumerate(names)],
        charts=[bars(title, names, [getattr(one, name) for one in policies]) for name, title in _CHARTS.items()],
        load=_load(nodes, policies),
        map=drawn_map((each.order.ship_to for each in replay.orders), replay.nodes),
        figures=[(name.replace("_", " "), [getattr(one, name) for one in policies]) for name in _FIGURES],
        terms=[
            (term.replace("_", " "), [one.paid_by_term.get(term, 0) for one in policies]) for term in _terms(policies)
        ],
        nodes=[(node, [_share(one, node) for one in policies]) for node in nodes],
        short=[(reason, [one.short_by_reason.get(reason, 0) for one in policies]) for reason in reasons],
    )


def _terms(policies: Sequence[PolicyResult]) -> list[str]:
    return list(dict.fromkeys(term for one in policies for term in one.paid_by_term))


def _load(nodes: Sequence[str], policies: Sequence[PolicyResult]) -> Chart:
    return grouped("Units shipped, by node", nodes, [[_share(one, node)[0] for node in nodes] for one in policies])


def _share(one: PolicyResult, node_id: str) -> tuple[int, int, int]:
    """Units, shipments and what is paid for them at a node."""
    node = next((node for node in one.nodes if node.node_id == node_id), None)
    return (node.units, node.shipments, node.paid_minor) if node is not None else (0, 0, 0)


def locations_page(found: Locations, replay: Replay) -> str:
    """Where nodes would stand best as one HTML page."""
    rows = [("today", found.today)]
    rows += [(f"{count} in place of today's", one) for count, one in enumerate(found.alone, 1)]
    rows += [(f"today's and {count} more", one) for count, one in enumerate(found.beside, 1)]
    more = [
        (f"{count} beside today's", one.sites[len(found.today.sites) :]) for count, one in enumerate(found.beside, 1)
    ]
    names = [name for name, _ in rows]
    largest = found.alone[-1] if found.alone else found.today
    centres = found.gravity[-1].centres if found.gravity else ()
    return _template("locations.html.j2").render(
        found=found,
        fast_days=FAST_DAYS,
        rows=rows,
        sites=[(name, one.sites) for name, one in rows if one not in found.beside] + more,
        charts=[
            grouped("Freight per order", names, [[_per_order(one, found.orders) for _, one in rows]]),
            grouped("Mean distance, km", names, [[one.mean_km for _, one in rows]]),
            grouped(f"Share within {FAST_DAYS} days", names, [[one.fast for _, one in rows]]),
        ],
        map=drawn_map(
            (each.order.ship_to for each in replay.orders),
            [node for node in replay.nodes if node.ship_enabled],
            sites=[(f"{site.place.city}, {site.place.region}", site.place) for site in largest.sites],
            centres=[(centre.latitude, centre.longitude) for centre in centres],
        ),
    )


def _per_order(one: Layout, orders: int) -> int:
    return one.freight_minor // max(orders - one.unserved, 1)
