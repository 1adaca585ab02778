"""Replays a retailer's invoice file as orders and cancellations, dirt included.

* An invoice becomes an order, line by line: an article that stands twice in it stays two lines.
* An invoice whose number begins with C cancels units: each row is matched to the same customer's earlier
  lines of the same article, the latest first, and either all of its units are found or the row is refused.
* Every row ends in an order line, in a cancellation or in a refusal with a ``Reason``; ``Tally`` adds up.
* Postage, fees and other bookings that are no goods are refused: the orders are worth their goods only.
* An invoice that goes on after another one began, or for another customer, is a further order (``536365-2``).

Customers' addresses are not in the file. They are **constructed**: a real US town and an invented name and
street, the same for the same customer and seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from random import Random

from pydantic import Field

from shared.domain.base import Identifier, Instant, Model, Quantity
from shared.domain.orders import MAX_LINES, Address, OrderDocument, OrderLine, PaymentMethod
from workers.demo.orders import make_address
from workers.demo.places import us_places
from workers.demo.retail_rows import CURRENCY, BadRow, Reason, Row, price_of, read_rows, refuse_goods, refuse_sale

__all__ = ["Cancellation", "CancelledLine", "Event", "Reason", "Refusal", "RetailFile", "Tally"]


class CancelledLine(Model):
    """Units of an earlier order line that the customer does not want or sends back."""

    channel_order_id: Identifier
    line_no: int
    quantity: Quantity


class Cancellation(Model):
    """One cancelling invoice, as far as its rows could be matched."""

    invoice: str
    at: Instant
    customer_ref: str
    lines: tuple[CancelledLine, ...]


class Refusal(Model):
    """One row that became nothing."""

    row: int
    invoice: str
    reason: Reason


class Tally(Model):
    """What became of the rows that were read. ``rows_skipped`` lie before ``since`` and count nowhere else."""

    rows_in: int = 0
    rows_ordered: int = 0
    rows_cancelled: int = 0
    rows_refused: int = 0
    rows_skipped: int = 0
    invoices: int = 0
    orders: int = 0
    cancellations: int = 0
    refused: dict[Reason, int] = Field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        whole = self.rows_ordered + self.rows_cancelled + self.rows_refused
        return self.rows_in == whole and self.rows_refused == sum(self.refused.values())


Event = OrderDocument | Cancellation | Refusal


class RetailFile:
    """One replay of a file, streamed. ``tally`` is right at any moment between two events' invoices.

    Args:
        limit: Read no more than this many invoices.
        since: Skip rows dated before this day; what they ordered cannot be cancelled then.
    """

    def __init__(
        self, path: Path, *, channel: str = "retail", seed: int = 7, limit: int | None = None, since: date | None = None
    ) -> None:
        self.channel = channel
        self._path, self._seed = path, seed
        self._limit, self._since = limit, since
        self._open_units = _OpenUnits()
        self._runs: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._refused: Counter[Reason] = Counter()

    @property
    def tally(self) -> Tally:
        refused = dict(sorted(self._refused.items()))
        return Tally(**self._counts, rows_refused=sum(refused.values()), refused=refused)

    def events(self) -> Iterator[Event]:
        """Orders, cancellations and refusals in the order of the file. To be walked through once."""
        for run in _runs(self._wanted()):
            if self._limit is not None and self._counts["invoices"] >= self._limit:
                return
            self._counts["invoices"] += 1
            yield from self._invoice(run)

    def _wanted(self) -> Iterator[Row | BadRow]:
        for row in read_rows(self._path):
            if self._since and isinstance(row, Row) and row.at.date() < self._since:
                self._counts["rows_skipped"] += 1
            else:
                yield row

    def _invoice(self, rows: list[Row | BadRow]) -> Iterator[Event]:
        self._counts["rows_in"] += len(rows)
        goods: list[Row] = []
        for row in rows:
            reason = Reason.BAD_ROW if isinstance(row, BadRow) else refuse_goods(row)
            if reason is None and isinstance(row, Row):
                reason = None if row.cancels else refuse_sale(row)
                goods += [row] if reason is None else []
            if reason is not None:
                yield self._refusal(row, reason)
        if goods and goods[0].cancels:
            yield from self._cancellation(goods)
        elif goods:
            yield self._order(goods)

    def _order(self, rows: list[Row]) -> OrderDocument:
        first = rows[0]
        self._runs[first.invoice] += 1
        run = self._runs[first.invoice]
        order_id = first.invoice if run == 1 else f"{first.invoice}-{run}"
        lines = tuple(
            OrderLine(line_no=number, sku=row.sku, quantity=row.quantity, unit_price_minor=price_of(row) or 0)
            for number, row in enumerate(rows, start=1)
        )
        self._open_units.add(first.customer, order_id, lines)
        self._counts.update(orders=1, rows_ordered=len(rows))
        return OrderDocument(
            channel=self.channel,
            channel_order_id=order_id,
            placed_at=first.at,
            currency=CURRENCY,
            customer_ref=first.customer,
            ship_to=constructed_address(first.customer or f"guest/{order_id}", self._seed),
            lines=lines,
            payment=PaymentMethod(token=f"tok_ok-{order_id}"),
        )

    def _cancellation(self, rows: list[Row]) -> Iterator[Event]:
        lines: list[CancelledLine] = []
        for row in rows:
            taken = self._taken(row)
            if isinstance(taken, Reason):
                yield self._refusal(row, taken)
            else:
                lines += taken
                self._counts["rows_cancelled"] += 1
        if lines:
            self._counts["cancellations"] += 1
            first: Row = rows[0]
            yield Cancellation(invoice=first.invoice, at=_latest(rows), customer_ref=first.customer, lines=tuple(lines))

    def _taken(self, row: Row) -> list[CancelledLine] | Reason:
        if row.quantity >= 0:
            return Reason.NOT_NEGATIVE
        if not row.customer:
            return Reason.NO_CUSTOMER
        return self._open_units.take(row.customer, row.sku, -row.quantity)

    def _refusal(self, row: Row | BadRow, reason: Reason) -> Refusal:
        self._refused[reason] += 1
        return Refusal(row=row.number, invoice=row.invoice, reason=reason)


def _runs(rows: Iterator[Row | BadRow]) -> Iterator[list[Row | BadRow]]:
    """Rows of one invoice and customer in a row. An unreadable row belongs to the invoice around it."""
    run: list[Row | BadRow] = []
    key: tuple[str, str] | None = None
    for row in rows:
        mine = (row.invoice, row.customer) if isinstance(row, Row) else None
        if run and ((mine and key and mine != key) or len(run) == MAX_LINES):
            yield run
            run, key = [], None
        run.append(row)
        key = mine or key
    if run:
        yield run


class _OpenUnits:
    """What each customer has ordered of each article and not cancelled."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], list[CancelledLine]] = {}

    def add(self, customer: str, order_id: str, lines: tuple[OrderLine, ...]) -> None:
        for line in lines if customer else ():
            ordered = CancelledLine(channel_order_id=order_id, line_no=line.line_no, quantity=line.quantity)
            self._lines.setdefault((customer, line.sku), []).append(ordered)

    def take(self, customer: str, sku: str, quantity: int) -> list[CancelledLine] | Reason:
        """Take units off the latest lines, all of them or none."""
        lines = self._lines.get((customer, sku), [])
        if not lines:
            return Reason.NO_EARLIER_ORDER
        if sum(line.quantity for line in lines) < quantity:
            return Reason.MORE_THAN_ORDERED
        taken = []
        while quantity:
            line = lines.pop()
            part = min(quantity, line.quantity)
            taken.append(line.model_copy(update={"quantity": part}))
            if part < line.quantity:
                lines.append(line.model_copy(update={"quantity": line.quantity - part}))
            quantity -= part
        return taken


def constructed_address(customer: str, seed: int) -> Address:
    """An invented address for a customer of the file, always the same."""
    rng = Random(f"retail/{seed}/{customer}")
    return make_address(rng, rng.choice(us_places()))


def _latest(rows: list[Row]) -> datetime:
    return max(row.at for row in rows)
