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
    Demand,
    Inbound,
    InboundKind,
    InboundLine,
    Receipt,
    ReceiptLine,
    Supply,
    Turn,
    Waiting,
    bind,
    serve,
)

DAY = datetime(2026, 12, 1, tzinfo=UTC)
NAMES = ("a", "b", "c")
Plan = tuple[list[Demand], list[Supply], dict[Turn, dict[str, int]]]


def turn(n: int, priority: int = 3, promised: int = 0) -> Turn:
    return Turn(priority, DAY + timedelta(days=promised), DAY + timedelta(minutes=n), f"o{n}", 1)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Demands, supply, and who is bound to what: never more than came when it was bound."""
    supplies = [Supply(name, draw(st.integers(0, 6))) for name in NAMES]
    was = {supply.inbound_id: supply.units + draw(st.integers(0, 3)) for supply in supplies}
    demands, bound = [], {}
    for n in range(draw(st.integers(0, 5))):
        days = draw(st.dictionaries(st.sampled_from(NAMES), st.integers(1, 4)))
        dates = {name: DAY + timedelta(days=each) for name, each in days.items()}
        demand = Demand(turn(n, draw(st.integers(1, 2)), draw(st.integers(0, 2))), draw(st.integers(1, 5)), dates)
        left = demand.units
        held: Bound = {}
        for name in dates:
            if units := draw(st.integers(0, min(left, was[name]))):
                held[name] = units
                was[name] -= units
                left -= units
        demands.append(demand)
        bound[demand.turn] = held
    return draw(st.permutations(demands)), supplies, bound


def plainly(
    demands: Sequence[Demand], supplies: Sequence[Supply], bound: Mapping[Turn, Mapping[str, int]]
) -> list[Bound]:
    """One unit at a time: keep what may be kept, then bind or move the first that may be better off, until none may."""
    left = Counter({supply.inbound_id: supply.units for supply in supplies})
    units: dict[Turn, list[str | None]] = {}
    in_turn = sorted(demands, key=lambda demand: demand.turn)
    for demand in in_turn:
        mine: list[str | None] = []
        held = [name for name, count in bound[demand.turn].items() for _ in range(count)]
        for name in sorted((n for n in held if n in demand.dates), key=lambda n: (demand.dates[n], n)):
            if left[name] and len(mine) < demand.units:
                left[name] -= 1
                mine.append(name)
        units[demand.turn] = mine + [None] * (demand.units - len(mine))

    def step() -> bool:
        for demand in in_turn:
            mine = units[demand.turn]
            worst = max(mine, key=lambda name: (name is None, (demand.dates[name], name) if name else (DAY, "")))
            better = [
                name
                for name in demand.dates
                if left[name] and (worst is None or (demand.dates[name], name) < (demand.dates[worst], worst))
            ]
            if better:
                best = min(better, key=lambda name: (demand.dates[name], name))
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
    demands, supplies, bound = plan
    answer = bind(demands, supplies, bound)
    total = Counter[str]()
    for demand, got in zip(demands, answer, strict=True):
        assert got.keys() <= demand.dates.keys()
        assert sum(got.values()) <= demand.units
        total.update(got)
    assert all(total[supply.inbound_id] <= supply.units for supply in supplies)
    asked = Counter[str]()
    for held in bound.values():
        asked.update(held)
    if all(asked[supply.inbound_id] <= supply.units for supply in supplies):
        for demand, got in zip(demands, answer, strict=True):
            before = sorted(demand.dates[name] for name, n in bound[demand.turn].items() for _ in range(n))
            after = sorted(demand.dates[name] for name, n in got.items() for _ in range(n))
            assert len(after) >= len(before)
            assert all(now <= then for now, then in zip(after, before, strict=False))


@given(plans())
def test_bound_again_nothing_changes(plan: Plan) -> None:
    demands, supplies, bound = plan
    once = bind(demands, supplies, bound)
    assert bind(demands, supplies, {d.turn: got for d, got in zip(demands, once, strict=True)}) == once


waiting = st.builds(
    lambda n, priority, units, bound: Waiting(turn(n, priority), units, min(units, bound)),
    st.integers(0, 1000),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(0, 5),
)


@given(st.integers(0, 20), st.integers(0, 25), st.lists(waiting, unique_by=lambda w: w.turn))
def test_who_is_promised_is_served_first_and_the_rest_in_turn(arrived: int, free: int, lines: list[Waiting]) -> None:
    given_ = serve(arrived, free, lines)
    assert sum(given_) <= arrived
    assert all(0 <= got <= line.units for got, line in zip(given_, lines, strict=True))
    in_turn = sorted(zip(lines, given_, strict=True), key=lambda each: each[0].turn)
    for n, (line, got) in enumerate(in_turn):
        if got < line.bound:
            assert all(other <= each.bound for each, other in in_turn)
            assert not any(other for _, other in in_turn[n + 1 :])
        elif got < line.units:
            assert all(other <= each.bound for each, other in in_turn[n + 1 :])
    owed = min(arrived, sum(line.bound for line in lines))
    assert sum(given_) == max(owed, min(arrived, free, sum(line.units for line in lines)))


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
    demands = [Demand(first, 1, {"c": DAY}), Demand(second, 1, dates), Demand(third, 1, {"c": DAY})]
    answer = bind(demands, [Supply("b", 1), Supply("c", 1)], {second: {"c": 1}})
    assert answer == [{"c": 1}, {"b": 1}, {}]
