"""Waves against orders planned one by one, with the proof of what is left, beside one integer program for all.

Run with ``python -m tests.benchmarks.bench_waves``. Orders of one to four lines stand as the planner placed them when
they came; the wave may move each of them as long as it is delivered by the day promised. Stock of an item is its
demand over ``tightness``; all nodes together ship the wave's units in ``busy`` days. Costs are the planner's, units
without a source cost 60.00 each, and changes cost nothing here. ``gap`` is proven: cost over bound, less one.

The integer program has a variable for every order, node and set of units, priced by the planner's own tariffs one by
one; it knows nothing of columns and is exact. Its days are not shared, so it is compared on waves without capacity.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import Any, NamedTuple

from shared.domain import highs
from shared.domain.calendars import days_late
from shared.domain.sourcing.sources import Source, survey
from shared.domain.waves.generation import plan_wave
from shared.domain.waves.models import Wave, WaveOrder, WaveRules
from tests.benchmarks.carrying_out import moved
from tests.support.waves import wave

RULES = WaveRules(change_minor=0, short_unit_minor=6000)
NODES = 50
EACH, WAVE = "order by order", "wave"


class Task(NamedTuple):
    """One wave; ``busy`` of ``None`` is without shared days."""

    orders: int
    tightness: float
    busy: float | None
    seconds: float


def built(task: Task) -> Wave:
    return wave(
        1,
        orders=task.orders,
        nodes=NODES,
        skus=max(20, task.orders // 5),
        tightness=task.tightness,
        busy=task.busy,
        rules=RULES,
    )


def planned(task: Task) -> str:
    """One row of the table: the wave planned in a process of its own, so that its memory is its own."""
    whole = built(task)
    before = _megabytes()
    start = time.process_time()
    found = plan_wave(whole)
    seconds = time.process_time() - start
    left = found.before_minor / found.bound_minor - 1
    cells = [
        f"{task.orders}", f"{task.tightness:g}", "–" if task.busy is None else f"{task.busy:g}",
        f"{found.before_minor}", f"{found.after_minor}", f"{found.bound_minor}", f"{left:.2%}", f"{found.gap:.2%}",
        f"{len(found.reassignments)}", f"{found.short_before}→{found.short_after}", f"{seconds:.1f}",
        f"{_megabytes():.0f} ({before:.0f})",
    ]  # fmt: skip
    return " | ".join(cells)


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def solved(task: Task) -> str:
    """The same wave as one integer program."""
    whole = built(task)
    start = time.process_time()
    cost, bound, status = Program(whole).solve(task.seconds)
    return f"{task.orders} | {task.tightness:g} | {cost} | {bound} | {status} | {time.process_time() - start:.1f}"


class Program:
    """All orders of a wave in one integer program."""

    def __init__(self, whole: Wave) -> None:
        self.program = highs.Program()
        available = ((row.node_id, row.sku, row.available) for row in whole.snapshot.stock)
        stock = {(node_id, sku): self.program.row(-highs.INFINITE, units) for node_id, sku, units in available}
        for order in whole.orders:
            self._add(order, whole, stock)

    def _column(self, cost: float, entries: list[tuple[int, float]]) -> None:
        self.program.column(cost, entries, most=1.0)

    def _add(self, order: WaveOrder, whole: Wave, stock: dict[tuple[str, str], int]) -> None:
        lines = order.order.lines
        penalty = order.policy.split_penalty_minor
        wanted = [self.program.row(line.quantity, line.quantity) for line in lines]
        most = self.program.row(-highs.INFINITE, order.policy.max_shipments)
        first = self.program.row(0, highs.INFINITE)
        # A shipment pays the penalty, and the order gets one back when there is any.
        self._column(-penalty, [(first, -1.0)])
        stands = {line.line_no: 0 for line in lines}
        for shipment in order.standing:
            for each in shipment.lines:
                stands[each.line_no] += each.quantity
        for row, line in zip(wanted, lines, strict=True):
            for _ in range(line.quantity - stands[line.line_no]):
                self._column(whole.rules.short_unit_minor, [(row, 1.0)])
        for source in survey(order.order, whole.snapshot, order.policy).sources:
            once = self.program.row(-highs.INFINITE, 1)
            for cost, units in _states(source, order):
                entries = [(row, float(count)) for row, count in zip(wanted, units, strict=True) if count]
                uses: dict[int, float] = {}
                for line, count in zip(lines, units, strict=True):
                    if count:
                        at = stock[source.node.node_id, line.sku]
                        uses[at] = uses.get(at, 0.0) + count
                ends = [(once, 1.0), (most, 1.0), (first, 1.0)]
                self._column(cost + penalty, [*entries, *uses.items(), *ends])

    def solve(self, seconds: float) -> tuple[int, int, str]:
        """(cost, bound, what the solver says)."""
        solver = highs.solver(time_limit=seconds, mip_rel_gap=0.0, presolve="choose")
        self.program.passed(solver, whole=True)
        solver.run()
        info = solver.getInfo()
        status = solver.modelStatusToString(solver.getModelStatus())
        return round(info.objective_function_value), round(info.mip_dual_bound), status


def _states(source: Source, order: WaveOrder) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Everything a node could ship of an order within its promise, with its cost."""
    promised, zone = order.promised_at, order.order.ship_to.time_zone
    ways = tuple(way for way in source.ways if promised is None or not days_late(way.deliver_by, promised, zone))
    if not ways:
        return
    kept = Source(source.node, ways, source.stock, source.fixed, source.capacity)
    lines = order.order.lines
    for units in product(*(range(min(line.quantity, source.holds(line.sku)) + 1) for line in lines)):
        parts = [(line, count) for line, count in zip(lines, units, strict=True) if count]
        priced = kept.price(parts, order.policy.dim_divisor) if parts else None
        if priced is not None:
            yield priced.terms.total, units


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, nargs="*", default=[500, 5000], help="sizes of the waves")
    parser.add_argument("--solved", type=int, nargs="*", default=[100], help="sizes for the integer program too")
    parser.add_argument("--tightness", type=float, nargs="*", default=[0.2, 0.4], help="demand over stock")
    parser.add_argument("--busy", type=float, default=0.6, help="demand over what the nodes ship in a day")
    parser.add_argument("--seconds", type=float, default=120, help="after which the integer program is stopped")
    parser.add_argument("--moved", type=int, nargs="*", default=[500], help="orders to move in the database")
    options = parser.parse_args()
    heads = ["orders", "tightness", "busy", EACH, WAVE, "bound", f"{EACH} over bound", "gap", "moved", "short",
             "CPU s", "peak MB (before)"]  # fmt: skip
    print(" | ".join(heads), "|".join(["---"] * len(heads)), sep="\n")
    for size in options.orders:
        for tightness in options.tightness:
            _alone(planned, Task(size, tightness, options.busy, options.seconds))
    print("\nwithout shared days, wave and integer program")
    for size in options.solved:
        for tightness in options.tightness:
            task = Task(size, tightness, None, options.seconds)
            _alone(planned, task)
            _alone(solved, task)
    print("\nmoved | ms each | ms each for bare updates | rows each", "--- | --- | --- | ---", sep="\n")
    for size in options.moved:
        _alone(moved, size)


def _alone(work: Any, task: Task | int) -> None:
    with ProcessPoolExecutor(1) as pool:
        print(pool.submit(work, task).result(), flush=True)


if __name__ == "__main__":
    main()
