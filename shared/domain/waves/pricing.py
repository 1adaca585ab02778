"""The cheapest plan of one order at given prices of what the wave shares: the planner's dynamic programs, priced.

An order's costs are worked out once, as the planner works them out; prices are added to them for every question.
Lines of many units are moved whole, and orders of too many lines are not planned at all (``Pricer.able``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.domain.capacity import ALL
from shared.domain.sourcing.costs import PACKINGS, Atoms, Costs, Keys, is_settled
from shared.domain.sourcing.grid import INF, Choice, Ints, amounts, by_mask, by_node, pairs_in
from shared.domain.sourcing.models import Policy, WantedLine
from shared.domain.sourcing.solution import Parts
from shared.domain.waves.limits import Counted, DayLimit, Limit, StockLimit
from shared.domain.waves.models import WaveOrder, WaveRules
from shared.domain.waves.rows import MILLI, Row, Scale

#: (state, part) pairs a grid may have: a few milliseconds for each question.
PAIRS = 60_000
MASK_ATOMS = 10
#: Of orders looked at as one, line numbers of the second begin here, of the third at twice this.
APART = 1_000_000
#: Stands for more than any plan costs: units that have a source are never given up. A grid of 1,000 such units
#: still fits its integers.
FIRM = 10**14


#: (row, what it ships).
Chosen = list[tuple[int, Parts]]


@dataclass(frozen=True, slots=True)
class Quoted:
    """The cheapest plan at some prices.

    Attributes:
        value: No plan of the order costs less at these prices, units without a source counted.
        chosen: ``None`` when no plan gives all units that have a source one again.
    """

    value: int
    chosen: Chosen | None


class Pricer:
    """One order's costs, to which prices are added."""

    def __init__(self, order: WaveOrder, rows: Sequence[Row], index: Mapping[Limit, int], rules: WaveRules) -> None:
        self.order, self.rows = order, rows
        self.scale = Scale(rows, order.policy)
        self._limit = order.policy.max_shipments
        self._asked: bytes | None = None
        firm, waiting = _by_right(order)
        self.short_milli = rules.short_unit_minor * MILLI
        self._waiting = sum(line.quantity for line in waiting)
        self._firm = sum(line.quantity for line in firm)
        atoms = _atoms([*firm, *waiting], rows, order.policy)
        costs = Costs.of(atoms, self.scale.judged.sources, self.scale.judged.policy) if atoms and atoms.steps else None
        #: Whether the wave can plan the order at all: stages and bundles kept together are the planner's alone.
        self.able = costs is not None and self._firm <= 1000 and not _bound_by_more(order.policy)
        if costs is None or atoms is None or not self.able:
            return
        self._atoms, self._costs, self._keys = atoms, costs, costs.keys()
        names = [row.source.node.node_id for row in rows]
        self._starts = [n for n, name in enumerate(names) if n == 0 or name != names[n - 1]]
        self._taken = amounts(atoms.steps) * np.array(atoms.chunk, dtype=np.int64)
        rewards = [FIRM if n < self._lines(firm, atoms) else self.short_milli for n in range(len(atoms.lines))]
        self._rewards = np.array(rewards, dtype=np.int64)
        self._base = self._milli(self._keys)
        self._indexed(index)

    @staticmethod
    def _lines(firm: Sequence[WantedLine], atoms: Atoms) -> int:
        return sum(any(line is one for one in firm) for line in atoms.lines)

    def _milli(self, keys: Keys) -> Ints:
        bare = (keys.matrix + keys.reward * keys.units) * self.scale.factor - self._taken @ self._rewards
        return np.where(keys.matrix >= INF // 2, INF, bare)

    def _indexed(self, index: Mapping[Limit, int]) -> None:
        """Where in a list of prices those of this order's limits are; the last price is always zero."""
        free = len(index)
        nodes = [self.rows[start].source.node.node_id for start in self._starts]
        self._stock_at = np.array(
            [[index.get(StockLimit(node_id, line.sku), free) for line in self._atoms.lines] for node_id in nodes]
        )
        self._day_at, self._orders_at = (
            np.array([[index.get(limit, free) for limit in _limits_of(row, self.order, counted)] for row in self.rows])
            for counted in Counted
        )
        self._has_days = any(row.nth is not None for row in self.rows)
        self._units = self._taken.sum(axis=1)
        self._orders = self._orders_in()

    def _orders_in(self) -> Ints:
        """Of how many orders each state has units: as many fulfillment orders its shipment is."""
        owners = np.array([line.line_no // APART for line in self._atoms.lines])
        found: Ints = np.zeros(len(self._taken), dtype=np.int64)
        for owner in np.unique(owners):
            found += self._taken[:, owners == owner].any(axis=1)
        return found

    def quote(self, prices: Ints) -> Quoted:
        """The cheapest plan when a unit costs this much more by limit, in thousandths of a minor unit.

        Args:
            prices: By place in the index; of a day, what a unit, or an order, handed over then costs in all. The last
                one is zero.
        """
        stock = prices[self._stock_at]
        unit, order = prices[self._day_at].sum(axis=1), prices[self._orders_at].sum(axis=1)
        asked = stock.tobytes() + unit.tobytes() + order.tobytes()
        if asked != self._asked:
            days = unit[:, None] * self._units + order[:, None] * self._orders if self._has_days else None
            self._asked, self._answer = asked, self._settled_quote(stock, days)
        return self._answer

    def cost_of(self, chosen: Chosen) -> int:
        """What these shipments cost without any price, in thousandths of a minor unit."""
        cost = self.scale.split * max(0, len(chosen) - 1)
        for place, parts in chosen:
            priced = self.scale.judged.sources[place].price(parts, self.order.policy.dim_divisor)
            assert priced is not None, "only shipments that have a way out are chosen"
            cost += self.scale.milli(priced.terms.total)
        return cost

    def _settled_quote(self, stock: Ints, days: Ints | None) -> Quoted:
        """The cheapest plan as it is packed: asked again while what is packed costs more than was thought."""
        judged = self.scale.judged
        for _ in range(PACKINGS):
            quoted, choice = self._quote(stock, days)
            if is_settled([choice], self._keys, self._atoms, judged.sources, judged.policy):
                break
            self._keys = self._costs.keys()
            self._base = self._milli(self._keys)
        return quoted

    def _quote(self, stock: Ints, days: Ints | None) -> tuple[Quoted, Choice]:
        by_row = self._base if days is None else self._base + days
        matrix = by_row.copy() if days is None else np.minimum.reduceat(by_row, self._starts, axis=0)
        matrix += stock @ self._taken.T
        np.minimum(matrix, INF, out=matrix)
        matrix[:, 0] = 0
        choice = _choose(matrix, self._atoms.steps, self._limit)
        by_place = [(self._row(node, state, by_row), state) for node, state in choice.shipments]
        chosen = [(row, self._atoms.parts([state])) for row, state in by_place]
        value = choice.key + FIRM * self._firm + self.short_milli * self._waiting - self.scale.split
        whole = value < FIRM
        quoted = Quoted(value, sorted(chosen, key=lambda each: each[0]) if whole else None)
        return quoted, Choice(choice.key, tuple(by_place))

    def _row(self, node: int, state: int, by_row: Ints) -> int:
        start = self._starts[node]
        stop = self._starts[node + 1] if node + 1 < len(self._starts) else len(self.rows)
        return start + int(by_row[start:stop, state].argmin())


def _limits_of(row: Row, order: WaveOrder, counted: Counted) -> list[DayLimit]:
    """Of the row's day: for all services together, and for the order's. There are none where days are not shared."""
    node_id, nth = row.source.node.node_id, -1 if row.nth is None else row.nth
    return [DayLimit(node_id, nth, service, counted) for service in (ALL, order.order.service)]


def _bound_by_more(policy: Policy) -> bool:
    return bool(policy.stages) or policy.keep_bundles_together


def _by_right(order: WaveOrder) -> tuple[list[WantedLine], list[WantedLine]]:
    """The order's lines as far as they have a source, and as far as they wait for one."""
    has: dict[int, int] = {}
    for shipment in order.standing:
        for planned in shipment.lines:
            has[planned.line_no] = has.get(planned.line_no, 0) + planned.quantity
    firm = [
        line.model_copy(update={"quantity": units})
        for line in order.order.lines
        if (units := min(line.quantity, has.get(line.line_no, 0)))
    ]
    waiting = [
        line.model_copy(update={"quantity": units})
        for line in order.order.lines
        if (units := line.quantity - has.get(line.line_no, 0)) > 0
    ]
    return firm, waiting


def _atoms(lines: Sequence[WantedLine], rows: Sequence[Row], policy: Policy) -> Atoms | None:
    """What the order's grid counts: units where it stays small, else whole lines; ``None`` for too many lines."""
    held: dict[str, int] = {}
    for row in rows:
        if not row.nth:
            for line in {line.sku: line for line in lines}.values():
                held[line.sku] = held.get(line.sku, 0) + row.source.holds(line.sku)
    useful = [line for line in lines if held.get(line.sku)]
    steps = tuple(min(line.quantity, held[line.sku]) for line in useful)
    if policy.allow_line_split and pairs_in(steps) <= PAIRS:
        return Atoms(tuple(useful), (1,) * len(useful), steps)
    if len(useful) > MASK_ATOMS:
        return None
    return Atoms(tuple(useful), tuple(line.quantity for line in useful), (1,) * len(useful))


def _choose(matrix: Ints, steps: tuple[int, ...], limit: int) -> Choice:
    """The best plan; as by the planner, a node makes at most one shipment."""
    most = sum(steps)
    if max(steps) == 1:
        choice = by_mask(matrix, len(steps), most if limit >= most else limit)
        if len(choice.nodes) == len(choice.shipments):
            return choice
    # A plan of so many shipments needs only so many of the cheapest nodes for each state.
    rows = np.unique(np.argsort(matrix[:, 1:], axis=0, kind="stable")[: min(limit, most)])
    choice = by_node(matrix[rows], steps, limit)
    return Choice(choice.key, tuple((int(rows[n]), state) for n, state in choice.shipments))
