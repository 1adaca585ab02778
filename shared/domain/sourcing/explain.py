"""Why the plan is what it is: what every node could have done, and why units are short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from shared.domain.sourcing.cartonising import Cartons
from shared.domain.sourcing.freight import Load, Quote
from shared.domain.sourcing.models import Policy, SourcingOrder, WantedLine
from shared.domain.sourcing.plans import Because, Candidate, PlannedShipment, Shortage
from shared.domain.sourcing.solution import Parts, units_of
from shared.domain.sourcing.sources import Source, Survey
from shared.domain.sourcing.weighing import Judged

#: Which reason tells most when several nodes hold what is short: the one nearest to shipping it.
_TELLING = (
    Because.NO_CAPACITY,
    Because.NO_SERVICE,
    Because.MISSING_CUSTOMS_DATA,
    Because.RESTRICTED_LANE,
    Because.TOO_FAR,
    Because.NOT_IN_POLICY,
    Because.NOT_ELIGIBLE,
    Because.NOT_CHOSEN_BY_STAFF,
    Because.EXCLUDED,
    Because.DISABLED,
)


def candidates(
    order: SourcingOrder, network: Survey, judged: Judged, shipments: Sequence[PlannedShipment]
) -> tuple[Candidate, ...]:
    """Every node of the snapshot, by ``node_id``."""
    chosen = {shipment.node_id for shipment in shipments}
    alone = _Alone(order, network, judged)
    seen = [alone.seen(index, source, chosen) for index, source in enumerate(network.sources)]
    seen += [
        Candidate.made(
            node_id=node_id, chosen=False, fillable=_fillable(network, node_id), because=because, alone=None,
            deliver_by=None,
        )
        for node_id, because in network.fallen.items()
    ]  # fmt: skip
    return tuple(sorted(seen, key=attrgetter("node_id")))


class _Given(NamedTuple):
    """Everything a node can give, as it goes from nodes with these cartons, and its quotes by their ways."""

    parts: Parts
    units: int
    loads: dict[Cartons | None, Load]
    quotes: dict[tuple[int, Cartons | None], Quote | None]


class _Alone:
    """What each node would have shipped by itself; nodes that hold as much by the same ways are priced once."""

    def __init__(self, order: SourcingOrder, network: Survey, judged: Judged) -> None:
        self._lines, self._network, self._judged = order.lines, network, judged
        self._wanted = tuple(network.wanted.items())
        self._units = sum(line.quantity for line in order.lines)
        self._given: dict[tuple[int, ...], _Given] = {}

    def seen(self, index: int, source: Source, chosen: set[str]) -> Candidate:
        stock, node_id = source.stock, source.node.node_id
        held = [min(wanted, stock[sku].available) if sku in stock else 0 for sku, wanted in self._wanted]
        gives = (*held, min(source.capacity, self._units))
        given = self._given.get(gives)
        if given is None:
            parts = _all_it_can(source, self._lines, self._judged.policy)
            given = self._given[gives] = _Given(parts, units_of(parts), {}, {})
        quote = self._quote(index, source, given) if given.units else None
        whole = stock is self._network.held[node_id]
        return Candidate.made(
            node_id=node_id,
            chosen=node_id in chosen,
            fillable=sum(held) if whole else _fillable(self._network, node_id),
            because=Because.NOT_ENOUGH_STOCK if quote is None else None,
            alone=None if quote is None else source.priced(given.parts, given.units, quote).terms,
            deliver_by=None if quote is None else quote.way.deliver_by,
        )

    def _quote(self, index: int, source: Source, given: _Given) -> Quote | None:
        # The network keeps ways alive, so that no two of them have the same id.
        key = (id(source.ways), source.cartons)
        if key not in given.quotes:
            if source.cartons not in given.loads:
                given.loads[source.cartons] = self._judged.load(index, given.parts)
            load = given.loads[source.cartons]
            given.quotes[key] = self._judged.quote(index, source, given.parts, given.units, load)
        return given.quotes[key]


def _fillable(network: Survey, node_id: str) -> int:
    return sum(min(network.wanted[sku], row.available) for sku, row in network.held[node_id].items())


def _all_it_can(source: Source, lines: Sequence[WantedLine], policy: Policy) -> Parts:
    """What the node ships when it is the only one: lines in the order's sequence, within stock and capacity."""
    left = {sku: row.available for sku, row in source.stock.items()}
    room = source.capacity
    parts: Parts = []
    for line in lines:
        take = min(line.quantity, left.get(line.sku, 0), room)
        if take == line.quantity or (take > 0 and policy.allow_line_split):
            parts.append((line, take))
            left[line.sku] -= take
            room -= take
    return parts


def shortages(
    order: SourcingOrder, network: Survey, shipments: Sequence[PlannedShipment], policy: Policy
) -> tuple[Shortage, ...]:
    """Units of every line that no shipment carries, with the most telling reason."""
    planned: Counter[int] = Counter()
    taken: dict[str, Counter[str]] = {shipment.node_id: Counter() for shipment in shipments}
    for shipment in shipments:
        for line in shipment.lines:
            planned[line.line_no] += line.quantity
            taken[shipment.node_id][line.sku] += line.quantity
    return tuple(
        Shortage.model_construct(
            line_no=line.line_no,
            sku=line.sku,
            quantity=missing,
            because=_because(line, missing, network, taken, policy),
        )
        for line in order.lines
        if (missing := line.quantity - planned[line.line_no])
    )


def _because(
    line: WantedLine, missing: int, network: Survey, taken: dict[str, Counter[str]], policy: Policy
) -> Because:
    holders = [source for source in network.sources if source.holds(line.sku)]
    if not holders:
        return _why_fallen(line.sku, network)
    spare = [source for source in holders if _left(source, line.sku, taken) >= _needed(line, missing, policy)]
    if not spare:
        return Because.NOT_ENOUGH_STOCK
    used = [source for source in spare if source.node.node_id in taken]
    if len(taken) >= policy.max_shipments and len(used) < len(spare):
        return Because.MAX_SHIPMENTS
    return Because.NO_CAPACITY


def _needed(line: WantedLine, missing: int, policy: Policy) -> int:
    return 1 if policy.allow_line_split else missing


def _left(source: Source, sku: str, taken: dict[str, Counter[str]]) -> int:
    return source.holds(sku) - taken.get(source.node.node_id, Counter())[sku]


def _why_fallen(sku: str, network: Survey) -> Because:
    reasons = {because for node_id, because in network.fallen.items() if sku in network.held[node_id]}
    protected = any(sku in skus for skus in network.protected.values())
    otherwise = network.restricted.get(sku) or (Because.PROTECTED if protected else Because.NO_STOCK)
    return next((because for because in _TELLING if because in reasons), otherwise)
