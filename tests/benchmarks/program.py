"""Sourcing as a mixed-integer program for HiGHS: the same order, the same prices, every unit that is held."""

from __future__ import annotations

from collections.abc import Sequence

import highspy

from shared.domain import highs
from shared.domain.sourcing.freight import Way, volume_mm3
from shared.domain.sourcing.models import WantedLine
from shared.domain.sourcing.sources import Source
from tests.benchmarks.rules import Case

Row = list[tuple[int, float]]


class Program:
    """Built with arrays, not expressions, so that building is not what is measured."""

    def __init__(self, case: Case, sources: Sequence[Source], seconds: float) -> None:
        self.case, self.sources = case, sources
        self._program = highs.Program()
        self._below: list[Row] = []
        opened = [self._node(source) for source in sources]
        self._write(opened)
        # As fast as it can be, with the presolve that the product does without.
        solver = highs.solver(time_limit=seconds, mip_rel_gap=0.0, mip_abs_gap=0.5, presolve="choose")
        self.model = self._program.passed(solver, whole=True)

    def solve(self) -> tuple[int, bool]:
        """(cost in minor units, proven)."""
        self.model.run()
        proven = self.model.getModelStatus() == highspy.HighsModelStatus.kOptimal
        cost = self.model.getObjectiveValue() - self.case[2].split_penalty_minor
        return (round(cost), True) if proven else (0, False)

    def _column(self, cost: float, most: float) -> int:
        return self._program.column(cost, most=most)

    def _node(self, source: Source) -> tuple[int, dict[int, int], list[Row]]:
        """The node's column, its units by line, and rows that must not be above zero."""
        order, _, policy = self.case
        used = self._column(source.fixed + policy.split_penalty_minor, 1)
        units: dict[int, int] = {}
        rows: list[Row] = []
        weight: Row = []
        volume: Row = []
        for line in order.lines:
            if held := min(line.quantity, source.holds(line.sku)):
                taken = self._column(source.node.handling_unit_minor + source.unit_cost(line.sku), held)
                units[line.line_no] = taken
                rows.append([(taken, 1.0), (used, -float(held))])
                weight.append((taken, float(line.weight_g)))
                volume.append((taken, volume_mm3(line) / policy.dim_divisor))
        carried, services = self._ways(source, order.lines)
        rows += [weight + carried, volume + carried]
        rows += [[*services, (used, -1.0)], [(used, 1.0), *((at, -one) for at, one in services)]]
        return used, units, rows

    def _ways(self, source: Source, lines: Sequence[WantedLine]) -> tuple[Row, Row]:
        """Grams the chosen parcels carry, negative, and the parcels chosen: one service, one last, full before it."""
        volumes = sum(volume_mm3(line) * line.quantity for line in lines) / self.case[2].dim_divisor
        most = max(volumes, sum(line.weight_g * line.quantity for line in lines))
        carried: Row = []
        services: Row = []
        for way in source.ways:
            last = [self._column(price, 1) for price in way.tariff.price]
            services += [(at, 1.0) for at in last]
            carried += [(at, -float(up_to)) for at, up_to in zip(last, way.tariff.up_to, strict=True)]
            carried += self._full(way, last, most)
        return carried, services

    def _full(self, way: Way, last: list[int], most: float) -> Row:
        parcels = int(most // way.tariff.up_to[-1])
        if not parcels:
            return []
        full = self._column(way.tariff.price[-1], parcels)
        self._below.append([(full, 1.0), *((at, -float(parcels)) for at in last)])
        return [(full, -float(way.tariff.up_to[-1]))]

    def _write(self, opened: list[tuple[int, dict[int, int], list[Row]]]) -> None:
        order, _, policy = self.case
        for row in [row for _, _, rows in opened for row in rows] + self._below:
            self._program.row(-highs.INFINITE, 0.0, row)
        self._program.row(-highs.INFINITE, policy.max_shipments, [(used, 1.0) for used, _, _ in opened])
        for line in order.lines:
            held = sum(source.holds(line.sku) for source in self.sources)
            wanted = float(min(line.quantity, held))
            row = [(units[line.line_no], 1.0) for _, units, _ in opened if line.line_no in units]
            if row:
                self._program.row(wanted, wanted, row)
