"""Cancellations against a search over single units and over sets of nodes."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cancellation import (
    CancellableClaim,
    CancellableLine,
    Cancellation,
    decide_cancellation,
    decide_waiting,
)

UNITS = st.integers(0, 4)


@st.composite
def lines(draw: st.DrawFn, count: int = 3) -> tuple[list[CancellableLine], list[CancellableClaim]]:
    """Lines, and open claims of theirs at up to four fulfillment orders; a node knows of all of one or of none."""
    told = draw(st.tuples(*[st.booleans()] * 4))
    numbers = range(1, draw(st.integers(1, count)) + 1)
    made = [
        CancellableLine(line_no=n, unallocated=draw(UNITS), backordered=draw(UNITS), left=draw(UNITS)) for n in numbers
    ]
    claims = [
        CancellableClaim(n=n, line_no=line_no, open=units, told=told[n - 1])
        for n in range(1, 5)
        for line_no in numbers
        if (units := draw(UNITS))
    ]
    return made, claims


def taken_of(decision: Cancellation, line_no: int) -> list[str]:
    """The units taken of a line, each named by where it was."""
    return [
        where
        for taken in decision.taken
        if taken.line_no == line_no
        for where, units in (
            ("backordered", taken.backordered),
            ("unallocated", taken.unallocated),
            *((f"f{n}", units) for n, units in taken.claims),
        )
        for _ in range(units)
    ]


def in_order(line: CancellableLine, claims: list[CancellableClaim]) -> list[str]:
    """Every unit that can go at once, the first to go first."""
    held = [f"f{c.n}" for c in claims if c.line_no == line.line_no and not c.told for _ in range(c.open)]
    return ["backordered"] * line.backordered + ["unallocated"] * line.unallocated + held


@given(lines(), st.dictionaries(st.integers(1, 4), st.integers(1, 20), min_size=1), st.sets(st.integers(1, 4)))
def test_every_unit_asked_for_has_one_answer(
    order: tuple[list[CancellableLine], list[CancellableClaim]], wanted: dict[int, int], keep: set[int]
) -> None:
    made, claims = order
    decision = decide_cancellation(made, claims, wanted, keep=keep)
    refused = 0
    for line in made:
        want = wanted.get(line.line_no, 0)
        taken = taken_of(decision, line.line_no)
        assert taken == in_order(line, claims)[:want]
        told = [claim for claim in claims if claim.line_no == line.line_no and claim.told]
        askable = sum(claim.open for claim in told if claim.n not in keep)
        held = dict(decision.wanted).get(line.line_no, 0)
        assert held == min(want - len(taken), askable)
        refused += min(want - len(taken) - held, sum(claim.open for claim in told) - askable)
    held_units = sum(units for _, units in decision.wanted)
    assert decision.units + held_units + decision.too_late + decision.missing + refused == sum(wanted.values())
    assert decision.too_late <= sum(line.left for line in made)
    assert not set(decision.ask) & keep


@given(lines(count=1), st.integers(1, 20))
def test_the_fewest_nodes_are_asked(order: tuple[list[CancellableLine], list[CancellableClaim]], want: int) -> None:
    made, claims = order
    decision = decide_cancellation(made, claims, {1: want})
    held = dict(decision.wanted).get(1, 0)
    told = {claim.n: claim.open for claim in claims if claim.told}
    enough = [
        set(asked)
        for size in range(len(told) + 1)
        for asked in combinations(told, size)
        if sum(told[n] for n in asked) >= held
    ]
    assert set(decision.ask) in enough
    assert len(decision.ask) == min(map(len, enough))


@given(lines())
def test_cancelling_everything_leaves_nothing_that_could_go(
    order: tuple[list[CancellableLine], list[CancellableClaim]],
) -> None:
    made, claims = order
    decision = decide_cancellation(made, claims, None)
    told = {claim.n: claim.told for claim in claims}
    assert decision.units == sum(len(in_order(line, claims)) for line in made)
    assert set(decision.ask) == {n for n, knows in told.items() if knows}
    assert decision.too_late == sum(line.left for line in made)
    assert decision.missing == 0


@given(lines())
def test_what_waits_can_be_cancelled_alone(order: tuple[list[CancellableLine], list[CancellableClaim]]) -> None:
    made, _ = order
    decision = decide_waiting(made)
    assert decision.units == sum(line.unallocated + line.backordered for line in made)
    assert not decision.ask
    assert not any(taken.claims for taken in decision.taken)
