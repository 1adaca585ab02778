"""How long the planner takes and how dear its plans are, beside an exact mixed-integer program and simple rules.

Run with ``python -m tests.benchmarks.bench_planner``; some minutes. Networks and orders are invented: seeded, with
stepped tariffs of four services in four zones. Times are CPU milliseconds of one thread. ``solve`` is the search
alone; ``plan`` is all of it: who may ship with dates and rates, the search, the runner-up and every node explained.
What orders of one day and network have in common (tariffs, dates of delivery) is known, as it is to all but the first.
``HiGHS`` is the program's search with one thread, given the same surveyed nodes; building it is not counted.
Gaps are the sum of costs over the sum of the optima less one, over the orders HiGHS finishes in its time.

Every plan that calls itself proven is compared with HiGHS, and the run ends when one is dearer; so is every
certificate of one that is not.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from shared.domain.cartons import Carton
from shared.domain.sourcing import plan
from shared.domain.sourcing.plans import Plan
from shared.domain.sourcing.solving import solve
from shared.domain.sourcing.sources import Source, survey
from shared.domain.sourcing.weighing import judge
from tests.benchmarks.program import Program
from tests.benchmarks.rules import RULES, Case, cost_of
from tests.support.packing import CARTONS
from tests.support.sourcing import instance

T = TypeVar("T")
#: (lines, nodes, most units of a line).
SHAPES = [(lines, nodes, 1) for lines in (1, 2, 3, 5, 8, 10, 12) for nodes in (20, 50, 200, 1000)]
#: Units of a line may come from several nodes; beyond twelve lines the search is bounded.
SPLIT = [(2, 50, 3), (3, 50, 3), (5, 50, 3), (8, 50, 3), (8, 200, 3), (12, 50, 3), (16, 20, 1), (20, 50, 2)]
LARGE = [(40, 50, 2), (100, 50, 3), (1000, 50, 3)]
#: Packed in cartons of four sizes, which the program knows nothing of.
PACKED = [(1, 20, 1), (1, 50, 1), (2, 50, 1), (3, 50, 1), (5, 50, 1), (2, 50, 3)]


class Timed(NamedTuple):
    """One order planned, CPU milliseconds of its parts."""

    case: Case
    sources: Sequence[Source]
    found: Plan
    solve_ms: float
    plan_ms: float


def timed(run: Callable[[], T]) -> tuple[T, float]:
    """The answer and its CPU milliseconds."""
    start = time.process_time()
    answer = run()
    return answer, (time.process_time() - start) * 1000


def planned(case: Case) -> Timed:
    sources = survey(*case).sources
    judged = judge(sources, case[2])
    _, solve_ms = timed(lambda: solve(case[0].lines, judged.sources, judged.policy))
    found, plan_ms = timed(lambda: plan(*case))
    return Timed(case, sources, found, solve_ms, plan_ms)


def spread(times: Sequence[float]) -> str:
    """Median and 99th percentile."""
    ranked = sorted(times)
    return f"{statistics.median(ranked):.2f} ({ranked[min(len(ranked) - 1, int(0.99 * len(ranked)))]:.2f})"


def cases_of(shape: tuple[int, int, int], orders: int, cartons: tuple[Carton, ...]) -> Iterator[Case]:
    lines, nodes, most = shape
    for seed in range(orders):
        order, seen, policy = instance(seed, lines=lines, nodes=nodes, most=most)
        yield order, seen.model_copy(update={"cartons": cartons}), policy


def row(
    shape: tuple[int, int, int], orders: int, solved: int = 0, seconds: float = 0, cartons: tuple[Carton, ...] = ()
) -> str:
    lines, nodes, most = shape
    cases = list(cases_of(shape, orders, cartons))
    for case in cases[:3]:
        plan(*case)
    # The invented networks are hundreds of thousands of objects: collecting those is not planning.
    gc.freeze()
    answers = [planned(case) for case in cases]
    proven = sum(answer.found.optimal for answer in answers) / len(answers)
    bound = sum(answer.found.gap_minor for answer in answers) / sum(answer.found.total_minor for answer in answers)
    cells = [
        f"{lines}×{nodes}" + (f" q≤{most}" if most > 1 else "") + (" packed" if cartons else ""),
        spread([answer.solve_ms for answer in answers]),
        spread([answer.plan_ms for answer in answers]),
        f"{proven:.0%}",
        f"{100 * bound:.2f} %",
    ]
    whole = [answer for answer in answers if answer.found.shipments and not answer.found.shortages]
    gc.unfreeze()
    return " | ".join([*cells, *against_program(whole[:solved], seconds)])


def against_program(answers: Sequence[Timed], seconds: float) -> list[str]:
    """HiGHS's time, how many times the planner's that is, how many it finished, and all gaps to its optima.

    Raises:
        AssertionError: a plan is dearer than it says it can be.
    """
    if not answers:
        return ["–"] * (5 + len(RULES))
    exact: list[tuple[Timed, int]] = []
    times: list[float] = []
    for answer in answers:
        (cost, known), spent = timed(Program(answer.case, answer.sources, seconds).solve)
        times.append(spent)
        if known:
            check(answer.found, cost)
            exact.append((answer, cost))
    best = sum(cost for _, cost in exact)
    totals = [sum(answer.found.total_minor for answer, _ in exact)]
    for rule in RULES.values():
        totals.append(sum(cost_of(one.case, one.sources, rule(one.case, one.sources)) for one, _ in exact))
    gaps = [f"{100 * (total / best - 1):.2f} %" if best else "–" for total in totals]
    median = statistics.median(times)
    ratios = [median / statistics.median(one) for one in zip(*((a.solve_ms, a.plan_ms) for a in answers), strict=True)]
    faster = [f"{ratio:.0f}×" for ratio in ratios]
    return [f"{median:.0f} ({max(times):.0f})", *faster, f"{len(exact)}/{len(answers)}", *gaps]


def check(found: Plan, best: int) -> None:
    assert found.total_minor >= best, f"HiGHS is not optimal: {best}, planned {found.total_minor}"
    if found.optimal:
        assert found.total_minor == best, f"called optimal: {found.total_minor}, HiGHS {best}"
    assert found.total_minor - found.gap_minor <= best, f"certificate broken: {found.total_minor}, HiGHS {best}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=100, help="orders planned per shape; a tenth at 1000 nodes")
    parser.add_argument("--solved", type=int, default=4, help="of which HiGHS solves so many")
    parser.add_argument("--seconds", type=float, default=10, help="that HiGHS may take for each")
    options = parser.parse_args()
    heads = ["lines×nodes", "solve ms (p99)", "plan ms (p99)", "proven", "certified gap", "HiGHS ms (max)",
             "HiGHS/solve", "HiGHS/plan", "finished", "plan gap", *RULES]  # fmt: skip
    print(" | ".join(heads), "|".join(["---"] * len(heads)), sep="\n")
    for shape in SHAPES + SPLIT:
        orders = max(2, options.orders // 10) if shape[1] >= 1000 or shape in SPLIT else options.orders
        print(row(shape, orders, options.solved, options.seconds), flush=True)
    for shape in PACKED:
        print(row(shape, options.orders, cartons=CARTONS), flush=True)
    for shape in LARGE:
        print(row(shape, 2), flush=True)


if __name__ == "__main__":
    main()
