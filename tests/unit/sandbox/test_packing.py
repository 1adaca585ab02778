from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from workers.sandbox.packing import Pick, pack

picks = st.lists(
    st.builds(
        Pick,
        line_no=st.integers(1, 50),
        sku=st.just("S"),
        quantity=st.integers(1, 60),
        unit_g=st.integers(0, 40_000),
    ),
    max_size=20,
)


@given(picks)
def test_every_unit_is_packed_once(wanted: list[Pick]) -> None:
    packed: Counter[int] = Counter()
    for package in pack(wanted, max_g=25_000):
        for line in package.lines:
            packed[line.line_no] += line.quantity
    asked: Counter[int] = Counter()
    for pick in wanted:
        asked[pick.line_no] += pick.quantity
    assert packed == asked


@given(picks)
def test_no_package_is_too_heavy_unless_one_unit_is(wanted: list[Pick]) -> None:
    packages = pack(wanted, max_g=25_000)
    for package in packages:
        units = sum(line.quantity for line in package.lines)
        assert package.weight_g <= 25_000 or units == 1
    assert [package.package_no for package in packages] == list(range(1, len(packages) + 1))


def test_nothing_makes_no_package() -> None:
    assert pack([], max_g=25_000) == []
