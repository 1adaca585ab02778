"""Supply that is expected: purchase orders, transfers between nodes, and what a 3PL says is on its way to it.

Orders that wait for stock are *bound* to it, so that they can be promised a date. Promises made are kept: supply
that an order is bound to is never taken from it for another, whatever their priorities; only supply that does not
come is lost. What is not bound goes to those who wait in their order of service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from shared.domain.base import Identifier, Instant, Model, OptionalText, Quantity, Sku, Text


class InboundKind(StrEnum):
    """Who said that it comes."""

    PURCHASE_ORDER = "purchase_order"  #: we ordered it from a vendor
    TRANSFER = "transfer"  #: one of our nodes sends it to another
    ADVICE = "advice"  #: the node that receives it, a 3PL, told us


class InboundStatus(StrEnum):
    EXPECTED = "expected"
    IN_TRANSIT = "in_transit"  #: a transfer that has left its origin
    CLOSED = "closed"
    CANCELLED = "cancelled"


class InboundLine(Model):
    """Units of one item that are expected."""

    sku: Sku
    quantity: Quantity


class Inbound(Model):
    """Expected supply as somebody told it.

    Attributes:
        origin_node_id: Where a transfer comes from; nothing else has one.
        reference: How the outside names it: a purchase order's number, a depositor's order number.
    """

    inbound_id: Identifier
    kind: InboundKind
    node_id: Identifier
    origin_node_id: Identifier | None = None
    expected_at: Instant
    reference: OptionalText = ""
    lines: Annotated[tuple[InboundLine, ...], Field(min_length=1, max_length=10_000)]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        check_origin(self.kind, self.node_id, self.origin_node_id)
        if len({line.sku for line in self.lines}) < len(self.lines):
            raise ValueError("an item stands there twice: add its lines up")
        return self

    def content_hash(self) -> str:
        """Two of one hash expect the same, in whatever order their lines stand."""
        ordered = self.model_copy(update={"lines": tuple(sorted(self.lines, key=lambda line: line.sku))})
        return sha256(ordered.model_dump_json().encode()).hexdigest()


def check_origin(kind: InboundKind, node_id: str, origin_node_id: str | None) -> None:
    """Only a transfer has an origin, and it is another node.

    Raises:
        ValueError: it is not so.
    """
    if (kind is InboundKind.TRANSFER) != (origin_node_id is not None):
        raise ValueError("a transfer names the node it comes from, nothing else does")
    if origin_node_id == node_id:
        raise ValueError("a transfer goes to another node than it comes from")


class SupplyRow(Model):
    """One item of expected supply as a table tells it: the rows of one ``inbound_id`` agree in all but their item."""

    inbound_id: Identifier
    kind: InboundKind
    node_id: Identifier
    origin_node_id: Identifier | None = None
    expected_at: Instant
    sku: Sku
    quantity: Quantity
    reference: OptionalText = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        check_origin(self.kind, self.node_id, self.origin_node_id)
        return self


class ReceiptLine(Model):
    """What was counted in of one item.

    Attributes:
        good: Units that can be sold.
        damaged: Units that go to quarantine.
        short: Nothing more comes of it: what is still open is missing.
    """

    sku: Sku
    good: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    damaged: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    short: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.good or self.damaged or self.short):
            raise ValueError("a line of a receipt has good units, damaged ones, or is short")
        return self


class Receipt(Model):
    """A delivery, or part of one, as it was counted in. The same reference counts once."""

    inbound_id: Identifier
    reference: Text
    lines: Annotated[tuple[ReceiptLine, ...], Field(min_length=1, max_length=10_000)]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if len({line.sku for line in self.lines}) < len(self.lines):
            raise ValueError("an item stands there twice: add its lines up")
        return self

    def content_hash(self) -> str:
        ordered = self.model_copy(update={"lines": tuple(sorted(self.lines, key=lambda line: line.sku))})
        return sha256(ordered.model_dump_json().encode()).hexdigest()


# --- who is bound to what ---------------------------------------------------------------------------------


class Turn(NamedTuple):
    """The order of service: the place by the policy's batches, priority, the earlier promise, then who came first."""

    batch: tuple[float, ...]
    priority: int
    promised_at: datetime
    received_at: datetime
    order_id: str
    line_no: int


class Supply(NamedTuple):
    """Units of one item that are still to come with one inbound. ``units`` counts bound ones, too."""

    inbound_id: str
    units: int
    expected_at: datetime


class Demand(NamedTuple):
    """Units of an order line that wait."""

    turn: Turn
    units: int


#: Units by inbound.
Bound = dict[str, int]
#: When the customer would have units of a demand with an inbound, never before it is expected; ``None`` when it cannot
#: serve the order.
Date = Callable[[Demand, str], datetime | None]


def bind(
    demands: Sequence[Demand],
    supplies: Sequence[Supply],
    bound: Mapping[Turn, Mapping[str, int]],
    date: Date,
    *,
    first: int | None = None,
) -> list[Bound]:
    """Who waits for which supply, one answer per demand in the order given.

    What is bound stays bound while it still comes and serves its order; where supply has shrunk, those served last
    lose it. Then the first in turn who is better off with it takes of what nobody is bound to, again and again: a date
    only ever becomes earlier by that.

    Args:
        bound: What the demands are bound to now.
        date: Asked only where the answer matters, for it may take a plan.
        first: Only so many may take something, the first in turn: all of the answer when nothing is left then.
    """
    turns = sorted(range(len(demands)), key=lambda n: demands[n].turn)
    left = {supply.inbound_id: supply.units for supply in supplies}
    answer: list[Bound] = [{} for _ in demands]
    for n in turns:
        if held := bound.get(demands[n].turn):
            pool = {name: min(left.get(name, 0), units) for name, units in held.items()}
            answer[n] = _take(demands[n], pool, date)
            _subtract(left, answer[n])
    takers = turns[:first]
    # Who does not want some supply never will, as what they have only becomes better: nobody is asked twice.
    asked = {supply.inbound_id: 0 for supply in supplies}

    def first_to_want(supply: Supply) -> int:
        place = asked[supply.inbound_id]
        while place < len(takers) and not _wants(demands[takers[place]], answer[takers[place]], supply, date):
            place += 1
        asked[supply.inbound_id] = place
        return place

    while (free := [supply for supply in supplies if left[supply.inbound_id]]) and (
        place := min(first_to_want(supply) for supply in free)
    ) < len(takers):
        n = takers[place]
        _add(left, answer[n])
        answer[n] = _take(demands[n], left, date)
        _subtract(left, answer[n])
    return answer


def _wants(demand: Demand, taken: Bound, supply: Supply, date: Date) -> bool:
    """Whether it would take of this supply, if it could: it lacks units, or would have some earlier."""
    lacks = sum(taken.values()) < demand.units
    dates = {name: at for name in taken if (at := date(demand, name))}
    if not lacks and all(at < supply.expected_at for at in dates.values()):
        return False
    earlier = date(demand, supply.inbound_id)
    if earlier is None:
        return False
    return lacks or any((at, name) > (earlier, supply.inbound_id) for name, at in dates.items())


def _take(demand: Demand, pool: Mapping[str, int], date: Date) -> Bound:
    """As much of the demand as the pool has, from the supply that serves it earliest."""
    taken: Bound = {}
    wanted = demand.units
    dates = {name: at for name, units in pool.items() if units and (at := date(demand, name))}
    for name in sorted(dates, key=lambda name: (dates[name], name)):
        if units := min(wanted, pool[name]):
            taken[name] = units
            wanted -= units
    return taken


def _add(pool: dict[str, int], given: Bound) -> None:
    for name, units in given.items():
        pool[name] = pool.get(name, 0) + units


def _subtract(pool: dict[str, int], taken: Bound) -> None:
    for name, units in taken.items():
        pool[name] -= units
