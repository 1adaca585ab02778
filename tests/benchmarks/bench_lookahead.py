"""Looking ahead, on the published instance: what orders cost by the published policies and by our planner.

Run with ``python -m tests.benchmarks.bench_lookahead --instances 10 --processes 2``. Every figure is the cost of a
sequence of orders over the optimum of the deterministic linear program, which no policy can expect to beat; ± is one
standard error over instances. The published policies are run again here, not quoted. They try what they chose
once and never solve again; ours sees the stock left with every order, so part of the difference is that.

The column "wrong forecast" gives every policy that uses a forecast rates that are off by a lognormal factor.
The planner is the one that routes live orders, ``shared.domain.sourcing.plan``, called for every order.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from tests.benchmarks.jasin_sinha import published
from tests.benchmarks.jasin_sinha.instance import Arrival, Floats, Instance, arrivals, draw, misjudged
from tests.benchmarks.jasin_sinha.lookahead import Lookahead, Planner, Resolver, realised

ROUNDINGS = {
    "independent rounding": published.independent,
    "Jasin-Sinha rounding": published.jasin_sinha,
    "Ma's dilated clocks": published.dilated,
}
MYOPIC, HINDSIGHT = "planner, order by order", "hindsight (bound)"
#: Periods that a forecast weighs as much as when it is corrected by what came.
BELIEF = 1_000.0


class Task(NamedTuple):
    seed: int
    periods: int
    sequences: int
    sigma: float
    solves: int


class Figure(NamedTuple):
    """One policy on one sequence: cost over the bound, and shipments for each order."""

    policy: str
    wrong: bool
    ratio: float
    shipments: float


def run(task: Task) -> tuple[list[Figure], float]:
    """Every policy on every sequence of one instance, and CPU milliseconds of one call of the planner."""
    instance = draw(task.seed, task.periods)
    planner, lookahead = Planner(instance), Lookahead(instance)
    bound = lookahead.solve(instance.rate * task.periods, instance.stock).cost
    found: list[Figure] = []
    for sequence in range(task.sequences):
        orders = arrivals(instance, task.seed, 1, sequence)
        forecasts = [(False, instance.rate)]
        if task.sigma:
            forecasts.append((True, misjudged(instance, task.sigma, task.seed, 2, sequence)))
        runs = [(False, *each) for each in _unforeseeing(instance, planner, orders)]
        for wrong, forecast in forecasts:
            runs += [(wrong, *each) for each in _rounded(lookahead, forecast, orders, task.seed)]
            runs += [(wrong, *each) for each in _priced(planner, lookahead, forecast, orders, task.solves)]
        runs.append((False, HINDSIGHT, lookahead.solve(realised(instance, orders), instance.stock).cost, 0))
        found += [Figure(name, wrong, cost / bound, sent / len(orders)) for wrong, name, cost, sent in runs]
    return found, 1000 * planner.seconds / planner.calls


def _unforeseeing(instance: Instance, planner: Planner, orders: Sequence[Arrival]) -> Iterator[tuple[str, float, int]]:
    yield "nearest, no recourse", *published.run(instance, orders, published.nearest(instance))
    rule = published.most_lines_then_nearest(instance)
    yield "most lines, then nearest", *published.run(instance, orders, rule)
    yield MYOPIC, *planner.run(orders)


def _rounded(
    lookahead: Lookahead, forecast: Floats, orders: Sequence[Arrival], seed: int
) -> Iterator[tuple[str, float, int]]:
    instance = lookahead.instance
    shares = lookahead.shares(lookahead.solve(forecast * instance.periods, instance.stock))
    for name, rounding in ROUNDINGS.items():
        chosen = published.rounded(shares, rounding, np.random.default_rng((seed, 3)))
        yield name, *published.run(instance, orders, chosen)


def _priced(
    planner: Planner, lookahead: Lookahead, forecast: Floats, orders: Sequence[Arrival], solves: int
) -> Iterator[tuple[str, float, int]]:
    yield "planner, priced once", *planner.run(orders, Resolver(lookahead, forecast, 1))
    yield f"planner, priced {solves} times", *planner.run(orders, Resolver(lookahead, forecast, solves))
    watchful = Resolver(lookahead, forecast, solves, BELIEF)
    yield f"planner, priced {solves} times, forecast corrected and doubted", *planner.run(orders, watchful)


def table(found: Sequence[list[Figure]], sigma: float) -> Iterator[str]:
    """One row for each policy; a mean of each instance is one observation."""
    yield f"policy | cost / bound | forecast off by σ={sigma:g} | shipments per order"
    yield "---|---|---|---"
    for name in dict.fromkeys(figure.policy for figures in found for figure in figures):
        right, wrong = (_observed(found, name, wrong=wrong) for wrong in (False, True))
        every = [figure for figures in found for figure in figures]
        sent = statistics.mean(figure.shipments for figure in every if (figure.policy, figure.wrong) == (name, False))
        yield f"{name} | {_mean(right)} | {_mean(wrong)} | {sent:.2f}" if sent else f"{name} | {_mean(right)} | |"


def _observed(found: Sequence[list[Figure]], name: str, *, wrong: bool) -> list[float]:
    each = [[one.ratio for one in figures if (one.policy, one.wrong) == (name, wrong)] for figures in found]
    return [statistics.mean(ratios) for ratios in each if ratios]


def _mean(observed: list[float]) -> str:
    if not observed:
        return ""
    error = statistics.stdev(observed) / len(observed) ** 0.5 if len(observed) > 1 else float("nan")
    return f"{statistics.mean(observed):.4f} ± {error:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=3, help="draws of order types, demand and stock")
    parser.add_argument("--sequences", type=int, default=1, help="sequences of orders for each")
    parser.add_argument("--periods", type=int, default=10_000, help="at most one order comes in each")
    parser.add_argument("--solves", type=int, default=20, help="how often prices are solved again over a sequence")
    parser.add_argument("--sigma", type=float, default=0.4, help="of the logarithm of what the forecast is off by")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    tasks = [
        Task(seed, options.periods, options.sequences, options.sigma, options.solves)
        for seed in range(options.instances)
    ]
    with ProcessPoolExecutor(options.processes) as pool:
        done = list(pool.map(run, tasks))
    print(*table([figures for figures, _ in done], options.sigma), sep="\n")
    each = statistics.mean(milliseconds for _, milliseconds in done)
    print(f"\n{options.instances} instances x {options.sequences} sequences of {options.periods} periods; "
          f"one plan takes {each:.2f} ms of CPU")  # fmt: skip


if __name__ == "__main__":
    main()
