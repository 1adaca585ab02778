"""Who waits for which supply: against a slow, plain answer, unit by unit, and the promises that must be kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.domain.supply import (
    Bound,
    Date,
    Demand,
    Inbound,
    InboundKind,
    InboundLine,
    Receipt,
    ReceiptLine,
    Supply,
    Turn,
    bind,
)

DAY = datetime(2026, 12, 1, tzinfo=UTC)
NAMES = ("a", "b", "c")
Plan = tuple[list[Demand], list[Supply], dict[Turn, dict[str, int]], Date]


def turn(n: int, priority: int = 3, promised: int = 0) -> Turn:
    return Turn((), priority, DAY + timedelta(days=promised), DAY + timedelta(minutes=n), f"o{n}", 1)


def day(n: int) -> datetime:
    return DAY + timedelta(days=n)


def told(dates: Mapping[Turn, Mapping[str, datetime]]) -> Date:
    return lambda demand, name: dates[demand.turn].get(name)


def dates_of(demand: Demand, date: Date) -> dict[str, datetime]:
    return {name: at for name in NAMES if (at := date(demand, name))}


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Demands, supply, and who is bound to what: never more than came when it was bound."""
    there = {name: draw(st.integers(0, 4)) for name in NAMES}
    supplies = [Supply(name, draw(st.integers(0, 6)), day(there[name])) for name in NAMES]
    was = {supply.inbound_id: supply.units + draw(st.integers(0, 3)) for supply in supplies}
    demands, bound, promised = [], {}, {}
    for n in range(draw(st.integers(0, 5))):
        transit = draw(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 4)))
        dates = {name: day(there[name] + days) for name, days in transit.items()}
        demand = Demand(turn(n, draw(st.integers(1, 2)), draw(st.integers(0, 2))), draw(st.integers(1, 5)))
        promised[demand.turn] = dates
        left = demand.units
        held: Bound = {}
        for name in draw(st.permutations(sorted(dates))):
            if units := draw(st.integers(0, min(left, was[name]))):
                held[name] = units
                was[name] -= units
                left -= units
        demands.append(demand)
        bound[demand.turn] = held
    return draw(st.permutations(demands)), supplies, bound, told(promised)


def plainly(
    demands: Sequence[Demand], supplies: Sequence[Supply], bound: Mapping[Turn, Mapping[str, int]], date: Date
) -> list[Bound]:
    """One unit at a time: keep what may be kept, then bind or move the first that may be better off, until none may."""
    left = Counter({supply.inbound_id: supply.units for supply in supplies})
    units: dict[Turn, list[str | None]] = {}
    in_turn = sorted(demands, key=lambda demand: demand.turn)
    for demand in in_turn:
        mine: list[str | None] = []
        dates = dates_of(demand, date)
        held = [name for name, count in bound[demand.turn].items() for _ in range(count)]
        for name in sorted((n for n in held if n in dates), key=lambda n: (dates[n], n)):
            if left[name] and len(mine) < demand.units:
                left[name] -= 1
                mine.append(name)
        units[demand.turn] = mine + [None] * (demand.units - len(mine))

    def step() -> bool:
        for demand in in_turn:
            mine, dates = units[demand.turn], dates_of(demand, date)
            worst = max(mine, key=lambda name: (name is None, (dates[name], name) if name else (DAY, "")))
            better = [
                name for name in dates if left[name] and (worst is None or (dates[name], name) < (dates[worst], worst))
            ]
            if better:
                best = min(better, key=lambda name: (dates[name], name))
                mine[mine.index(worst)] = best
                left[best] -= 1
                if worst is not None:
                    left[worst] += 1
                return True
        return False

    while step():
        pass
    return [dict(Counter(name for name in units[demand.turn] if name)) for demand in demands]


@given(plans())
def test_it_answers_as_the_plain_way_does(plan: Plan) -> None:
    assert bind(*plan) == plainly(*plan)


@given(plans())
def test_promises_are_kept_and_nothing_is_bound_twice(plan: Plan) -> None:
    demands, supplies, bound, date = plan
    answer = bind(*plan)
    total = Counter[str]()
    for demand, got in zip(demands, answer, strict=True):
        assert got.keys() <= dates_of(demand, date).keys()
        assert sum(got.values()) <= demand.units
        total.update(got)
    assert all(total[supply.inbound_id] <= supply.units for supply in supplies)
    asked = Counter[str]()
    for held in bound.values():
        asked.update(held)
    if all(asked[supply.inbound_id] <= supply.units for supply in supplies):
        for demand, got in zip(demands, answer, strict=True):
            dates = dates_of(demand, date)
            before = sorted(dates[name] for name, n in bound[demand.turn].items() for _ in range(n))
            after = sorted(dates[name] for name, n in got.items() for _ in range(n))
            assert len(after) >= len(before)
            assert all(now <= then for now, then in zip(after, before, strict=False))


@given(plans())
def test_bound_again_nothing_changes(plan: Plan) -> None:
    demands, supplies, _, date = plan
    once = bind(*plan)
    assert bind(demands, supplies, {d.turn: got for d, got in zip(demands, once, strict=True)}, date) == once


@given(plans(), st.integers(0, 5))
def test_the_first_are_enough_where_they_leave_nothing(plan: Plan, first: int) -> None:
    answer = bind(*plan, first=first)
    taken = sum(units for bound in answer for units in bound.values())
    if taken == sum(supply.units for supply in plan[1]):
        assert answer == bind(*plan)


def test_what_is_told_is_whole() -> None:
    line = InboundLine(sku="s1", quantity=1)
    told = {"inbound_id": "PO-1", "node_id": "n1", "expected_at": DAY, "lines": (line,)}
    assert (
        Inbound(kind=InboundKind.ADVICE, **told).content_hash()
        == Inbound(kind=InboundKind.ADVICE, **told).content_hash()
    )
    for wrong in (
        {"kind": InboundKind.TRANSFER},
        {"kind": InboundKind.TRANSFER, "origin_node_id": "n1"},
        {"kind": InboundKind.PURCHASE_ORDER, "origin_node_id": "n2"},
        {"kind": InboundKind.ADVICE, "lines": (line, line)},
        {"kind": InboundKind.ADVICE, "lines": ()},
    ):
        with pytest.raises(ValidationError):
            Inbound.model_validate(told | wrong)
    for lines in ((ReceiptLine(sku="s1", good=1),) * 2, ()):
        with pytest.raises(ValidationError):
            Receipt(inbound_id="PO-1", reference="r", lines=lines)
    with pytest.raises(ValidationError):
        ReceiptLine(sku="s1")


def test_what_one_gives_up_for_earlier_supply_is_the_first_ones() -> None:
    first, second, third = turn(0), turn(1), turn(2)
    dates = {"b": DAY, "c": DAY + timedelta(days=1)}
    date = told({first: {"c": DAY}, second: dates, third: {"c": DAY}})
    demands = [Demand(each, 1) for each in (first, second, third)]
    answer = bind(demands, [Supply("b", 1, DAY), Supply("c", 1, DAY)], {second: {"c": 1}}, date)
    assert answer == [{"c": 1}, {"b": 1}, {}]


def test_who_cannot_get_anything_is_not_asked_for_dates() -> None:
    """One unit more among thousands: whoever is bound to earlier supply, and who is behind the one who gets it."""
    asked: list[Demand] = []

    def date(demand: Demand, name: str) -> datetime:
        if name == "b":
            asked.append(demand)
        return {"a": day(1), "b": day(3)}[name]

    demands = [Demand(turn(n), 1) for n in range(5_000)]
    bound = {demand.turn: {"a": 1} for demand in demands[:2_000]}
    answer = bind(demands, [Supply("a", 2_000, DAY), Supply("b", 1, day(2))], bound, date)
    assert answer[1_999:2_002] == [{"a": 1}, {"b": 1}, {}]
    assert set(asked) == {demands[2_000]}
