"""An order's status is read off its units: every combination of a few, against a look at each."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.domain.orders import (
    Address,
    Fulfillment,
    Lifecycle,
    OrderDocument,
    OrderLine,
    PaymentMethod,
    UnitCount,
    UnitState,
    count_units,
    fulfillment_of,
    lifecycle_of,
)

#: How far a unit is, for those that are going somewhere.
_ROAD = [UnitState.UNALLOCATED, UnitState.ALLOCATED, UnitState.RELEASED, UnitState.SHIPPED, UnitState.DELIVERED]
_EVERY = [units for size in range(1, 5) for units in combinations_with_replacement(UnitState, size)]


def count(units: tuple[UnitState, ...]) -> UnitCount:
    return UnitCount(**{str(state): n for state, n in Counter(units).items()})


def looked_at(units: tuple[UnitState, ...]) -> Fulfillment:
    """The status as a person would say it of a handful of units."""
    states = {unit for unit in units if unit is not UnitState.CANCELLED}
    arrived = {UnitState.DELIVERED, UnitState.RETURNED}
    waiting = {UnitState.UNALLOCATED, UnitState.BACKORDERED}
    said = [
        (not states, Fulfillment.CANCELLED),
        (states <= arrived, Fulfillment.DELIVERED),
        (bool(states & arrived), Fulfillment.PARTIALLY_DELIVERED),
        (states == {UnitState.SHIPPED}, Fulfillment.SHIPPED),
        (UnitState.SHIPPED in states, Fulfillment.PARTIALLY_SHIPPED),
        (UnitState.RELEASED in states, Fulfillment.RELEASED),
        (states == {UnitState.ALLOCATED}, Fulfillment.ALLOCATED),
        (UnitState.ALLOCATED in states and bool(states & waiting), Fulfillment.PARTIALLY_ALLOCATED),
        (UnitState.BACKORDERED in states, Fulfillment.BACKORDERED),
        (True, Fulfillment.UNALLOCATED),
    ]
    return next(status for holds, status in said if holds)


def test_the_status_of_up_to_four_units() -> None:
    for units in _EVERY:
        assert fulfillment_of(count(units)) is looked_at(units), units


def test_every_status_can_be_reached() -> None:
    assert {fulfillment_of(count(units)) for units in _EVERY} == set(Fulfillment)


def test_counts_add_up_whatever_the_lines() -> None:
    for units in _EVERY:
        lines = [count((unit,)) for unit in units]
        total = count_units(lines)
        assert total == count(units)
        assert total.ordered == len(units)
        assert total.open + total.left + total.cancelled == total.ordered


@given(st.lists(st.sampled_from(_ROAD[:-1]), min_size=1, max_size=6), st.data())
def test_a_unit_that_gets_on_takes_nothing_back(units: list[UnitState], data: st.DataObject) -> None:
    order = [Fulfillment.UNALLOCATED, Fulfillment.PARTIALLY_ALLOCATED, Fulfillment.ALLOCATED, Fulfillment.RELEASED]
    order += [Fulfillment.PARTIALLY_SHIPPED, Fulfillment.SHIPPED, Fulfillment.PARTIALLY_DELIVERED]
    order += [Fulfillment.DELIVERED]
    before = fulfillment_of(count(tuple(units)))
    which = data.draw(st.integers(0, len(units) - 1))
    units[which] = _ROAD[_ROAD.index(units[which]) + 1]
    assert order.index(fulfillment_of(count(tuple(units)))) >= order.index(before)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("finished", [False, True])
def test_the_lifecycle(started: bool, finished: bool) -> None:
    for units in _EVERY:
        lifecycle = lifecycle_of(count(units), started=started, finished=finished)
        if set(units) == {UnitState.CANCELLED}:
            assert lifecycle is Lifecycle.CANCELLED
        elif finished:
            assert lifecycle is Lifecycle.CLOSED
        else:
            assert lifecycle is (Lifecycle.OPEN if started else Lifecycle.PLACED)


LINE = st.tuples(st.integers(1, 50), st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000))


def document(lines: list[OrderLine], shipping: int = 0) -> OrderDocument:
    return OrderDocument(
        channel="web",
        channel_order_id="1",
        placed_at=datetime(2026, 8, 3, tzinfo=UTC),
        currency="USD",
        ship_to=Address(name="A", line1="1 Main St", city="B"),
        lines=tuple(lines),
        shipping_minor=shipping,
        payment=PaymentMethod(token="tok_ok"),
    )


@given(st.lists(LINE, min_size=1, max_size=6), st.integers(0, 10_000))
def test_the_total_is_what_its_lines_say(figures: list[tuple[int, int, int, int]], shipping: int) -> None:
    lines, total = [], shipping
    for n, (quantity, price, discount, tax) in enumerate(figures, start=1):
        off = min(discount, quantity * price)
        lines.append(
            OrderLine(line_no=n, sku="S", quantity=quantity, unit_price_minor=price, discount_minor=off, tax_minor=tax)
        )
        total += sum(price for _ in range(quantity)) - off + tax
    order = document(lines, shipping)
    assert order.total_minor == total
    assert order.units == sum(quantity for quantity, *_ in figures)
    again = OrderDocument.model_validate_json(order.model_dump_json())
    assert again.content_hash() == order.content_hash()
    assert document(lines, shipping + 1).content_hash() != order.content_hash()


def test_a_discount_above_the_price_and_a_line_twice_are_refused() -> None:
    with pytest.raises(ValidationError, match="discount_minor"):
        OrderLine(line_no=1, sku="S", quantity=1, unit_price_minor=5, discount_minor=6)
    with pytest.raises(ValidationError, match="line_no must be unique"):
        document([OrderLine(line_no=1, sku="S", quantity=1)] * 2)
