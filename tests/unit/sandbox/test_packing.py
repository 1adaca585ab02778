from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cartons import PackedLine
from shared.gateways.protocol import SuggestedPackage
from workers.sandbox.packing import Pick, SharedParcel, pack, pack_as_suggested

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


@given(picks, st.integers(1, 5), st.integers(0, 25_000))
def test_a_shared_parcel_is_filled_up_before_the_next_is_begun(wanted: list[Pick], parcel_no: int, filled: int) -> None:
    packages = pack(wanted, max_g=25_000, begun=SharedParcel(parcel_no, filled))
    apart = pack(wanted, max_g=25_000)
    assert sum(package.weight_g for package in packages) == sum(package.weight_g for package in apart)
    assert [package.package_no for package in packages] == list(range(1, len(packages) + 1))
    numbers = [package.parcel_no for package in packages]
    assert numbers == sorted(set(numbers))
    for package in packages:
        begun = filled if package.parcel_no == parcel_no else 0
        units = sum(line.quantity for line in package.lines)
        assert begun + package.weight_g <= 25_000 or (units == 1 and not begun)


def test_nothing_makes_no_package() -> None:
    assert pack([], max_g=25_000) == []


def test_what_is_suggested_is_packed_so_at_the_weights_it_was_planned_with() -> None:
    asked = [
        SuggestedPackage(
            carton="box",
            length_mm=1,
            width_mm=1,
            height_mm=1,
            weight_g=grams,
            lines=(PackedLine(line_no=7, quantity=n),),
        )
        for grams, n in ((1150, 2), (650, 1))
    ]  # fmt: skip
    packages = pack_as_suggested([Pick(7, "S", 3, 500)], asked)
    assert [(one.package_no, one.weight_g) for one in packages] == [(1, 1150), (2, 650)]
    assert [(line.line_no, line.sku, line.quantity) for one in packages for line in one.lines] == [
        (7, "S", 2), (7, "S", 1),
    ]  # fmt: skip
