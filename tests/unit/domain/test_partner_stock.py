"""Bounds of a difference always hold the true one, and what orders under way may explain is nobody's break."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.partner_stock import Compared, Finding, judge

T = datetime(2026, 8, 3, tzinfo=UTC)
FEW = st.integers(0, 6)


def compared(theirs: int, ours: int, *, left: int = 0, come: int = 0, corrected: bool = False) -> Compared:
    return Compared(
        node_id="n",
        sku="s",
        as_of=T,
        theirs=theirs,
        ours=ours,
        may_have_left=left,
        may_have_come=come,
        corrected=corrected,
    )


@given(st.integers(0, 30), st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8), st.integers(-5, 5))
def test_bounds_hold_the_true_difference(ours: int, units: list[tuple[bool, bool]], truth: int) -> None:
    """Each unit under way has left or not, and that is known or not."""
    left = sum(gone for gone, _ in units)
    known = sum(gone for gone, told in units if told)
    seen = compared(ours + truth - left, ours - known, left=sum(not told for _, told in units))
    assert seen.may_be(truth)
    if all(told for _, told in units):
        assert seen.exact
        assert seen.least == truth


@given(FEW, FEW, st.integers(-6, 6), FEW)
def test_what_orders_under_way_may_explain_is_never_a_break(left: int, come: int, off: int, later: int) -> None:
    earlier = compared(20 + off, 20, left=left, come=come)
    now = compared(20 + off, 20, left=later)
    if earlier.explained:
        assert judge(earlier, now) in (Finding.WATCH, Finding.AGREES)
    assert judge(None, now) is (Finding.WATCH if off else Finding.AGREES)


def test_the_same_difference_twice_is_repaired() -> None:
    assert judge(compared(7, 10), compared(7, 10)) is Finding.REPAIR
    assert judge(compared(7, 10), compared(5, 10, left=4)) is Finding.REPAIR


def test_a_difference_that_changes_is_a_break() -> None:
    assert judge(compared(7, 10), compared(4, 10)) is Finding.BREAK


def test_a_difference_that_is_not_known_exactly_is_not_repaired() -> None:
    assert judge(compared(7, 10, left=2), compared(7, 10)) is Finding.BREAK


def test_a_difference_that_is_gone_is_none() -> None:
    assert judge(compared(7, 10), compared(10, 10)) is Finding.AGREES


def test_a_comparison_from_before_a_correction_says_nothing() -> None:
    assert judge(compared(7, 10, corrected=True), compared(7, 7)) is Finding.AGREES
    assert judge(compared(7, 10, corrected=True), compared(6, 7)) is Finding.WATCH


def test_orders_that_turned_out_not_to_have_left_explain_nothing() -> None:
    waiting = compared(6, 10, left=5)
    assert judge(None, waiting) is Finding.WATCH
    assert judge(compared(6, 10), compared(6, 10)) is Finding.REPAIR
