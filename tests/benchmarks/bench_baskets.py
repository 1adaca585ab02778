"""What every preset and every simple rule makes of real baskets: cost per order and split orders.

Run with ``python -m tests.benchmarks.bench_baskets``; some minutes. The baskets are a UK retailer's invoices and
the prices and zones a US carrier's published ones. **Constructed** are the US network, where each customer lives,
the weights, the stock and the days in transit: figures compare methods, they say nothing about the retailer.

Baskets of at most twelve lines; lines ship whole, so that every plan is proven. Each basket meets the same stock,
nothing runs out between them. Money is what is paid for freight, handling and vendors' fees, in cents.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from shared.database.snapshots import wanted_lines
from shared.domain.orders import OrderDocument
from shared.domain.sourcing import plan
from shared.domain.sourcing.models import Policy, Snapshot, SourcingOrder, Stock
from shared.domain.sourcing.plans import CostTerms
from shared.domain.sourcing.presets import PRESETS
from shared.domain.sourcing.sources import survey
from shared.places import locate
from tests.benchmarks.rules import RULES, Case, terms_of
from tests.benchmarks.usps import read_charts, read_rates
from workers.demo.retail_csv import RetailFile
from workers.demo.retail_world import constructed_world, read_catalogue
from workers.demo.world import World

DATA = Path(__file__).parents[3] / "shared/data"
INVOICES = DATA / "orders/uci_online_retail_2010-12_2011-05.csv.gz"
PRICES = DATA / "rates/usps_retail_rates_notice123_2025-10-05.csv"
ZONES = DATA / "rates/usps_zone_pairs_1M_sample_2018.csv.gz"
MOST_LINES = 12
#: The cost of each shipment of one basket.
Answer = list[CostTerms]


def baskets(file: RetailFile, count: int) -> list[OrderDocument]:
    """The first so many orders that are not too large for an exact plan."""
    small = (one for one in file.events() if isinstance(one, OrderDocument) and len(one.lines) <= MOST_LINES)
    return list(islice(small, count))


def cases(world: World, documents: list[OrderDocument]) -> Iterator[Case]:
    """Each basket with what the network holds of it, for a policy to be put in."""
    items = {item.sku: item for item in world.items}
    rows: dict[str, list[Stock]] = defaultdict(list)
    for row in world.stock:
        if free := row.on_hand - row.safety:
            rows[row.sku].append(Stock(node_id=row.node_id, sku=row.sku, available=free))
    rates = read_rates(PRICES)
    charts = read_charts(ZONES, {node.place.postal_code[:3] for node in world.nodes})
    for document in documents:
        stock = tuple(row for line in document.lines for row in rows[line.sku])
        yield (
            SourcingOrder(
                order_id=document.channel_order_id,
                channel=document.channel,
                ship_to=locate(document.ship_to),
                lines=wanted_lines([(line.line_no, line.sku, line.quantity) for line in document.lines], items),
            ),
            Snapshot(as_of=document.placed_at, nodes=world.nodes, rates=rates, zones=charts, stock=stock),
            Policy(),
        )


def row(name: str, answers: list[Answer], days: list[int], proven: float | None) -> str:
    paid = [sum(one.paid for one in shipments) for shipments in answers]
    split = sum(len(shipments) > 1 for shipments in answers) / len(answers)
    shipments = sum(map(len, answers)) / len(answers)
    cells = [name, f"{statistics.mean(paid):.0f}", f"{statistics.median(paid):.0f}", f"{split:.1%}", f"{shipments:.3f}"]
    cells += [f"{statistics.mean(days):.2f}" if days else "–", "–" if proven is None else f"{proven:.1%}"]
    return " | ".join(cells)


def by_preset(found: list[Case], preset: Policy) -> str:
    policy = preset.model_copy(update={"allow_line_split": False})
    plans = [(order, seen, plan(order, seen, policy)) for order, seen, _ in found]
    days = [(one.promised_at.date() - seen.as_of.date()).days for _, seen, one in plans if one.promised_at is not None]
    answers = [[shipment.cost for shipment in one.shipments] for _, _, one in plans]
    return row(preset.version, answers, days, sum(one.optimal for _, _, one in plans) / len(plans))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=1000, help="baskets")
    options = parser.parse_args()
    if missing := [path for path in (INVOICES, PRICES, ZONES) if not path.exists()]:
        raise SystemExit(f"needs {', '.join(map(str, missing))}")
    world = constructed_world(read_catalogue(INVOICES))
    whole = Policy(allow_line_split=False)
    every = list(cases(world, baskets(RetailFile(INVOICES), options.orders)))
    # A rule that cannot fill an order is not comparable with one that can.
    found = [case for case in every if not plan(case[0], case[1], whole).shortages]
    pairs = [(seen.zones, order.ship_to.postal_code[:3]) for order, seen, _ in found]
    charted = statistics.mean(to in chart.zones for charts, to in pairs for chart in charts)
    print(f"{len(found)} of {len(every)} real baskets are fillable whole on the CONSTRUCTED network of "
          f"{len(world.nodes)} nodes, {statistics.mean(len(case[0].lines) for case in found):.1f} lines each; "
          f"a published zone is known for {charted:.0%} of pairs of areas, distance decides the others")  # fmt: skip
    heads = ["method", "paid per order", "median", "split", "shipments", "days", "proven"]
    print(" | ".join(heads), "|".join(["---"] * len(heads)), sep="\n")
    for preset in PRESETS.values():
        print(by_preset(found, preset), flush=True)
    for name, rule in RULES.items():
        seen = [(case, survey(*case).sources) for case in found]
        print(row(f"rule: {name}", [terms_of(case, at, rule(case, at)) for case, at in seen], [], None), flush=True)


if __name__ == "__main__":
    main()
